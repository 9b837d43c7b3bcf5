--- What would give away to a model, or to its figures, what it is to find out: a label that is also its text, texts to
-- evaluate on that it was trained on.

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local plural = require "bertlua.util.plural"
local storage = require "bertlua.storage"

local M = {}

-- Settings that name columns, and what a column of its own is for.
local COLUMNS = { { "pair_column", "second text" }, { "label_column", "label" } }

--- Refuse settings that name one column for two things.
-- @param values by setting: text_column, pair_column, label_column; nil where unset
function M.check_columns(values)
    local seen = { [values.text_column or ""] = "--text-column" }
    for _, entry in ipairs(COLUMNS) do
        local name, option = values[entry[1]], "--" .. entry[1]:gsub("_", "-")
        if name and seen[name] then
            fault.raisef("%s and %s are both %s: the %s is in another column", option, seen[name], name, entry[2])
        end
        seen[name or ""] = option
    end
end

--- Whether two files have the same contents; of other sizes they need not be read.
local function same(a, b)
    if fs.identity(a) == fs.identity(b) then return true end
    local size = fs.size(a)
    if size == 0 or size ~= fs.size(b) then return false end
    return storage.file_crc32c(a) == storage.file_crc32c(b)
end

local function existing(paths)
    local list = {}
    for _, path in ipairs(paths) do list[#list + 1] = fs.is_file(path) and path or nil end
    return list
end

--- Warn where texts to evaluate on are among those to train on.
-- @param run plan, whose warnings get a line
-- @param train list of the files of train_file
-- @param shown what a message calls the texts to evaluate on, as "--dev-file dev.csv"
-- @param held list of their files
function M.warn_of_files(run, train, shown, held)
    local both = 0
    train, held = existing(train), existing(held)
    for _, path in ipairs(held) do
        for _, other in ipairs(train) do
            if same(path, other) then
                both = both + 1
                break
            end
        end
    end
    if both == 0 then return end
    run.warnings[#run.warnings + 1] = ("%s: %s to train on, too: figures of texts that a model has seen do not tell "
        .. "what it has learned"):format(shown, #held == 1 and "this file is one" or ("%d of its %s %s"):format(both,
        plural.count(#held, "file"), both == 1 and "is one" or "are files"))
end

return M
