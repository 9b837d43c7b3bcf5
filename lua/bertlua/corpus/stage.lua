--- One stage of the preparation: numbered parts that run in any number of
-- processes, each recorded once it is complete, so that a later run resumes where
-- a killed one stopped. What the parts do is up to the stages' own modules.
--
-- A part writes its files durably and then its record, .state/STAGE/PART.json.
-- A part is done if it has a record and its files have the recorded sizes.
-- The stage's key (settings and inputs as JSON) is kept next to the records: if
-- it differs, the whole stage is rebuilt.
--
-- A prepared corpus may come from anywhere, records included. So a stage removes
-- and reuses only plain files inside its own folder, and none over a link.
-- @module bertlua.corpus.stage

local corpus = require "bertlua.corpus"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local inside = require "bertlua.util.inside"
local json = require "bertlua.util.json"
local printable = require "bertlua.printable"
local process = require "bertlua.process"
local progress = require "bertlua.util.progress"
local rebuild = require "bertlua.corpus.rebuild"
local self_checksum = require "bertlua.util.self_checksum"
local storage = require "bertlua.storage"
local workers = require "bertlua.data.workers"

local stage = {}

local function state_folder(job, name)
    return fs.join(job.output_dir, ".state", name)
end

local function record_path(job, name, part)
    return fs.join(state_folder(job, name), part.name .. ".json")
end

--- The file that a record names.
-- @tparam table options folder, only: see run()
-- @return path; or nil, reason
local function own_file(job, options, path)
    local found, problem = inside.file(job.output_dir, path)
    if not found then return nil, problem end
    if fs.dirname(found) ~= options.folder and found:sub(1, #options.folder + 1) ~= options.folder .. "/"
        or options.only and found ~= fs.join(options.folder, options.only) then
        return nil, "is not in the folder of stage " .. options.name
    end
    return found
end

--- The record of a part if it is done, else nil.
local function finished(job, options, part)
    local record = inside.file(job.output_dir, fs.join(".state", options.name, part.name .. ".json"))
    record = record and self_checksum.read(record)
    if not record or type(record.files) ~= "table" then return nil end
    for _, file in ipairs(record.files) do
        if not stage.is_described(file) then return nil end
        local path = own_file(job, options, file.path)
        if not path or fs.size(path) ~= file.bytes then return nil end
    end
    return record
end

--- Remove what the stage left behind under another key. What it did not write itself stays, and is told.
local function forget(job, options)
    local folder = state_folder(job, options.name)
    for _, entry in ipairs(fs.list(folder) or {}) do
        local path = fs.join(folder, entry)
        local record = entry:match("%.json$") and inside.file(folder, entry) and json.read(path)
        local files = type(record) == "table" and type(record.files) == "table" and record.files or {}
        for _, file in ipairs(files) do
            local named = type(file) == "table" and file.path
            local found, problem = own_file(job, options, named)
            if found then
                fault.check(fs.remove(found))
            elseif problem ~= "does not exist" then
                io.stderr:write(("warning: %s: names %s, which %s: left as it is\n"):format(path,
                    printable.text(tostring(named)), problem))
            end
        end
        -- Records, the key, and either of them half written: all are files.
        if not fs.is_directory(path) or inside.is_link(path) then fault.check(fs.remove(path)) end
    end
end

--- Refuse a folder of the corpus that is a link: what is written to and removed from it would be elsewhere.
local function refuse_link(job, folder)
    local relative = folder:sub(#job.output_dir + 2)
    local found, problem = inside.resolve(job.output_dir, relative == "" and "." or relative)
    if not found then
        fault.raisef("%s: %s, but the stages remove old files only from folders of their own: make it a folder, or "
            .. "name another output_dir", folder, problem)
    end
end

--- Remove a killed run's unfinished files from a folder.
function stage.sweep(folder)
    if inside.is_link(folder) then return end
    for _, entry in ipairs(fs.list(folder) or {}) do
        if entry:match("%.tmp%-%d+$") or entry:match("^%.part%-") then
            fault.check(fs.remove(fs.join(folder, entry)))
        end
    end
end

--- Size, hash and counts of a file made by a part.
-- @tparam table job
-- @tparam string path
-- @tparam table counts additional fields (documents, sentences, ...)
function stage.describe(job, path, counts)
    local record = { path = path:sub(#job.output_dir + 2), bytes = fs.size(path) }
    if not record.bytes then fault.raise(path .. ": was written, but is gone: is something else writing there?") end
    record.sha256 = fault.check(storage.file_sha256(path))
    for field, value in pairs(counts or {}) do record[field] = value end
    return record
end

--- The key that a stage's parts were made under, or nil.
function stage.key(job, name)
    local path = inside.file(job.output_dir, fs.join(".state", name, "key"))
    local key = path and json.read(path)
    return type(key) == "table" and type(key.inputs) == "table" and key or nil
end

--- Whether a value describes a file as describe does, so that the file can be found and checked. Whether its path stays
-- inside the corpus is another question: see bertlua.util.inside.
function stage.is_described(file)
    return type(file) == "table" and type(file.path) == "string" and type(file.bytes) == "number"
        and type(file.sha256) == "string"
end

--- Write a text piece by piece; the file appears once it is complete, and not at all if it stays empty.
-- @tparam string path
-- @tparam function make called with a function that appends a piece
-- @return whether there is a file
function stage.write_text(path, make)
    local file = fault.check(corpus.text_file(path))
    local good, problem = pcall(function()
        make(function(text) fault.check(file:add(text)) end)
        if file:bytes() > 0 then fault.check(file:commit()) end
    end)
    local written = file:bytes() > 0
    file:close()
    if not good then error(problem, 0) end
    return written
end

local function prepare(job, options)
    local state, folder = state_folder(job, options.name), options.folder
    refuse_link(job, state)
    refuse_link(job, folder)
    local key_path = fs.join(state, "key")
    local text = json.encode(options.key)
    local old = fs.is_directory(state) and fs.read(key_path)
    if fs.is_directory(state) and old ~= text then
        -- The manifest first: it must not name files that are about to go, should this process be killed.
        if options.on_rebuild then options.on_rebuild(old and rebuild.reason(json.decode(old), options.key,
            options.inputs_text)) end
        forget(job, options)
    end
    fault.check(fs.mkdirs(state))
    fault.check(fs.mkdirs(folder))
    if old ~= text then fault.check(fs.write(key_path, text)) end
    stage.sweep(folder)
    stage.sweep(state)
end

--- How many processes may work on pending parts.
function stage.processes(job, options, pending)
    local wanted = math.min(job.num_workers, math.max(#pending, 1))
    if not options.memory or not job.memory_limit or #pending == 0 then return wanted end
    local need, size, own = 0, 0, process.memory_now()
    for _, i in ipairs(pending) do
        local part = options.parts[i]
        local bytes = options.memory(part)
        if bytes > need then need, size = bytes, part.size end
    end
    local room = math.floor((job.memory_limit - own) / need)
    if room < 1 then
        fault.raisef("%s: a part of %.1f MB needs about %.0f MB on top of %.0f MB in use, but memory_limit is %.0f MB: "
            .. "%s", options.name, size / 1e6, need / 1e6, own / 1e6, job.memory_limit / 1e6,
            options.memory_hint or "raise memory_limit")
    end
    local count = math.min(wanted, room)
    if count < wanted and not job.quiet then
        io.stdout:write(("%-10s %d of %d processes, to stay within memory_limit at %.0f MB each\n"):format(
            options.name, count, wanted, need / 1e6))
    end
    job.most_processes = math.max(job.most_processes or 1, count)
    return count
end

--- Run a stage.
-- @tparam table job output_dir (without a slash at its end), num_workers, quiet
-- @tparam table options name; key = table that decides whether old parts are still valid; folder = where files go, in
--   output_dir; only = name of the single file that it makes there, where the folder is not the stage's alone;
--   parts = list of {name = unique and valid as a file name, size = amount of work, ...}; unit; run = function(part,
--   report) that makes the part and returns its record {files = list of stage.describe, ...}; report(amount) of
--   part.size; options.memory(part) is the most a process needs for it: only as many processes run as fit into
--   job.memory_limit; on_rebuild(reason) is called before the files of another key are removed, with nil if they are
--   what a killed run left of a removal; inputs_text = what is known about changed inputs, for the reason
-- @return list of the parts' records in order; number of parts already done; seconds it took
function stage.run(job, options)
    local name, parts = options.name, options.parts
    prepare(job, options)
    local records, pending, total, done = {}, {}, 0, 0
    for i, part in ipairs(parts) do
        total = total + part.size
        records[i] = finished(job, options, part)
        if records[i] then done = done + part.size else pending[#pending + 1] = i end
    end
    local kept = #parts - #pending
    local clock = require "bertlua.util.clock"
    local started = clock.monotonic()
    local bar = not job.quiet and progress.new {
        total = total, label = name, unit = options.unit or "bytes", start = done,
    }
    workers.run(stage.processes(job, options, pending), #pending, function(task, report)
        local part = parts[pending[task]]
        local record = options.run(part, report)
        fault.check(self_checksum.write(record_path(job, name, part), record))
        report(part.size)
        return { done = 1 }
    end, function(more)
        if bar then bar:advance(more) end
    end)
    if bar then
        bar:update(total)
        bar:finish()
    end
    for _, i in ipairs(pending) do
        records[i] = finished(job, options, parts[i])
        if not records[i] then
            fault.raisef("%s: part %s was made, but is gone: is something else writing to %s?", name,
                parts[i].name, job.output_dir)
        end
    end
    return records, kept, clock.monotonic() - started, total - done
end

--- All files of records, in order.
function stage.files(records)
    local files = {}
    for _, record in ipairs(records) do
        for _, file in ipairs(record.files) do files[#files + 1] = file end
    end
    return files
end

--- Hashes of files, as part of a key.
function stage.hashes(files)
    local list = {}
    for i, file in ipairs(files) do list[i] = file.sha256 end
    return json.array(list)
end

--- Sum of a field over files.
function stage.sum(files, field)
    local sum = 0
    for _, file in ipairs(files) do sum = sum + (file[field] or 0) end
    return sum
end

return stage
