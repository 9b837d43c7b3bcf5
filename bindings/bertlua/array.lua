--- Typed host arrays: zero-filled, indexed from 0, released by the garbage collector.
--
-- For bytes that never leave the host: token lists, orders, read-back values.
-- Ops read tensors (bertlua.tensor).

local ffi = require "ffi"
local bl = require "bertlua.ffi"
local ownership = require "bertlua.ownership"

local M = {}

local function maker(ctype)
    local new = ffi.typeof(ctype .. "[?]")
    --- @param n number of elements, or a list of values
    return function(n)
        if type(n) == "table" then
            local count = #n
            local values = new(count)
            for i = 1, count do values[i - 1] = n[i] end
            return values
        end
        return new(n)
    end
end

M.int8, M.uint8 = maker "int8_t", maker "uint8_t"
M.int16, M.uint16 = maker "int16_t", maker "uint16_t"
M.int32, M.uint32 = maker "int32_t", maker "uint32_t"
M.int64, M.uint64 = maker "int64_t", maker "uint64_t"
M.float, M.double = maker "float", maker "double"

local POINTER = {
    [0] = ffi.typeof "float *", ffi.typeof "uint16_t *", ffi.typeof "uint16_t *", ffi.typeof "int32_t *",
    ffi.typeof "int64_t *", ffi.typeof "int8_t *",
}

--- Typed pointer to the elements of a contiguous CPU tensor; bf16 and f16 are seen as uint16_t.
-- The pointer keeps the memory of a tensor that is collected; a pointer computed from it does not.
function M.wrap(t)
    if t.device ~= 0 then error("array.wrap: the tensor is not on the CPU; copy it first", 2) end
    if not bl.lib.bl_tensor_is_contiguous(t) then
        error("array.wrap: the tensor has gaps or is transposed, expected contiguous; copy it", 2)
    end
    return ownership.look(ffi.cast(POINTER[t.dtype], t.data), t)
end

--- Lua string of n bytes at ptr, or up to the first 0 byte.
function M.string(ptr, n)
    if n then return ffi.string(ptr, n) end
    return ffi.string(ptr)
end

--- Copy n bytes.
function M.copy(dst, src, n)
    ffi.copy(dst, src, n)
end

--- Number of bytes of an array.
function M.sizeof(values)
    return ffi.sizeof(values)
end

return M
