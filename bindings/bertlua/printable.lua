--- Text of unknown origin, made safe for a terminal or a log: names of files, tensors and labels come from files that
-- may have been written to move the cursor, to retitle the window or to forge a line.
-- @module bertlua.printable

local printable = {}

local SHORT = { ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }

local function escape(bytes)
    return SHORT[bytes] or (bytes:gsub(".", function(byte) return ("\\x%02x"):format(byte:byte()) end))
end

--- Length of the UTF-8 character at a position; nil if there is none.
local function length_at(text, at)
    local first = text:byte(at)
    local length = first >= 0xC2 and first <= 0xDF and 2 or first >= 0xE0 and first <= 0xEF and 3
        or first >= 0xF0 and first <= 0xF4 and 4
    if not length or not text:find("^" .. ("[\128-\191]"):rep(length - 1), at + 1) then return nil end
    return length
end

--- Whether a terminal obeys a character rather than showing it: C1 controls, and what reverses or isolates the
-- direction of the text around it.
local function is_control(character)
    return character:find "^\194[\128-\159]" or character:find "^\226\128[\142\143\168-\174]"
        or character:find "^\226\129[\166-\169]"
end

local function beyond_ascii(run)
    local out, at = {}, 1
    while at <= #run do
        local length = length_at(run, at)
        local character = run:sub(at, at + (length or 1) - 1)
        out[#out + 1] = (not length or is_control(character)) and escape(character) or character
        at = at + #character
    end
    return table.concat(out)
end

--- Control characters, and bytes that are not UTF-8, as \n, \x1b and so on; all else as it is.
function printable.text(text)
    if text:find "[%c\128-\255]" then text = text:gsub("%c", escape):gsub("[\128-\255]+", beyond_ascii) end
    return text
end

--- The same for text of several lines: line feeds stay.
function printable.lines(text)
    if text:find "[%c\128-\255]" then text = text:gsub("[^\n]+", printable.text) end
    return text
end

return printable
