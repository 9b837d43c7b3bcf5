--- Changes of a file's bytes for spec/fuzz/readers.lua: from one seed always the same ones.

local mutation = {}

local EDGES = { "\0", "\1", "\127", "\128", "\255", "\0\0\0\0", "\255\255\255\255", "\255\255\255\127", "\0\0\0\128",
    "\255\255\255\255\255\255\255\255", "\255\255\255\255\255\255\255\127" }
local NUMBERS = { "0", "-1", "1", "2", "255", "65536", "2147483648", "4294967295", "9007199254740993",
    "9223372036854775807", "18446744073709551615", "1e999", "-1e999", "0.5", "nan" }

--- A source of numbers: random(n) -> 1 to n.
function mutation.random(seed)
    math.randomseed(seed)
    return math.random
end

local function piece(text, random)
    local first = random(#text)
    return text:sub(first, first + random(math.min(64, #text)) - 1)
end

-- Each: (text, random, other file, tokens of this kind of file) -> text.
local CHANGES = {
    function(text, random)
        local at = random(#text)
        return text:sub(1, at - 1) .. string.char(bit.bxor(text:byte(at), 2 ^ (random(8) - 1))) .. text:sub(at + 1)
    end,
    function(text, random)
        local at = random(#text)
        return text:sub(1, at - 1) .. string.char(random(256) - 1) .. text:sub(at + 1)
    end,
    function(text, random)
        local at, edge = random(#text), EDGES[random(#EDGES)]
        return text:sub(1, at - 1) .. edge .. text:sub(at + #edge)
    end,
    function(text, random) return text:sub(1, random(#text) - 1) end,
    function(text, random)
        local at = random(#text)
        return text:sub(1, at - 1) .. text:sub(at + random(32))
    end,
    function(text, random)
        local at = random(#text + 1)
        return text:sub(1, at - 1) .. piece(text, random):rep(random(3)) .. text:sub(at)
    end,
    function(text, random, other)
        return text:sub(1, random(#text)) .. other:sub(random(#other))
    end,
    function(text, random, other)
        local at, part = random(#text), piece(other, random)
        return text:sub(1, at - 1) .. part .. text:sub(at + #part)
    end,
    -- A number written in digits becomes another.
    function(text, random)
        local first, last = text:find("%-?%d+", random(#text))
        return first and text:sub(1, first - 1) .. NUMBERS[random(#NUMBERS)] .. text:sub(last + 1) or text
    end,
    function(text, random, _, tokens)
        local at, token = random(#text + 1), tokens[random(#tokens)]
        return text:sub(1, at - 1) .. token .. text:sub(at + (random(2) == 1 and #token or 0))
    end,
}

--- The text with one to four changes.
-- @param random of mutation.random
-- @tparam string other another file of this kind
-- @tparam table tokens strings that mean something in this kind of file
function mutation.change(text, random, other, tokens)
    for _ = 1, random(random(4)) do
        if text == "" then text = "\0" end
        text = CHANGES[random(#CHANGES)](text, random, other, tokens)
    end
    return text
end

return mutation
