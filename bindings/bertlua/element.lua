--- Single elements of CPU tensors: sizes, C types and readers by dtype number.

local ffi = require "ffi"

local M = {}

M.SIZE = { [0] = 4, 2, 2, 4, 8, 1 }
M.CTYPE = {
    [0] = ffi.typeof "float", ffi.typeof "uint16_t", ffi.typeof "uint16_t", ffi.typeof "int32_t",
    ffi.typeof "int64_t", ffi.typeof "int8_t",
}

-- Host arrays by dtype. Made once: a compiled trace confuses types that ffi.typeof recreates for every call.
M.ARRAY = {
    [0] = ffi.typeof "float[?]", ffi.typeof "uint16_t[?]", ffi.typeof "uint16_t[?]", ffi.typeof "int32_t[?]",
    ffi.typeof "int64_t[?]", ffi.typeof "int8_t[?]",
}

local bits = ffi.new "union { uint32_t u; float f; }"
local u16, u32 = ffi.typeof "uint16_t *", ffi.typeof "uint32_t *"

-- LuaJIT tags its values with NaN patterns: a foreign NaN, taken as it is, would be read as a pointer.
local function from_bits(word)
    if bit.band(word, 0x7fffffff) > 0x7f800000 then return 0 / 0 end
    bits.u = word
    return tonumber(bits.f)
end

local function read_f32(data, offset)
    return from_bits(ffi.cast(u32, data)[offset])
end

local function read_bf16(data, offset)
    return from_bits(bit.lshift(ffi.cast(u16, data)[offset], 16))
end

local function read_f16(data, offset)
    local half = ffi.cast(u16, data)[offset]
    local sign = half >= 0x8000 and -1 or 1
    local exponent, mantissa = bit.band(bit.rshift(half, 10), 31), bit.band(half, 1023)
    if exponent == 31 then return mantissa == 0 and sign * math.huge or 0 / 0 end
    if exponent == 0 then return sign * math.ldexp(mantissa, -24) end
    return sign * math.ldexp(mantissa + 1024, exponent - 25)
end

local function plain(ctype)
    local pointer = ffi.typeof(ctype .. " *")
    return function(data, offset) return tonumber(ffi.cast(pointer, data)[offset]) end
end

local READER = { [0] = read_f32, read_bf16, read_f16, plain "int32_t", plain "int64_t", plain "int8_t" }

-- Name, and what a number of the dtype is below; it is at least minus that.
local WHOLE = { [3] = { "i32", 2 ^ 31 }, [4] = { "i64", 2 ^ 63 }, [5] = { "i8", 2 ^ 7 } }

--- An error unless a value is a number that the elements of t can hold: whole and in range for integers.
-- @param name what is called, for the message
-- @param level whose line the error names: 1 the caller, 2 the caller's caller
function M.check(name, t, value, level)
    if type(value) ~= "number" then
        error(("%s: got %s, expected a number"):format(name, type(value)), level + 1)
    end
    local whole = WHOLE[t.dtype]
    if not whole then return end
    local limit = whole[2]
    if not (value >= -limit and value < limit) or value ~= math.floor(value) then
        error(("%s: %s does not fit in %s: the tensor is %s"):format(name, tostring(value), whole[1], t:describe()),
            level + 1)
    end
end

--- Function (data, offset in elements) that returns an element as a Lua number.
function M.reader(dtype)
    return READER[dtype]
end

return M
