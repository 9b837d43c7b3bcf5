--- What would give away to a model, or to its figures, what it is to find out: a label that is also its text, texts to
-- evaluate on that it was trained on.

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local plural = require "bertlua.util.plural"
local settings = require "bertlua.settings"
local storage = require "bertlua.storage"

local M = {}

-- Settings that name columns, and what a column of its own is for.
local COLUMNS = { { "pair_column", "second text" }, { "label_column", "label" } }

--- Refuse settings that name one column for two things.
-- @param values by setting: text_column, pair_column, label_column; nil where unset
function M.check_columns(values)
    local seen = { [values.text_column or ""] = "--text-column" }
    for _, entry in ipairs(COLUMNS) do
        local name, option = values[entry[1]], settings.option(entry[1])
        if name and seen[name] then
            fault.raisef("%s and %s are both %s: the %s is in another column", option, seen[name], name, entry[2])
        end
        seen[name or ""] = option
    end
end

-- Bytes that nearly all files of the same size differ in.
local HEAD_BYTES = 2 ^ 16

local function head_crc32c(path)
    local file = io.open(path, "rb")
    local head = file and file:read(HEAD_BYTES)
    if file then file:close() end
    return head and storage.crc32c(head)
end

--- A function that tells whether a path has the contents of one of the files. They may be big and many, so that a file
-- is read only where another has its size, beyond its head only where they begin alike, and no file twice.
local function finder(files)
    local known, of_size = {}, {}
    for _, path in ipairs(files) do
        local size = fs.size(path)
        known[fs.identity(path)], of_size[size] = true, of_size[size] or {}
        table.insert(of_size[size], path)
    end
    local function remembered(get)
        local values = {}
        return function(path)
            if values[path] == nil then values[path] = get(path) or false end
            return values[path]
        end
    end
    local head, sum = remembered(head_crc32c), remembered(storage.file_crc32c)
    local function equal(get, a, b)
        return get(a) and get(a) == get(b)
    end
    return function(path)
        if known[fs.identity(path)] then return true end
        local size = fs.size(path)
        for _, other in ipairs(size > 0 and of_size[size] or {}) do
            if equal(head, path, other) and equal(sum, path, other) then return true end
        end
        return false
    end
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
    local both, is_trained_on = 0, finder(existing(train))
    held = existing(held)
    for _, path in ipairs(held) do
        if is_trained_on(path) then both = both + 1 end
    end
    if both == 0 then return end
    local files = #held == 1 and "this file is"
        or ("%d of its %s %s"):format(both, plural.count(#held, "file"), both == 1 and "is" or "are")
    run.warnings[#run.warnings + 1] = ("%s: %s also trained on: figures for texts that a model has seen do not tell "
        .. "what it has learned"):format(shown, files)
end

return M
