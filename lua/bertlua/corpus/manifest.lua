--- The manifest of a prepared corpus: what was made from what. manifest.json
-- holds, for every source and every file made, path, bytes, sha256 and counts;
-- it depends on sources and settings only, so equal runs give equal bytes.
-- @module bertlua.corpus.manifest

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local stage = require "bertlua.corpus.stage"
local storage = require "bertlua.storage"

local manifest = {}

local NAME = "manifest.json"
local STAGES = { "extract", "sentences", "shard", "vocab", "hdf5" }

local function path_of(output_dir)
    return fs.join(output_dir, NAME)
end

--- The manifest of a folder; an empty one if there is none yet.
function manifest.read(output_dir)
    local path = path_of(output_dir)
    if not fs.is_file(path) then return { version = 1, sources = json.array(), stages = {} } end
    local value = fault.check(json.read(path))
    if type(value) ~= "table" or value.version ~= 1 or type(value.stages) ~= "table"
        or type(value.sources) ~= "table" then
        fault.raise(path .. ": no manifest of this version of bertlua; choose another output_dir")
    end
    local function check(file)
        if not stage.is_described(file) then
            fault.raise(path .. ": a file in it lacks its path, bytes or sha256: it was changed or damaged; remove "
                .. "it, and the stages make it anew")
        end
    end
    for _, source in ipairs(value.sources) do check(source) end
    for _, made in pairs(value.stages) do
        for _, file in ipairs(made.files) do check(file) end
    end
    return value
end

local function write(output_dir, value)
    json.array(value.sources)
    for _, made in pairs(value.stages) do json.array(made.files) end
    fault.check(fs.write(path_of(output_dir), json.encode(value, { pretty = true }) .. "\n"))
end

--- Note the sources.
function manifest.set_sources(output_dir, sources)
    local value = manifest.read(output_dir)
    value.sources = sources
    write(output_dir, value)
end

--- Note a finished stage; what later stages made of older files is no longer part of the manifest if they changed.
-- @tparam string output_dir
-- @tparam string name
-- @tparam table settings what the stage was told
-- @tparam table files records of bertlua.corpus.stage
function manifest.set_stage(output_dir, name, settings, files)
    local value = manifest.read(output_dir)
    local text = json.encode({ settings = settings, files = files })
    local old = value.stages[name]
    if old and json.encode({ settings = old.settings, files = old.files }) ~= text then
        local later = false
        for _, other in ipairs(STAGES) do
            if later and other ~= "vocab" then value.stages[other] = nil end
            later = later or other == name
        end
    end
    value.stages[name] = { settings = settings, files = files }
    write(output_dir, value)
end

--- Files of a finished stage, or a fault that names the stage to run first.
function manifest.files(output_dir, name, wanted_by)
    local made = manifest.read(output_dir).stages[name]
    if not made then
        fault.raisef("%s: stage %s needs the files of stage %s, which is not finished; add it to --stages", output_dir,
            wanted_by, name)
    end
    return made.files
end

--- Every file that the manifest names, with the folder its path counts from.
local function all_files(value, output_dir)
    local list = {}
    for _, source in ipairs(value.sources) do list[#list + 1] = { file = source, path = source.path } end
    for _, name in ipairs(STAGES) do
        local made = value.stages[name]
        for _, file in ipairs(made and made.files or {}) do
            list[#list + 1] = { file = file, path = fs.join(output_dir, file.path) }
        end
    end
    return list
end

local function check_file(entry, report)
    local size = fs.size(entry.path)
    if not size then fault.raisef("%s: it is in the manifest, but there is no such file", entry.path) end
    if size ~= entry.file.bytes then
        fault.raisef("%s: it has %d bytes, %d by the manifest", entry.path, size, entry.file.bytes)
    end
    local hash = fault.check(storage.file_sha256(entry.path))
    if hash ~= entry.file.sha256 then
        fault.raisef("%s: its SHA-256 is %s, %s by the manifest: it was changed or damaged", entry.path, hash,
            entry.file.sha256)
    end
    report(size)
end

--- No document or sentence may get lost between two stages.
local function check_counts(value)
    local before
    for _, name in ipairs { "extract", "sentences", "shard" } do
        local present = value.stages[name]
        if present then
            local documents = stage.sum(present.files, "documents")
            -- A document without a sentence in it (no letters at all) ends with the sentences stage.
            if before and name == "shard" and documents ~= before then
                fault.raisef("the shards hold %d documents, the sentence files %d", documents, before)
            end
            before = documents
        end
    end
end

--- Check every file against the manifest: presence, size, SHA-256; and the counts between stages.
-- @tparam table job output_dir, num_workers, quiet
-- @return number of files, their bytes
function manifest.verify(job)
    local progress = require "bertlua.util.progress"
    local workers = require "bertlua.data.workers"
    local value = manifest.read(job.output_dir)
    local entries = all_files(value, job.output_dir)
    if #entries == 0 then
        fault.raisef("%s: nothing to verify: no stage has finished here yet", job.output_dir)
    end
    check_counts(value)
    local total = 0
    for _, entry in ipairs(entries) do total = total + entry.file.bytes end
    local bar = not job.quiet and progress.new { total = total, label = "verify", unit = "bytes" }
    workers.run(math.min(job.num_workers, #entries), #entries, function(task, report)
        check_file(entries[task], report)
        return { done = 1 }
    end, function(more)
        if bar then bar:advance(more) end
    end)
    if bar then
        bar:update(total)
        bar:finish()
    end
    return #entries, total
end

return manifest
