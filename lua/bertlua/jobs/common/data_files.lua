--- The files that a run trains on, and those that it evaluates on while it trains, as its checkpoints record them:
-- {path, files = list of {name, bytes, checksum}}. Data that a recipe's function yields are compared by own_data.lua.
--
-- Shards bring the checksums that their reader knows: of all of the file, or of three places in shards made elsewhere,
-- which would take long to read. What counts is the order of contents: files that are moved or renamed in that order
-- are the same data.

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local first_of = require("bertlua.util.listed").first
local plural = require "bertlua.util.plural"
local storage = require "bertlua.storage"

local M = {}

-- Names of files that a line tells.
local SHOWN = 3

local function of_shards(shards)
    local record = { path = shards.input_dir, files = {} }
    for i, file in ipairs(shards.listed) do record.files[i] = { file.name, file.bytes, file.checksum } end
    return record
end

local function of_file(path)
    local crc, bytes = storage.file_crc32c(path)
    fault.check(crc, bytes)
    return { path = path, files = { { fs.basename(path), bytes, crc } } }
end

--- Records of a job's data, by the setting that names them.
-- @param job of the runner, data opened
-- @return table: input_dir or train_file, evaluate; empty for data of a recipe's function
function M.of(job)
    local records, train, run = {}, job.data.train, job.run
    local path = run.train_file or job.values.train_file
    if train and train.listed then
        records[train.named_by or "input_dir"] = of_shards(train)
    elseif path and run.work.train then
        records.train_file = of_file(path)
    end
    local shards = job.evaluation and job.evaluation.shards
    local held_out = run.evaluate and (run.evaluate.predict_file or run.evaluate.dev_file)
    if shards then
        records.evaluate = of_shards(shards)
    elseif held_out then
        records.evaluate = of_file(held_out)
    end
    return records
end

local function key_of(file)
    return ("%.0f %08x"):format(file[2], file[3])
end

--- "d32 (2 files, CRC32C 0a1b2c3d)"; of one file, its own checksum.
local function text_of(record)
    local keys = {}
    for i, file in ipairs(record.files) do keys[i] = key_of(file) end
    local crc = #keys == 1 and record.files[1][3] or storage.crc32c(table.concat(keys, "\n"))
    return ("%s (%s, CRC32C %08x)"):format(record.path, plural.count(#record.files, "file"), crc)
end

local function by_name(record)
    local list = {}
    for _, file in ipairs(record.files) do list[file[1]] = key_of(file) end
    return list
end

--- "removed a.hdf5, b.hdf5 and 4 more".
local function listed(what, names)
    if #names == 0 then return nil end
    return ("%s %s"):format(what, first_of(names, SHOWN))
end

--- How files differ, as text; nil if their contents are the same, in the same order.
-- @param before, now records, or nil for none
function M.difference(before, now, checkpoint_path)
    if not before and not now then return nil end
    if not before or not now then
        return ("was %s in %s and is %s now"):format(before and text_of(before) or "not set", checkpoint_path,
            now and text_of(now) or "not set")
    end
    local equal = #before.files == #now.files
    for i, file in ipairs(before.files) do equal = equal and key_of(file) == key_of(now.files[i]) end
    if equal then return nil end
    local was, is, removed, added, changed = by_name(before), by_name(now), {}, {}, {}
    for _, file in ipairs(before.files) do
        local name = file[1]
        if not is[name] then
            removed[#removed + 1] = name
        elseif is[name] ~= was[name] then
            changed[#changed + 1] = name
        end
    end
    for _, file in ipairs(now.files) do
        if not was[file[1]] then added[#added + 1] = file[1] end
    end
    local parts = {}
    for _, part in ipairs { { "removed", removed }, { "added", added }, { "changed", changed } } do
        parts[#parts + 1] = listed(part[1], part[2])
    end
    return ("was %s in %s and is %s now%s"):format(text_of(before), checkpoint_path, text_of(now),
        #parts > 0 and " (" .. table.concat(parts, "; ") .. ")" or "")
end

return M
