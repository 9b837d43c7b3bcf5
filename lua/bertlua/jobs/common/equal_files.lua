--- Whether all ranks see the same files: one path may be another folder on another machine. Compared are, before
-- anything is read, the configuration, the vocabulary, files of texts and what the run starts from, byte by byte; then
-- shards to train on and held-out ones, as the loaders list them: {name, path, samples, bytes, checksum} each. What is
-- in the files does not belong here.

local fault = require "bertlua.fault"
local folder_of_weights = require "bertlua.weights.folder"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local loader = require "bertlua.data.loader"
local storage = require "bertlua.storage"

local M = {}

local FIX = "; every rank must see the same files under the same path"

-- What a file is compared by, in this order, and how a message says it.
local FIELDS = { { "samples", "%d samples" }, { "bytes", "%.0f bytes" }, { "checksum", "CRC32C %08x" } }
-- Files of texts that every rank reads, by the setting that names them.
local TEXTS = { "train_file", "dev_file", "test_file", "predict_file" }

--- One file as {name, samples, bytes, checksum}: paths may differ, and JSON keeps the order of a list. A file without
-- samples has 0; one that is not there -1 bytes.
local function entry_of(file)
    local entry = { file.name }
    for i, field in ipairs(FIELDS) do entry[i + 1] = file[field[1]] or 0 end
    return entry
end

--- The first file in which this rank differs from rank 0, as a message; nil if none does.
-- @param files of this rank, sorted by name
-- @param first entries of rank 0, sorted by name
-- @param folder of the files, for those that are not here
function M.difference(files, first, folder)
    for i = 1, math.max(#files, #first) do
        local here, there = files[i], first[i]
        if not here or there and there[1] < here.name then
            return ("no %s/%s, which rank 0 has"):format(folder, there[1])
        end
        if not there or here.name < there[1] then return here.path .. " is not on rank 0" end
        if here.bytes ~= there[3] and here.bytes == -1 then return ("no %s, which rank 0 has"):format(here.path) end
        if here.bytes ~= there[3] and there[3] == -1 then return here.path .. " is not on rank 0" end
        for k, field in ipairs(FIELDS) do
            local value, form = here[field[1]] or 0, field[2]
            if value ~= there[k + 1] then
                return ("%s has %s, %s on rank 0"):format(here.path, form:format(value), form:format(there[k + 1]))
            end
        end
    end
    return nil
end

--- Raise a fault that names the first file that differs, unless all ranks see the same. Collective.
-- @param ranks of train/ranks.lua
-- @param files list of {name, path, samples, bytes, checksum}, sorted by name; nil on a rank that needs none of them
-- @param folder that holds them
function M.check(ranks, files, folder)
    if ranks.size == 1 then return end
    local entries = {}
    for i, file in ipairs(files or {}) do entries[i] = entry_of(file) end
    local text = json.encode(json.array(entries))
    local own, differ = files and storage.crc32c(text) or -1, false
    local all = ranks:exchange { own }
    for r = 2, ranks.size do differ = differ or all[r][1] ~= -1 and all[r][1] ~= all[1][1] end
    if not differ then return end
    local first = json.decode(ranks:broadcast_text(ranks.main and text or ""))
    ranks:together(function()
        local message = files and M.difference(files, first, folder)
        if message then fault.raise(message .. FIX) end
    end)
end

--- What a run reads besides shards, as {name, path}: the same names on every rank.
-- @param run plan
-- @param values resolved settings
function M.inputs(run, values)
    local list = {}
    local function add(name, path)
        if type(path) == "string" then list[#list + 1] = { name = name, path = path } end
    end
    add("config_file", run.config_file)
    add("vocab_file", run.vocab_file)
    for _, name in ipairs(TEXTS) do add(name, run[name] or values[name]) end
    if run.evaluate and run.evaluate.dev_file ~= values.dev_file then add("evaluate", run.evaluate.dev_file) end
    local start = run.start and run.start.path
    if start then
        -- Of a checkpoint progress.json vouches for the rest, which is read and compared with it on each machine.
        local progress = fs.join(start, "progress.json")
        local _, file = folder_of_weights.find(start, values.model_prefix)
        add("parameters", fs.is_file(progress) and progress or file or start)
    end
    table.sort(list, function(a, b) return a.name < b.name end)
    return list
end

--- Raise a fault unless all ranks see the same files besides shards. Collective.
-- @param job of the runner, with ranks, run, values
function M.check_inputs(job)
    local ranks = job.ranks
    if ranks.size == 1 then return end
    local list = M.inputs(job.run, job.values)
    ranks:together(function()
        for _, file in ipairs(list) do
            file.bytes = -1
            if fs.is_file(file.path) then
                local checksum, bytes = storage.file_crc32c(file.path)
                file.checksum, file.bytes = fault.check(checksum, bytes), bytes
            end
        end
    end)
    M.check(ranks, list, "")
end

--- Raise a fault unless all ranks see the same shards, to train on and held-out. Collective.
-- @param job of the runner
-- @param train loader of the shards to train on, or of something else
function M.check_shards(job, train)
    local ranks, evaluate = job.ranks, job.run.evaluate
    if ranks.size == 1 then return end
    if train and train.listed then M.check(ranks, train.listed, train.input_dir) end
    local dir = evaluate and evaluate.input_dir
    if type(dir) ~= "string" then return end
    -- Rank 0 alone evaluates: another machine may lack them.
    local files = ranks:together(function()
        return (ranks.main or fs.is_directory(dir)) and loader.listed(dir, "all") or nil
    end)
    M.check(ranks, files, dir)
end

return M
