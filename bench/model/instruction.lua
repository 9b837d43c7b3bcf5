--- An instruction of machine code as a table, from the text that cuobjdump shows, for bench/model/walk.lua.

local ffi = require "ffi"

local M = {}

local TWO32 = 2 ^ 32

local word = ffi.new "union { float f; uint32_t u; }"

--- The float of a word, and the word of a float.
function M.float_of(u)
    word.u = u
    return tonumber(word.f)
end
function M.bits_of(x)
    word.f = x
    return tonumber(word.u)
end

function M.is_predicate(o) return o and (o.kind == "P" or o.kind == "UP" or type(o.value) == "boolean") end

local function parse_operand(text)
    local o = { text = text }
    local body = text:gsub("%.reuse", "")
    while true do
        local c = body:sub(1, 1)
        if c == "-" and not body:match "^%-%d" then
            o.minus, body = true, body:sub(2)
        elseif c == "~" then
            o.invert, body = true, body:sub(2)
        elseif c == "!" then
            o.negate, body = true, body:sub(2)
        elseif c == "|" then
            o.absolute, body = true, body:sub(2):gsub("|$", "")
        else
            break
        end
    end
    local name, number = body:match "^(U?[RP])(%d+)"
    if name then
        o.kind, o.number = name, tonumber(number)
        o.partial = body:find(".", 1, true) and not body:find ".64" or nil
    elseif body:match "^U?RZ" then
        o.kind, o.value = "value", 0
    elseif body:match "^U?PT" then
        o.kind, o.value = "value", not o.negate
        o.negate = nil
    elseif body:match "^c%[" then
        o.kind = "constant"
        o.index, o.offset = body:match "^c%[0x0%]%[(U?R%d+)%+?(.*)%]"
        if not o.index then o.offset = body:match "^c%[0x0%]%[(0x%x+)%]" end
        o.offset = tonumber(o.offset) or 0
    elseif body:match "^desc" or body:match "^%[" then
        o.kind = "memory"
        local inner = body:match "%[([^%[%]]*)%]$" or ""
        for part in inner:gmatch "[^+]+" do
            local base = part:match "^R(%d+)"
            local uniform = part:match "^UR(%d+)"
            if base then
                o.base, o.wide = tonumber(base), part:find(".64", 1, true) ~= nil
            elseif uniform then
                o.uniform = tonumber(uniform)
            elseif tonumber(part) then
                o.offset = (o.offset or 0) + tonumber(part)
            end
        end
    elseif body:match "^SR" then
        o.kind = "special"
        o.name = body
    elseif tonumber(body) then
        o.kind = "value"
        local x = tonumber(body)
        o.decimal = not body:match "^%-?0x" and x or nil
        o.value = o.decimal and body:find "[.e]" and M.bits_of(x) or x % TWO32
    else
        o.kind = "other"
    end
    return o
end

--- Operands without the predicates between the result and the sources; those, and those behind.
local function sort_operands(one)
    local sources, first, last = {}, {}, {}
    for n = 2, #one.operands do
        local o = one.operands[n]
        if M.is_predicate(o) then
            local list = #sources == 0 and first or last
            list[#list + 1] = o
        else
            sources[#sources + 1] = o
        end
    end
    one.sources, one.outs, one.ins = sources, first, last
end

--- An instruction of the text that cuobjdump shows behind its address.
-- @treturn ?table op, base (up to the first dot), has: {modifier = true}, guard, operands; of these also sources, and
--   outs and ins: predicates before and behind them. An operand has kind (R, UR, P, UP, value, constant, memory,
--   special or other), number or value, and minus, invert, negate, absolute
function M.parse(text)
    local guard, rest = text:match "^@(!?U?P%w+)%s+(.*)$"
    rest = rest or text
    local op, operands = rest:match "^([%w_.]+)%s*(.*)$"
    if not op then return nil end
    local one = { op = op, base = op:match "^[%w_]+", has = {}, operands = {}, guard = guard and parse_operand(guard) }
    for modifier in op:gmatch "%.([%w_]+)" do one.has[modifier] = true end
    for part in (operands .. ","):gmatch "%s*(.-)%s*," do
        if part ~= "" then one.operands[#one.operands + 1] = parse_operand(part) end
    end
    sort_operands(one)
    return one
end

return M
