--- The manifest of a prepared corpus: what was made from what. manifest.json
-- records path, bytes, sha256 and counts for every source and every file made;
-- it depends only on sources and settings, so equal runs give equal bytes.
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

--- The manifest of a folder, empty if there is none yet.
function manifest.read(output_dir)
    local path = path_of(output_dir)
    if not fs.is_file(path) then return { version = 1, sources = json.array(), stages = {} } end
    local value = fault.check(json.read(path))
    if type(value) ~= "table" or value.version ~= 1 or type(value.stages) ~= "table"
        or type(value.sources) ~= "table" then
        fault.raise(path .. ": not a manifest of this version of bertlua; choose another output_dir")
    end
    local function check(file)
        if not stage.is_described(file) then
            fault.raise(path .. ": an entry lacks its path, bytes or sha256: the manifest was changed or damaged; "
                .. "remove it, and the stages will rebuild it")
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

--- Record the sources.
function manifest.set_sources(output_dir, sources)
    local value = manifest.read(output_dir)
    value.sources = sources
    write(output_dir, value)
end

--- Record a finished stage; if its files have changed, drop the later stages made from the old ones.
-- @tparam string output_dir
-- @tparam string name
-- @tparam table settings the stage's settings
-- @tparam table files records from bertlua.corpus.stage
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

--- Files of a finished stage; a fault naming the stage to run first if it has not finished.
function manifest.files(output_dir, name, wanted_by)
    local made = manifest.read(output_dir).stages[name]
    if not made then
        fault.raisef("%s: stage %s needs the files of stage %s, which is not finished; add it to --stages", output_dir,
            wanted_by, name)
    end
    return made.files
end

--- Every file listed in the manifest, with the folder its path is relative to.
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
    if not size then fault.raisef("%s: listed in the manifest, but does not exist", entry.path) end
    if size ~= entry.file.bytes then
        fault.raisef("%s: has %d bytes, but %d according to the manifest", entry.path, size, entry.file.bytes)
    end
    local hash = fault.check(storage.file_sha256(entry.path))
    if hash ~= entry.file.sha256 then
        fault.raisef("%s: SHA-256 is %s, but %s according to the manifest: it was changed or damaged", entry.path, hash,
            entry.file.sha256)
    end
    report(size)
end

--- Check that no document or sentence was lost between two stages.
local function check_counts(value)
    local before
    for _, name in ipairs { "extract", "sentences", "shard" } do
        local present = value.stages[name]
        if present then
            local documents = stage.sum(present.files, "documents")
            -- A document without any sentence (no letters at all) is dropped by the sentences stage.
            if before and name == "shard" and documents ~= before then
                fault.raisef("the shards contain %d documents, but the sentence files %d", documents, before)
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
        fault.raisef("%s: nothing to verify: no stage has finished yet", job.output_dir)
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
