--- Patterns of dotted names, such as those of parameters: "embeddings", "encoder.layer.[0-5].", "encoder.*bias".
--
-- A pattern is one of Lua's (%d, [0-5], *, -, ...) with two differences, both because names are made of components:
-- it matches one or more whole components, wherever they stand, so that "layer.1" is not layer.10; and a dot is a dot,
-- except in .* .+ .- .? where it stands for any character. ^ and $ bind a pattern to the first and the last component;
-- a dot at either end changes nothing.

local suggest = require "bertlua.util.suggest"

local M = {}

-- What a pattern is made of: a class or an escape, a set, any characters; anything else stands for itself.
local PIECES = { "^%%[acdglpsuwxACDGLPSUWX%p]", "^%[%^?%]?[^%]]*%]", "^%.[%*%+%-%?]", "^[^%%%[%(%)]" }

--- The pattern in Lua's own terms, without dots at the ends; or nil and what is wrong with it.
local function translate(pattern)
    local parts, at = {}, 1
    while at <= #pattern do
        local piece
        for _, kind in ipairs(PIECES) do piece = piece or pattern:match(kind, at) end
        if not piece then
            local first = pattern:sub(at, at)
            if first == "[" then return nil, "the ] of a set is missing" end
            return nil, ("%s has no meaning here"):format(first == "%" and pattern:sub(at, at + 1) or first)
        end
        parts[#parts + 1] = piece == "." and "%." or piece
        at = at + #piece
    end
    while parts[1] == "%." do table.remove(parts, 1) end
    if parts[1] and parts[1]:find "^[%*%+%-%?]$" then return nil, ("%s has nothing before it"):format(parts[1]) end
    while parts[#parts] == "%." do parts[#parts] = nil end
    return table.concat(parts)
end

--- A function that says whether a name matches.
-- @param pattern see above
-- @return function(name) -> boolean; or nil and what is wrong with the pattern
function M.compile(pattern)
    local first, last = pattern:match "^%^" or "", pattern:match "[^%%](%$)$" or ""
    local body, problem = translate(pattern:sub(#first + 1, #pattern - #last))
    if not body then return nil, problem end
    if body == "" then return nil, "it is empty" end
    local whole = first .. "%." .. body .. "%." .. last
    return function(name) return ("." .. name .. "."):find(whole) ~= nil end
end

--- The name that has the components most like a pattern, to suggest for one that matches nothing.
-- @param names list of names, at least one
function M.nearest(pattern, names)
    local text = pattern:gsub("^[%^%.]+", ""):gsub("[%$%.]+$", "")
    local length = select(2, text:gsub("%.", "")) + 1
    local best, best_distance = names[1], math.huge
    for _, name in ipairs(names) do
        local words = {}
        for word in name:gmatch "[^%.]+" do words[#words + 1] = word end
        for i = 1, math.max(1, #words - length + 1) do
            local distance = suggest.distance(text, table.concat(words, ".", i, math.min(#words, i + length - 1)))
            if distance < best_distance then best, best_distance = name, distance end
        end
    end
    return best
end

return M
