--- What instructions do to the registers of a warp, for bench/model/walk.lua, which says what is known of them.

local bit = require "bit"
local ffi = require "ffi"
local paths = require "bertlua.paths"

local instruction = dofile(paths.root() .. "/bench/model/instruction.lua")

local is_predicate, float_of, bits_of = instruction.is_predicate, instruction.float_of, instruction.bits_of

local M = {}

local TWO32 = 2 ^ 32

local function u32(x) return x % TWO32 end
local function s32(x) return x >= 2 ^ 31 and x - TWO32 or x end
local function logic(x) return u32(tonumber(x)) end

--- The bits of a half from its decimal text.
local function half_bits(x)
    if x == 0 then return 0 end
    local sign = x < 0 and 0x8000 or 0
    local mantissa, exponent = math.frexp(math.abs(x))
    if exponent < -13 then return sign + math.floor(math.abs(x) * 2 ^ 24 + 0.5) end
    return sign + (exponent + 14) * 1024 + math.floor((mantissa * 2 - 1) * 1024 + 0.5)
end

-- Bytes from an address of a table of bytes as a number, the lowest first; nil if one is not known.
local function number_at(bytes_at, address, bytes)
    local value = 0
    for i = bytes - 1, 0, -1 do
        local byte = bytes_at[address + i]
        if not byte then return nil end
        value = value * 256 + byte
    end
    return value
end

local Warp = {}
Warp.__index = Warp

function Warp:constant(offset, bytes)
    return number_at(self.constants, offset, bytes)
end

--- An operand as a number below 2^32, or nil; `second` is the upper word of a pair.
function Warp:get(o, second)
    if not o or o.partial then return nil end
    local value
    if o.kind == "R" or o.kind == "UR" then
        value = self[o.kind][o.number + (second and 1 or 0)]
    elseif o.kind == "value" then
        if o.value == 0 or o.value == true or o.value == false or not second then
            value = o.value
        else
            value = 0
        end
    elseif o.kind == "constant" then
        local at = o.offset + (second and 4 or 0)
        if o.index then
            local file, number = o.index:match "^(U?R)(%d+)"
            local base = self[file][tonumber(number)]
            at = base and base + at
        end
        value = at and self:constant(at, 4)
    end
    if value == nil or value == true or value == false then return nil end
    if o.invert then value = TWO32 - 1 - value end
    return value
end

--- The same with its sign: -b is what adds 2^32 - b, also where b is 0, as carries want it.
function Warp:term(o, second)
    local value = self:get(o, second)
    if value and o.minus then value = TWO32 - value end
    return value
end

function Warp:signed(o)
    local value = self:get(o)
    if value and o.minus then value = u32(-value) end
    return value
end

function Warp:predicate(o)
    if not o then return nil end
    local value
    if o.kind == "P" or o.kind == "UP" then
        value = self[o.kind][o.number]
    elseif o.kind == "value" then
        value = o.value
    end
    if o.negate and value ~= nil then return not value end
    return value
end

function Warp:set(o, value, second)
    if o and (o.kind == "R" or o.kind == "UR") then
        self[o.kind][o.number + (second and 1 or 0)] = value and u32(value)
    end
end

function Warp:set_predicate(o, value)
    if o and (o.kind == "P" or o.kind == "UP") then self[o.kind][o.number] = value end
end

--- The bytes at an address of global memory as a number, or nil.
function Warp:loaded(address, bytes)
    return number_at(self.memory, address, bytes)
end

local function both(a, b, fn) return a and b and fn(a, b) or nil end
local function carry_of(w, i)
    if not i.has.X then return 0 end
    local sum = 0
    for _, o in ipairs(i.ins) do
        local value = w:predicate(o)
        if value == nil then return nil end
        sum = sum + (value and 1 or 0)
    end
    return sum
end

local function finish_sum(w, i, sum)
    w:set(i.operands[1], sum)
    w:set_predicate(i.outs[1], sum and sum >= TWO32)
    w:set_predicate(i.outs[2], sum and sum >= 2 * TWO32)
    if not sum then
        for _, o in ipairs(i.outs) do w:set_predicate(o, nil) end
    end
end

local function add(w, i)
    local sum = carry_of(w, i)
    for _, o in ipairs(i.sources) do
        local x = w:term(o)
        sum = sum and x and sum + x
    end
    finish_sum(w, i, sum)
end

local function wide(low, high) return ffi.cast("uint64_t", low) + ffi.cast("uint64_t", high) * 4294967296ULL end
local function low_of(x) return tonumber(x % 4294967296ULL) end
local function high_of(x) return tonumber(x / 4294967296ULL) end

local function product_of(a, b, unsigned)
    if unsigned then return ffi.cast("uint64_t", a) * ffi.cast("uint64_t", b) end
    return ffi.cast("uint64_t", ffi.cast("int64_t", s32(a)) * ffi.cast("int64_t", s32(b)))
end

local function multiply(w, i)
    local s = i.sources
    local a, b = w:signed(s[1]), w:signed(s[2])
    if i.has.WIDE or i.has.HI then
        local c0, c1 = w:get(s[3]), w:get(s[3], true)
        local sum
        if a and b and c0 and c1 then
            sum = product_of(a, b, i.has.U32) + wide(c0, c1)
            w:set_predicate(i.outs[1], sum < wide(c0, c1))
        else
            w:set_predicate(i.outs[1], nil)
        end
        if i.has.HI then
            w:set(i.operands[1], sum and high_of(sum))
        else
            w:set(i.operands[1], sum and low_of(sum))
            w:set(i.operands[1], sum and high_of(sum), true)
        end
        return
    end
    local c, carry = w:term(s[3]), carry_of(w, i)
    -- A factor of 0 hides what is unknown.
    local part = (a == 0 or b == 0) and 0 or both(a, b, function(x, y) return low_of(product_of(x, y, true)) end)
    local sum = part and c and carry and part + c + carry
    finish_sum(w, i, sum)
end

local COMPARE = {
    GE = function(a, b) return a >= b end, GT = function(a, b) return a > b end,
    LE = function(a, b) return a <= b end, LT = function(a, b) return a < b end,
    EQ = function(a, b) return a == b end, NE = function(a, b) return a ~= b end,
    NAN = function(a, b) return a ~= a or b ~= b end, NUM = function(a, b) return a == a and b == b end,
}
-- These are true of what is no number.
for _, name in ipairs { "GE", "GT", "LE", "LT", "EQ", "NE" } do
    local fn = COMPARE[name]
    COMPARE[name .. "U"] = function(a, b) return a ~= a or b ~= b or fn(a, b) end
end

local function combine(kind, a, b)
    if kind == "AND" then
        if a == false or b == false then return false end
        return a == nil and nil or (b ~= nil and (a and b) or nil)
    elseif kind == "OR" then
        if a == true or b == true then return true end
        if a == nil or b == nil then return nil end
        return false
    end
    if a == nil or b == nil then return nil end
    return a ~= b
end

local function store_comparison(w, i, result)
    local kind = i.has.OR and "OR" or i.has.XOR and "XOR" or "AND"
    local other = w:predicate(i.operands[5])
    w:set_predicate(i.operands[1], combine(kind, result, other))
    local inverse
    if result ~= nil then inverse = not result end
    w:set_predicate(i.operands[2], combine(kind, inverse, other))
end

local function comparison(i)
    for name in pairs(COMPARE) do
        if i.has[name] then return COMPARE[name], name end
    end
end

local function compare_integers(w, i)
    local a, b = w:signed(i.operands[3]), w:signed(i.operands[4])
    local fn = comparison(i)
    local result
    if a and b then
        if not i.has.U32 then a, b = s32(a), s32(b) end
        result = fn(a, b)
        if i.has.EX and a == b then
            result = w:predicate(i.operands[6])
        elseif i.has.EX and i.has.EQ then
            result = false
        end
    end
    store_comparison(w, i, result)
end

local function float_operand(w, o)
    local value
    if o.decimal then
        value = o.decimal
    else
        local u = w:get(o)
        value = u and float_of(u)
    end
    if value and o.absolute then value = math.abs(value) end
    if value and o.minus then value = -value end
    return value
end

local function compare_floats(w, i)
    local a, b = float_operand(w, i.operands[3]), float_operand(w, i.operands[4])
    local result
    if a and b then result = comparison(i)(a, b) end
    store_comparison(w, i, result)
end

local function lut(a, b, c, table_)
    local value = 0
    if table_ == 0xc0 then return logic(bit.band(a, b)) end
    for n = 0, 7 do
        if bit.band(table_, bit.lshift(1, n)) ~= 0 then
            local x = bit.band(n, 4) ~= 0 and a or bit.bnot(a)
            local y = bit.band(n, 2) ~= 0 and b or bit.bnot(b)
            local z = bit.band(n, 1) ~= 0 and c or bit.bnot(c)
            value = bit.bor(value, bit.band(x, y, z))
        end
    end
    return logic(value)
end

local function logic3(w, i)
    local to, first = i.operands[1], 2
    local predicate
    if is_predicate(to) then predicate, to, first = to, i.operands[2], 3 end
    local a, b, c = w:get(i.operands[first]), w:get(i.operands[first + 1]), w:get(i.operands[first + 2])
    local table_ = i.operands[first + 3].value
    -- 0 and anything is 0.
    local value
    if table_ == 0xc0 and (a == 0 or b == 0) then
        value = 0
    elseif table_ == 0xc0 then
        value = a and b and lut(a, b, 0, table_)
    else
        value = a and b and c and lut(a, b, c, table_)
    end
    w:set(to, value)
    if predicate then
        if value then w:set_predicate(predicate, value ~= 0) else w:set_predicate(predicate, nil) end
    end
end

local function predicates3(w, i)
    local p = { w:predicate(i.operands[3]), w:predicate(i.operands[4]), w:predicate(i.operands[5]) }
    for n = 1, 2 do
        local table_, result = i.operands[5 + n] and i.operands[5 + n].value, nil
        if table_ and p[1] ~= nil and p[2] ~= nil and p[3] ~= nil then
            local at = (p[1] and 4 or 0) + (p[2] and 2 or 0) + (p[3] and 1 or 0)
            result = bit.band(table_, bit.lshift(1, at)) ~= 0
        end
        w:set_predicate(i.operands[n], result)
    end
end

local function shift(w, i)
    local s = i.operands
    local low, by, high = w:get(s[2]), w:get(s[3]), w:get(s[4])
    if not by then return w:set(s[1], nil) end
    if i.has.L then
        if i.has.HI then
            local x = low and high and wide(low, high)
            w:set(s[1], x and by < 64 and high_of(bit.lshift(x, by)) or x and 0)
        else
            w:set(s[1], low and (by < 32 and logic(bit.lshift(low, by)) or 0))
        end
        return
    end
    if i.has.HI then
        if not high then return w:set(s[1], nil) end
        if i.has.S32 then
            w:set(s[1], logic(bit.arshift(high, math.min(by, 31))))
        else
            w:set(s[1], by < 32 and logic(bit.rshift(high, by)) or 0)
        end
        return
    end
    local x = low and high and wide(low, high)
    if not x then return w:set(s[1], nil) end
    by = math.min(by, 63)
    local shifted = i.has.S64 and bit.arshift(ffi.cast("int64_t", x), by) or bit.rshift(x, by)
    w:set(s[1], low_of(ffi.cast("uint64_t", shifted)))
end

local function scaled_add(w, i)
    local s = i.sources
    local a, b = w:signed(s[1]), w:term(s[2])
    local carry = carry_of(w, i)
    local sum
    if i.has.HI then
        local high, by
        if i.has.SX32 then
            high, by = a and (a >= 2 ^ 31 and TWO32 - 1 or 0), s[3] and s[3].value
        else
            high, by = w:get(s[3]), s[4] and s[4].value
        end
        sum = a and b and high and by and carry and high_of(bit.lshift(wide(a, high), by)) + b + carry
    else
        local by = s[3] and s[3].value
        sum = a and b and by and carry and logic(bit.lshift(a, by)) + b + carry
    end
    finish_sum(w, i, sum)
end

local function permute(w, i)
    local a, selector, b = w:get(i.operands[2]), w:get(i.operands[3]), w:get(i.operands[4])
    if not (a and selector and b) then return w:set(i.operands[1], nil) end
    local value = 0
    for n = 3, 0, -1 do
        local pick = bit.band(bit.rshift(selector, 4 * n), 15)
        local from = pick % 8 < 4 and a or b
        local byte = bit.band(bit.rshift(from, 8 * (pick % 4)), 255)
        if pick >= 8 then byte = byte >= 128 and 255 or 0 end
        value = value * 256 + byte
    end
    w:set(i.operands[1], value)
end

local function choose(w, i)
    local condition = w:predicate(i.operands[4])
    if condition == nil then return w:set(i.operands[1], nil) end
    w:set(i.operands[1], w:signed(i.operands[condition and 2 or 3]))
end

local function extreme(w, i)
    local a, b, least = w:signed(i.operands[2]), w:signed(i.operands[3]), w:predicate(i.operands[4])
    if not (a and b) or least == nil then return w:set(i.operands[1], nil) end
    if not i.has.U32 then a, b = s32(a), s32(b) end
    w:set(i.operands[1], least and math.min(a, b) or math.max(a, b))
end

local function load_constant(w, i)
    local o = i.operands[2]
    local at = o.offset
    if o.index then
        local file, number = o.index:match "^(U?R)(%d+)"
        local base = w[file][tonumber(number)]
        at = base and base + at
    end
    local bytes = i.has.U8 and 1 or i.has.U16 and 2 or 4
    w:set(i.operands[1], at and w:constant(at, bytes))
    if i.has["64"] then w:set(i.operands[1], at and w:constant(at + 4, 4), true) end
end

local function load_global(w, i)
    local to, o = i.operands[1], i.operands[2]
    local at
    if o.base then
        local low, high = w.R[o.base], o.wide and w.R[o.base + 1] or 0
        at = low and high and low + high * TWO32
        if o.uniform and at then
            local u0, u1 = w.UR[o.uniform], w.UR[o.uniform + 1]
            at = u0 and u1 and at + u0 + u1 * TWO32
        end
        at = at and at + (o.offset or 0)
    end
    local words = i.has["128"] and 4 or i.has["64"] and 2 or 1
    local bytes = (i.has.U16 or i.has.S16) and 2 or (i.has.U8 or i.has.S8) and 1 or 4
    for n = 0, words - 1 do
        local value = at and w:loaded(at + 4 * n, bytes)
        if value and i.has.S8 and value >= 128 then value = value - 256 + TWO32 end
        if value and i.has.S16 and value >= 32768 then value = value - 65536 + TWO32 end
        if to.kind == "R" then w.R[to.number + n] = value end
    end
end

local function float_arithmetic(fn)
    return function(w, i)
        local values = {}
        for n = 2, #i.operands do
            values[n - 1] = float_operand(w, i.operands[n])
            if not values[n - 1] then return w:set(i.operands[1], nil) end
        end
        w:set(i.operands[1], bits_of(fn(values[1], values[2], values[3])))
    end
end

local function forget(w, i)
    local to = i.operands[1]
    local count = (i.has["128"] or i.base == "HMMA" or i.base == "LDSM") and 4 or (i.has["64"] or i.has.F64) and 2 or 1
    if i.base:match "^D[AFM]" or i.op:match "^F2F.F64" or i.base == "I2F" and i.has.F64 then count = 2 end
    if not to then return end
    if to.kind == "R" or to.kind == "UR" then
        for n = 0, count - 1 do w[to.kind][to.number + n] = nil end
    end
    -- Predicates that it may write besides.
    for n = 1, math.min(2, #i.operands) do
        if i.operands[n].kind == "P" then w.P[i.operands[n].number] = nil end
    end
end

local DO = {
    MOV = function(w, i) w:set(i.operands[1], w:signed(i.operands[2])) end,
    IMAD = multiply, IADD3 = add, VIADD = add, ISETP = compare_integers, FSETP = compare_floats, LOP3 = logic3,
    PLOP3 = predicates3, SHF = shift, LEA = scaled_add, PRMT = permute, SEL = choose, FSEL = choose,
    VIMNMX = extreme, IMNMX = extreme, LDC = load_constant, LDG = load_global,
    FADD = float_arithmetic(function(a, b) return a + b end),
    FMUL = float_arithmetic(function(a, b) return a * b end),
    FFMA = float_arithmetic(function(a, b, c) return a * b + c end),
    IABS = function(w, i)
        local a = w:signed(i.operands[2])
        w:set(i.operands[1], a and math.abs(s32(a)))
    end,
    POPC = function(w, i)
        local a = w:get(i.operands[2])
        local n = a and 0
        while a and a > 0 do
            n, a = n + a % 2, math.floor(a / 2)
        end
        w:set(i.operands[1], n)
    end,
    -- Half constants: the machine's way to make one of integers.
    HFMA2 = function(w, i)
        local a, b, high, low = i.operands[2], i.operands[3], i.operands[4], i.operands[5]
        if a and b and a.value == 0 and b.value == 0 and high and low and high.decimal and low.decimal then
            return w:set(i.operands[1], half_bits(high.decimal) * 65536 + half_bits(low.decimal))
        end
        w:set(i.operands[1], nil)
    end,
    MUFU = function(w, i)
        local x = i.has.RCP and float_operand(w, i.operands[2])
        w:set(i.operands[1], x and bits_of(1 / x))
    end,
    I2F = function(w, i)
        if i.has.F64 then return forget(w, i) end
        local a, b = w:get(i.operands[2]), i.has.U64 and w:get(i.operands[2], true) or 0
        if not (a and b) or i.has.S64 then return w:set(i.operands[1], nil) end
        w:set(i.operands[1], bits_of(i.has.U32 and a or i.has.U64 and a + b * TWO32 or s32(a)))
    end,
    F2I = function(w, i)
        local x = not i.has.F64 and float_operand(w, i.operands[2])
        if i.has.U64 then
            local whole = x and x >= 0 and x < 2 ^ 64 and ffi.cast("uint64_t", x)
            w:set(i.operands[1], whole and low_of(whole))
            w:set(i.operands[1], whole and high_of(whole), true)
        else
            w:set(i.operands[1], x and i.has.U32 and math.min(math.max(math.floor(x), 0), TWO32 - 1))
        end
    end,
    S2R = function(w, i) w:set(i.operands[1], w.special[i.operands[2].name]) end,
    CS2R = function(w, i)
        local value = i.operands[2].name == "SRZ" and 0 or nil
        w:set(i.operands[1], value)
        if not i.has["32"] then w:set(i.operands[1], value, true) end
    end,
    R2UR = function(w, i) w:set(i.operands[1], w:get(i.operands[#i.operands])) end,
    VOTE = function(w, i)
        for n, o in ipairs(i.operands) do
            if o.kind == "R" or o.kind == "UR" then
                w:set(o, nil)
            elseif n < #i.operands then
                w:set_predicate(o, w:predicate(i.operands[#i.operands]))
            end
        end
    end,
    P2R = function(w, i)
        local mask = w:get(i.operands[4])
        local value = w:get(i.operands[3])
        local by = i.has.B1 and 256 or i.has.B2 and 65536 or i.has.B3 and 16777216 or 1
        for n = 0, 6 do
            if value and mask and bit.band(mask, bit.lshift(1, n)) ~= 0 then
                local p = w.P[n]
                local one = logic(bit.lshift(1, n)) * by
                local base = logic(bit.band(value, bit.bnot(one)))
                if p == nil then value = nil else value = base + (p and one or 0) end
            end
        end
        w:set(i.operands[1], mask and value)
    end,
    R2P = function(w, i)
        local value, mask = w:get(i.operands[2]), w:get(i.operands[3])
        for n = 0, 6 do
            if not mask or bit.band(mask, bit.lshift(1, n)) ~= 0 then
                local p
                if value then p = bit.band(value, bit.lshift(1, n)) ~= 0 end
                w.P[n] = p
            end
        end
    end,
}
-- Those of the uniform data path do the same.
for name in ("MOV IMAD IADD3 ISETP LOP3 PLOP3 SHF LEA PRMT SEL LDC"):gmatch "%S+" do DO["U" .. name] = DO[name] end
DO.S2UR, DO.VOTEU = DO.S2R, DO.VOTE

-- What changes no register.
local NOTHING = {
    NOP = true, BSSY = true, BSYNC = true, BAR = true, WARPSYNC = true, DEPBAR = true, LDGDEPBAR = true, MEMBAR = true,
    ERRBAR = true, CCTL = true, BREAK = true, STG = true, STS = true, STL = true, LDGSTS = true, RED = true,
    ENDCOLLECTIVE = true,
}

--- The registers of a warp at the start of a launch.
-- @tparam table launch constants, memory: {address = byte}; special: {["SR_TID.X"] = ...}
function M.warp(launch)
    return setmetatable({ R = {}, UR = {}, P = {}, UP = {}, constants = launch.constants, memory = launch.memory,
        special = launch.special }, Warp)
end

--- Do what an instruction does that is no branch; where it is not known whether it is done, its results are unknown.
function M.execute(w, i, known)
    if NOTHING[i.base] then return end
    local fn = known and DO[i.base] or forget
    fn(w, i)
end

return M
