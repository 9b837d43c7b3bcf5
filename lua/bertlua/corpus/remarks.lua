--- What a user of the preparation should know of its files, one line each: strangers among them, sources without text,
-- a vocabulary that was learned from others.
-- @module bertlua.corpus.remarks

local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local stage = require "bertlua.corpus.stage"

local remarks = {}

--- Files in a stage's folders that are not its own: the next stage reads only what the manifest lists, but training
-- reads every shard of a folder.
-- @tparam table job output_dir
-- @tparam string name of the stage
-- @tparam string folder of the stage
-- @tparam table made records of its files
-- @return line, or nil if there are none
function remarks.strangers(job, name, folder, made)
    local own, folders, strange = {}, { [folder] = true }, {}
    for _, file in ipairs(made) do
        local path = fs.join(job.output_dir, file.path)
        own[path], folders[fs.dirname(path)] = true, true
    end
    for within in pairs(folders) do
        for _, entry in ipairs(fs.list(within) or {}) do
            local path = fs.join(within, entry)
            if not own[path] and fs.is_file(path) then strange[#strange + 1] = path end
        end
    end
    if #strange == 0 then return nil end
    table.sort(strange)
    return ("%s: not made by this run, but in its folder: %s%s; remove what you do not need"):format(name, strange[1],
        #strange > 1 and (" and %d more"):format(#strange - 1) or "")
end

--- Source files without text.
-- @tparam table described list of {path, bytes}
-- @tparam table records of stage extract: silent = files without text, silent_path = one of them
-- @return line, or nil if there are none
function remarks.silent(described, records)
    local count, first = 0, nil
    for _, file in ipairs(described) do
        if file.bytes == 0 then count, first = count + 1, first or file.path end
    end
    for _, record in ipairs(records) do
        count, first = count + (record.silent or 0), first or record.silent_path
    end
    if count == 0 then return nil end
    return count == 1 and "1 file has no text: " .. first or ("%d files have no text, such as %s"):format(count, first)
end

--- A vocabulary of stage vocab that was learned from other shards than those it is used for.
-- @tparam table job output_dir
-- @tparam table training records of the training shards
-- @return line, or nil
function remarks.stale_vocabulary(job, training)
    local key = stage.key(job, "vocab")
    if not key or json.encode(key.inputs) == json.encode(stage.hashes(training)) then return nil end
    return "vocab.txt was learned from earlier shards: add stage vocab to learn it again, or name it with --vocab-file "
        .. "if that is meant"
end

return remarks
