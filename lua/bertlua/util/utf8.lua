--- UTF-8: what is valid.
-- @module bertlua.util.utf8

local utf8 = {}

local byte = string.byte

--- Length of the code point that starts at byte `at` (1-based); nil if it is not UTF-8.
local function code_point_length(s, at)
    local lead = byte(s, at)
    if lead < 0x80 then return 1 end
    local second = byte(s, at + 1) or 0
    if lead < 0xc2 or lead > 0xf4 or second < 0x80 or second > 0xbf then return nil end
    if lead < 0xe0 then return 2 end
    local third = byte(s, at + 2) or 0
    if third < 0x80 or third > 0xbf then return nil end
    if lead < 0xf0 then
        -- Overlong forms and surrogates.
        if (lead == 0xe0 and second < 0xa0) or (lead == 0xed and second > 0x9f) then return nil end
        return 3
    end
    local fourth = byte(s, at + 3) or 0
    if fourth < 0x80 or fourth > 0xbf then return nil end
    if (lead == 0xf0 and second < 0x90) or (lead == 0xf4 and second > 0x8f) then return nil end
    return 4
end

--- Position (1-based) of the first byte that is not UTF-8; nil if all are.
function utf8.invalid_byte(s)
    local at, size = s:find "[\128-\255]" or #s + 1, #s
    while at <= size do
        local length = code_point_length(s, at)
        if not length then return at end
        at = at + length
    end
    return nil
end

return utf8
