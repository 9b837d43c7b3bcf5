--- UTF-8 as SQuAD counts it: offsets in code points, words separated by white space.
-- Byte offsets are 0-based. Nothing here depends on a vocabulary or a data set.
-- @module bertlua.squad.text

local array = require "bertlua.array"
local native = require "bertlua.text"

local text = {}

local byte = string.byte

--- Position (from 1) of the first byte that is not UTF-8; nil if all are.
function text.invalid_byte(s)
    local offset = native.invalid_utf8(s)
    return offset and offset + 1
end

--- Number of code points.
function text.length(s)
    local count = #s
    if not s:find "[\128-\255]" then return count end
    for at = 1, #s do
        local b = byte(s, at)
        if b >= 0x80 and b < 0xc0 then count = count - 1 end
    end
    return count
end

--- Byte offset of every code point and of the end.
-- @return int32 array [count + 1]
-- @treturn number count
function text.code_points(s)
    local offsets, count = array.int32(#s + 1), 0
    for at = 1, #s do
        local b = byte(s, at)
        if b < 0x80 or b >= 0xc0 then
            offsets[count] = at - 1
            count = count + 1
        end
    end
    offsets[count] = #s
    return offsets, count
end

--- Code point that starts at byte `at` (1-based) of valid UTF-8, and its length.
function text.decode(s, at)
    local lead = byte(s, at)
    if lead < 0x80 then return lead, 1 end
    if lead < 0xe0 then return (lead - 0xc0) * 64 + byte(s, at + 1) - 0x80, 2 end
    if lead < 0xf0 then
        return ((lead - 0xe0) * 64 + byte(s, at + 1) - 0x80) * 64 + byte(s, at + 2) - 0x80, 3
    end
    local high = ((lead - 0xf0) * 64 + byte(s, at + 1) - 0x80) * 64 + byte(s, at + 2) - 0x80
    return high * 64 + byte(s, at + 3) - 0x80, 4
end

local NARROW_SPACE = "\226\128\175" -- U+202F, the only non-ASCII space that separates SQuAD words

--- The words separated by SQuAD's white space: space, tab, line ends, U+202F.
-- @return int32 arrays of the words' first bytes and of one past their last bytes
-- @treturn number count
function text.words(s)
    if s:find(NARROW_SPACE, 1, true) then s = s:gsub(NARROW_SPACE, "   ") end
    local capacity = math.floor(#s / 2) + 1
    local starts, stops, count = array.int32(capacity), array.int32(capacity), 0
    local inside = false
    for at = 1, #s do
        local b = byte(s, at)
        local is_space = b == 32 or b == 9 or b == 10 or b == 13
        if is_space then
            if inside then
                stops[count] = at - 1
                count = count + 1
            end
            inside = false
        elseif not inside then
            starts[count] = at - 1
            inside = true
        end
    end
    if inside then
        stops[count] = #s
        count = count + 1
    end
    return starts, stops, count
end

--- Bytes [first, stop) of s, which start and end with a word, with one space between words.
function text.join_words(s, first, stop)
    local span = s:sub(first + 1, stop)
    if span:find(NARROW_SPACE, 1, true) then span = span:gsub(NARROW_SPACE, " ") end
    return (span:gsub("[ \t\r\n]+", " "))
end

--- Replace every non-ASCII white-space character by a plain space.
local function plain_spaces(s)
    if not s:find "[\194\225-\227]" then return s end
    return (s:gsub("\194[\133\160]", " "):gsub("\225\154\128", " "):gsub("\226\128[\128-\138\168\169\175]", " ")
        :gsub("\226\129\159", " "):gsub("\227\128\128", " "))
end

--- Words separated by any Unicode white space (and the separators U+001C to U+001F).
-- @treturn {string,...}
function text.split(s)
    local list = {}
    for word in plain_spaces(s):gmatch "[^ \t-\r\28-\31]+" do list[#list + 1] = word end
    return list
end

--- White space of any kind collapsed to single spaces, and trimmed.
function text.fold_spaces(s)
    return table.concat(text.split(s), " ")
end

--- Line and column (in bytes, from 1) of a position in a string.
function text.line_and_column(s, position)
    local line, start = 1, 1
    for at in s:gmatch "()\n" do
        if at >= position then break end
        line, start = line + 1, at + 1
    end
    return line, position - start + 1
end

return text
