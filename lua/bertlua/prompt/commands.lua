--- Commands of the bertlua executable: words that are no recipes. One table for `bertlua --help`'s details, the
-- completion of shells and the manual page.

local host_found, host = pcall(require, "bertlua.host")
local recipe_files = require "bertlua.util.recipe_files"

local M = {}

--- Commands: { name, summary, arguments for synopses; script (below scripts/), or scripts by the word behind the
-- command }. A command with neither is run by command.lua.
M.list = {
    { name = "convert", arguments = "from-huggingface|to-huggingface [settings]",
        summary = "parameters of another program to a checkpoint, or a checkpoint to a folder of transformers",
        scripts = { ["from-huggingface"] = "convert_from_huggingface.lua",
            ["to-huggingface"] = "convert_to_huggingface.lua" } },
    { name = "doctor", arguments = "", summary = "check this machine and the installation" },
    { name = "help", arguments = "[NAME]", summary = "how to start; with a name, the settings of a recipe or command" },
    { name = "quantize", arguments = "FOLDER OUT", summary = "a model with weights of 8 bits, for faster inference",
        script = "quantize.lua" },
    { name = "recipes", arguments = "", summary = "list the recipes" },
    { name = "seal-shards", arguments = "[settings]", summary = "put a seal behind each shard of other programs",
        script = "seal_shards.lua" },
}

-- Columns of names, and of a line.
local NAME, WIDTH = 28, 80

local by_name = {}
for _, command in ipairs(M.list) do by_name[command.name] = command end

--- Folder of bertlua's own files.
function M.root()
    return host_found and host.root or "."
end

--- The command of a name, with dashes or underscores; nil if there is none.
function M.find(name)
    return by_name[(name:gsub("_", "-"))]
end

--- Words behind a command that choose its script, sorted.
function M.words(command)
    local words = {}
    for word in pairs(command.scripts or {}) do words[#words + 1] = word end
    table.sort(words)
    return words
end

--- Path of the script that a command runs.
-- @param word the one behind the command, where it has several scripts
-- @return path; nil for a command without scripts, or an unknown word
function M.script(command, word)
    local name = command.script or command.scripts and word and command.scripts[(word:gsub("_", "-"))]
    return name and ("%s/scripts/%s"):format(M.root(), name) or nil
end

--- What `--help` says of a command that has no settings, or of one with several scripts.
function M.help_text(command)
    local text = ("Usage: bertlua %s %s"):format(command.name, command.arguments):gsub("%s+$", "")
    local words = M.words(command)
    local summary = command.summary:gsub("^%l", string.upper) .. "."
    return ("%s\n\n%s\n%s"):format(text, require("bertlua.util.term").wrap(summary, WIDTH, 0), words[1]
        and ("bertlua %s %s --help lists the settings.\n"):format(command.name, words[1]) or "")
end

--- Everything that a bare word may name: commands and recipes.
function M.names()
    local names = recipe_files.names(M.root())
    for _, command in ipairs(M.list) do names[#names + 1] = command.name end
    return names
end

local function is_published(name)
    return name:match "^dgxa100_" ~= nil
end

--- The text of `bertlua recipes`: a line each; the published settings of one model behind the others.
function M.recipes_text()
    local root, term = M.root(), require "bertlua.util.term"
    local lines, published = { "Recipes: bertlua NAME [settings]; bertlua NAME --help shows what can be set.", "" },
        {}
    for _, name in ipairs(recipe_files.names(root)) do
        if is_published(name) then
            published[#published + 1] = "  " .. name
        else
            local summary = recipe_files.summary(recipe_files.find(root, name))
            lines[#lines + 1] = term.wrap(("  %-" .. NAME - 3 .. "s %s"):format(name, summary), WIDTH, NAME)
        end
    end
    if published[1] then
        lines[#lines + 1] = "\nBERT-large with the settings published for A100 80 GB GPUs:\n"
        lines[#lines + 1] = table.concat(published, "\n")
    end
    return table.concat(lines, "\n") .. "\n"
end

return M
