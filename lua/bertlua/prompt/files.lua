--- Files that a user names on the command line or after `:run`, and the arguments behind them.

local host_found, host = pcall(require, "bertlua.host")
local suggest = require "bertlua.util.suggest"

local M = {}

M.COMMANDS = { "doctor" }

local function root()
    return host_found and host.root or "."
end

local function readable(path)
    local file = io.open(path, "rb")
    if not file then return false end
    -- A folder can be opened, but not read.
    local is_file = file:read(0) ~= nil or file:seek "end" == 0
    file:close()
    return is_file
end

local function own_recipes()
    local list = {}
    local found, lfs = pcall(require, "lfs")
    if found and lfs.attributes(root() .. "/recipes", "mode") == "directory" then
        for name in lfs.dir(root() .. "/recipes") do
            if name:match "%.lua$" then list[#list + 1] = "recipes/" .. name end
        end
    end
    table.sort(list)
    return list
end

--- Find a Lua file: as given, or among bertlua's own, with or without its ending.
-- @return path, or nil and a message
function M.find(name)
    -- The ending may be left out, but the name as given comes first.
    for _, ending in ipairs { "", ".lua" } do
        for _, folder in ipairs { "", root() .. "/", root() .. "/recipes/" } do
            local path = folder .. name .. ending
            if (folder == "" or name:sub(1, 1) ~= "/") and readable(path) then return path end
        end
    end
    local folder = io.open(name, "rb")
    if folder then
        folder:close()
        return nil, name .. " is a folder, expected a Lua file"
    end
    -- Compared without what all paths have in common.
    local function stem(path) return (path:gsub("^.*/", ""):gsub("%.lua$", "")) end
    local stems, full = {}, {}
    for _, list in ipairs { own_recipes(), M.COMMANDS } do
        for _, candidate in ipairs(list) do
            stems[#stems + 1] = stem(candidate)
            full[stem(candidate)] = candidate
        end
    end
    local guess = full[suggest.closest(stem(name), stems)]
    return nil, "no such file: " .. name .. (guess and "; did you mean " .. guess .. "?" or "")
end

--- The words of a command line, as a shell splits them: at blanks, except in quotes or after a backslash.
-- @return list; or nil and a message
function M.split(text)
    local words, word, quote = {}, nil, nil
    local i = 1
    while i <= #text do
        local c = text:sub(i, i)
        if quote then
            if c == quote then quote = nil else word = word .. c end
        elseif c:match "%s" then
            if word then words[#words + 1] = word end
            word = nil
        else
            word = word or ""
            if c == "'" or c == '"' then
                quote = c
            elseif c == "\\" then
                i = i + 1
                word = word .. text:sub(i, i)
            else
                word = word .. c
            end
        end
        i = i + 1
    end
    if quote then return nil, "a " .. quote .. " is not closed" end
    if word then words[#words + 1] = word end
    return words
end

return M
