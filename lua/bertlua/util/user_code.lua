--- Which code is the user's: everything that is neither bertlua's own modules nor an installed library. Recipes are.

local found, host = pcall(require, "bertlua.host")

local M = {}

-- The executable knows its folder without the engine, which may not be there.
local function root()
    return found and host.root or require("bertlua.paths").root()
end

-- A deep recursion is cut in the middle.
local MOST_FRAMES, KEPT_AT_ENDS = 12, 5

--- Whether a chunk of this source is the user's.
-- @param source as debug.getinfo has it: "@path" of a file, "=stdin" of what was typed
function M.is_users(source)
    local path = source:match "^@(.*)$"
    if not path then return source == "=stdin" or source == "=(command line)" end
    for _, own in ipairs { root() .. "/lua/", root() .. "/bindings/", "/usr/share/lua/", "/usr/local/share/lua/" } do
        if path:sub(1, #own) == own then return false end
    end
    return not (path:match "^lua/bertlua/" or path:match "^%./lua/bertlua/" or path:match "^bindings/bertlua/")
end

--- An error's message at the user's line. An op that is called wrongly is found deep in bertlua, where users have
-- nothing to look for; a mistake of bertlua's own, such as an index of nil, keeps its place.
-- @param message as error() made it
-- @param level of the innermost function to look at; 1 is the caller
function M.relocate(message, level)
    local path, rest = message:match "^([^\n:]+):%d+: ([%w_.]+: .*)$"
    if not path or M.is_users("@" .. path) then return message end
    for at = level + 1, math.huge do
        local info = debug.getinfo(at, "Sl")
        if not info then return message end
        if info.what ~= "C" and info.currentline > 0 and M.is_users(info.source) then
            return ("%s:%d: %s"):format(info.short_src, info.currentline, rest)
        end
    end
end

local function describe(info)
    local place = ("%s:%d"):format(info.short_src, info.currentline)
    if info.what == "main" then return place end
    return ("%s: in %s"):format(place, info.name and ("function '%s'"):format(info.name)
        or ("a function of line %d"):format(info.linedefined))
end

--- Lines of the user's functions that are running, innermost first.
-- @param level of the innermost function to look at; 1 is the caller
-- @return lines without line breaks, or nil where they say no more than the error's own position: only one function, or
--   only what was typed
function M.frames(level)
    local lines, in_file = {}, false
    for at = level + 1, math.huge do
        local info = debug.getinfo(at, "Sln")
        if not info then break end
        if info.what ~= "C" and info.currentline > 0 and M.is_users(info.source) then
            lines[#lines + 1] = describe(info)
            in_file = in_file or info.source:sub(1, 1) == "@"
            -- Around what was typed there is only the prompt.
            if info.source == "=stdin" and info.what == "main" then break end
        end
    end
    if #lines < 2 or not in_file then return nil end
    if #lines > MOST_FRAMES then
        local left_out = #lines - 2 * KEPT_AT_ENDS
        local cut = {}
        for i = 1, KEPT_AT_ENDS do cut[i] = lines[i] end
        cut[#cut + 1] = ("... %d more"):format(left_out)
        for i = #lines - KEPT_AT_ENDS + 1, #lines do cut[#cut + 1] = lines[i] end
        lines = cut
    end
    return lines
end

return M
