--- Files that a user names on the command line or after `:run`, and the arguments behind them.

local commands = require "bertlua.prompt.commands"
local recipe_files = require "bertlua.util.recipe_files"
local suggest = require "bertlua.util.suggest"

local M = {}

local ENOTDIR = 20

-- Nothing is read: of a pipe, as <(...) of a shell names one, it would be gone.
local function readable(path)
    local file = io.open(path, "rb")
    if not file then return false end
    file:close()
    -- A folder can be opened, too.
    local folder, _, code = io.open(path .. "/.", "rb")
    if folder then folder:close() end
    return code == ENOTDIR
end

-- Asked of what is not readable.
local function is_folder(path)
    local folder = io.open(path, "rb")
    if folder then folder:close() end
    return folder ~= nil
end

-- What lies in the current folder under a bare word, with or without the ending; nil if nothing does.
local function beside(name)
    return readable(name) and name or readable(name .. ".lua") and name .. ".lua" or nil
end

local function guess_of(name)
    -- Compared without what all paths have in common.
    local function stem(path) return (path:gsub("^.*/", ""):gsub("%.lua$", ""):gsub("-", "_")) end
    local bare = recipe_files.is_name(name)
    local stems, full = {}, {}
    for _, candidate in ipairs(bare and commands.names() or recipe_files.names(commands.root())) do
        stems[#stems + 1] = stem(candidate)
        full[stem(candidate)] = bare and candidate or ("recipes/%s.lua"):format(candidate)
    end
    return full[suggest.closest(stem(name), stems)]
end

local function find_path(name)
    -- The ending may be left out, but the name as given comes first.
    for _, ending in ipairs { "", ".lua" } do
        for _, folder in ipairs { "", commands.root() .. "/", commands.root() .. "/recipes/" } do
            local path = folder .. name .. ending
            if (folder == "" or name:sub(1, 1) ~= "/") and readable(path) then return path end
        end
    end
    if is_folder(name) then return nil, name .. " is a folder, expected a Lua file" end
    local guess = guess_of(name)
    return nil, "no such file: " .. name .. (guess and "; did you mean " .. guess .. "?" or "")
end

-- A word without a slash that ends otherwise than a Lua file: most often data, whose setting was left out.
local function refuse(name)
    local file, guess = beside(name), guess_of((name:gsub("%.[^.]*$", "")))
    if file then
        local data = file == name and "; data are named by a setting of a recipe, as --train-file " .. name or ""
        return nil, ("%s: a name without a slash is run as Lua only if it ends in .lua; if it is Lua: ./%s%s"):format(
            name, file, data)
    elseif is_folder(name) then
        return nil, name .. " is a folder, expected a Lua file"
    end
    return nil, ("no file and no recipe is called %s%s"):format(name, guess and "; did you mean " .. guess .. "?" or "")
end

--- Find a Lua file. A word with a slash, or that ends in .lua, is a path: as given, or below bertlua's own folder. A
-- bare word is the name of a recipe and never a file of the current folder, so that none can take a recipe's place.
-- @return path, or nil and a message
-- @return for a name, the file of the current folder that could have been meant
function M.find(name)
    if name:find("/", 1, true) or name:find "%.lua$" then return find_path(name) end
    if not recipe_files.is_name(name) then return refuse(name) end
    local path, file = recipe_files.find(commands.root(), name), beside(name)
    if path then
        -- In recipes/ itself they are the same file.
        return path, file and not recipe_files.same(path, file) and file or nil
    end
    if file then return nil, ("no recipe is called %s; to run the file %s: ./%s"):format(name, file, file) end
    local guess = guess_of(name)
    return nil, ("no command or recipe is called %s%s"):format(name, guess and "; did you mean " .. guess .. "?" or "")
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
