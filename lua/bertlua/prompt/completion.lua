--- What a shell's completion asks for: `bertlua --complete WORDS...`, with the words behind `bertlua` up to the one
-- that is being typed, which may be empty.
--
-- Options and what they take come from the declarations that also drive the command line: the recipe is started, and
-- stopped where it would read its arguments (settings.inquiry). That is done with bertlua's own files only: pressing
-- Tab must not run a stranger's.

local commands = require "bertlua.prompt.commands"
local recipe_files = require "bertlua.util.recipe_files"

local M = {}

local OPTIONS = {
    { "--help", "how to start" }, { "--version", "versions of bertlua and its libraries" },
    { "--device", "cpu, cuda or auto, in front of anything else" }, { "-e", "run code" },
}
local DEVICES = { { "cpu" }, { "cuda" }, { "auto" } }

-- A list of candidates to fill; only those that begin with what was typed are taken.
local function collector(prefix)
    local list = {}
    return list, function(text, description)
        if text:sub(1, #prefix) == prefix then list[#list + 1] = { text, description or "" } end
    end
end

local function with_prefix(candidates, prefix)
    local list, add = collector(prefix)
    for _, candidate in ipairs(candidates) do add(candidate[1], candidate[2]) end
    return list
end

--- The declarations of the settings of one of bertlua's own files; nil if it has none.
local function declarations(path)
    local settings, spec = require "bertlua.settings", nil
    local chunk = loadfile(path)
    if not chunk then return nil end
    local found = {}
    local before = rawget(_G, "arg")
    _G.arg = { [0] = path }
    settings.inquiry = function(asked)
        spec = asked
        error(found, 0)
    end
    pcall(chunk)
    settings.inquiry = nil
    _G.arg = before
    return spec
end

local function option_of(setting)
    return "--" .. setting.name:gsub("_", "-")
end

--- The setting whose value comes next, or nil.
local function awaiting(spec, word)
    local name = word and word:match "^%-%-([^=]+)$"
    return name and spec.by_name[(name:gsub("-", "_"))]
end

local function values_of(setting)
    local values = {}
    if setting.type == "boolean" then values = { { "true" }, { "false" } } end
    for _, choice in ipairs(setting.choices or {}) do values[#values + 1] = { choice } end
    return values
end

local function complete_settings(spec, words)
    local current, previous = words[#words], words[#words - 1]
    local setting = awaiting(spec, previous)
    if setting and current:sub(1, 2) ~= "--" then
        if setting.type == "path" then return {}, "any" end
        return with_prefix(values_of(setting), current)
    end
    if current:sub(1, 1) ~= "-" then return {}, "any" end
    local list, add = collector(current)
    for _, known in ipairs(spec.list) do
        if known.type ~= "lua" then
            add(option_of(known), known.help)
            -- Only when asked for: they would double the list.
            if known.type == "boolean" and current:sub(1, 4) == "--no" then
                add("--no-" .. known.name:gsub("_", "-"), known.help)
            end
        end
    end
    add("--help", "list the settings")
    table.sort(list, function(a, b) return a[1] < b[1] end)
    return list
end

local function complete_first(word)
    if word:find "/" then return {}, "lua" end
    if word:sub(1, 1) == "-" then return with_prefix(OPTIONS, word) end
    local list, add = collector(word)
    for _, command in ipairs(commands.list) do add(command.name, command.summary) end
    for _, name in ipairs(recipe_files.names(commands.root())) do
        add(name, recipe_files.summary(recipe_files.find(commands.root(), name)))
        -- Both spellings are understood; the one with dashes is offered to who types one.
        local dashed = name:gsub("_", "-")
        if word:find "%-" and dashed ~= name then
            add(dashed, recipe_files.summary(recipe_files.find(commands.root(), name)))
        end
    end
    table.sort(list, function(a, b) return a[1] < b[1] end)
    return list, "lua"
end

--- One of bertlua's own files that the first word names, and how many words name it; nil if it is none.
local function own_file(words)
    local command = commands.find(words[1])
    if command and command.script then return commands.script(command), 1 end
    if command and command.scripts then return words[3] and commands.script(command, words[2]), 2 end
    local stem = words[1]:match "^recipes/([%w_]+)%.lua$" or words[1]:match "^([%w_]+)%.lua$" or words[1]
    local path = recipe_files.find(commands.root(), stem)
    -- A file of the current folder comes before bertlua's own of the same path.
    if path and stem ~= words[1] and not recipe_files.same(path, words[1]) and io.open(words[1]) then return nil end
    return path, 1
end

--- Candidates for the last of some words.
-- @param words list of strings, at least one
-- @return list of { text, what it means }
-- @return "any" or "lua" where names of files, or of Lua files and folders, are candidates too; else nil
function M.candidates(words)
    words = { unpack(words) }
    while words[1] == "--device" and words[2] do
        if not words[3] then return with_prefix(DEVICES, words[2]) end
        table.remove(words, 1)
        table.remove(words, 1)
    end
    if not words[2] then return complete_first(words[1]) end
    local command = commands.find(words[1])
    if words[1] == "help" then
        table.remove(words, 1)
        local list = complete_first(words[1])
        return words[2] and {} or list
    elseif command and command.scripts and not words[3] then
        local list, add = collector(words[2])
        for _, word in ipairs(commands.words(command)) do add(word) end
        return list
    elseif command and not command.script and not command.scripts then
        return {}
    end
    local path, count = own_file(words)
    local spec = path and declarations(path)
    if not spec then return {}, "any" end
    for _ = 1, count do table.remove(words, 1) end
    return complete_settings(spec, words)
end

--- What a shell reads: a candidate a line, behind a tab what it means; a last line ":any" or ":lua" for files.
function M.text(words)
    local list, files = M.candidates(words)
    local lines = {}
    for _, candidate in ipairs(list) do
        lines[#lines + 1] = candidate[1] .. "\t" .. candidate[2]:gsub("%s+", " ") .. "\n"
    end
    if files then lines[#lines + 1] = ":" .. files .. "\n" end
    return table.concat(lines)
end

return M
