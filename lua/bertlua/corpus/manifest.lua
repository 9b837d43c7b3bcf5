--- The manifest of a prepared corpus: what was made from what. manifest.json
-- records path, bytes, sha256 and counts for every source and every file made;
-- it depends only on sources and settings, so equal runs give equal bytes, and
-- holds a checksum of itself.
-- @module bertlua.corpus.manifest

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local inside = require "bertlua.util.inside"
local json = require "bertlua.util.json"
local printable = require "bertlua.printable"
local self_checksum = require "bertlua.util.self_checksum"
local stage = require "bertlua.corpus.stage"
local storage = require "bertlua.storage"

local manifest = {}

local NAME = "manifest.json"
local FIELDS = { version = true, sources = true, stages = true }
local STAGES = { "extract", "sentences", "shard", "vocab", "hdf5" }

local function path_of(output_dir)
    return fs.join(output_dir, NAME)
end

--- The manifest of a folder, empty if there is none yet.
function manifest.read(output_dir)
    local path = path_of(output_dir)
    if not fs.is_file(path) then return { version = 1, sources = json.array(), stages = {} } end
    local value, problem = self_checksum.read(path)
    if not value then fault.raise(problem .. "; remove it, and the stages will rebuild it") end
    if value.version ~= 1 or type(value.stages) ~= "table" or type(value.sources) ~= "table" then
        fault.raise(path .. ": not a manifest of this version of bertlua; choose another output_dir")
    end
    for key in pairs(value) do
        -- The name of the checksum, damaged.
        if not FIELDS[key] then
            fault.raisef("%s: holds %s, which no manifest does: it was changed or damaged; remove it, and the stages "
                .. "will rebuild it", path, printable.text(tostring(key)))
        end
    end
    local function check(file)
        if not stage.is_described(file) then
            fault.raise(path .. ": an entry lacks its path, bytes or sha256: the manifest was changed or damaged; "
                .. "remove it, and the stages will rebuild it")
        end
    end
    for _, source in ipairs(value.sources) do check(source) end
    for _, made in pairs(value.stages) do
        if type(made) ~= "table" or type(made.files) ~= "table" then
            fault.raise(path .. ": a stage lacks its files: the manifest was changed or damaged; remove it, and the "
                .. "stages will rebuild it")
        end
        for _, file in ipairs(made.files) do
            check(file)
            local outside = inside.problem(file.path)
            if outside then
                fault.raisef("%s: names %s, which %s: bertlua did not write it so; remove the manifest, and the stages "
                    .. "will rebuild it", path, printable.text(file.path), outside)
            end
        end
    end
    return value
end

local function write(output_dir, value)
    json.array(value.sources)
    for _, made in pairs(value.stages) do json.array(made.files) end
    fault.check(self_checksum.write(path_of(output_dir), value))
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

--- Forget a stage that is about to be built again, and the later stages made from its files.
function manifest.drop_stage(output_dir, name)
    local value, later, dropped = manifest.read(output_dir), false, false
    for _, other in ipairs(STAGES) do
        if other == name or later and other ~= "vocab" then
            dropped = dropped or value.stages[other] ~= nil
            value.stages[other] = nil
        end
        later = later or other == name
    end
    if dropped then write(output_dir, value) end
end

--- Files of a finished stage; a fault naming the stage to run first if it has not finished.
function manifest.files(output_dir, name, wanted_by)
    local made = manifest.read(output_dir).stages[name]
    if not made then
        fault.raisef("%s: stage %s needs the files of stage %s, which is not finished; add it to --stages", output_dir,
            wanted_by, name)
    end
    for _, file in ipairs(made.files) do
        local _, problem = inside.file(output_dir, file.path)
        if problem then fault.raisef("%s: listed in the manifest, but %s", fs.join(output_dir, file.path), problem) end
    end
    return made.files
end

--- Every file listed in the manifest; and how many sources are not in the list, because nobody but the manifest says
-- that they are the user's sources.
local function all_files(value, job)
    local list, left_out = {}, 0
    for _, source in ipairs(value.sources) do
        local path = source.path
        local within = path:sub(1, #job.output_dir + 1) == job.output_dir .. "/" and path:sub(#job.output_dir + 2)
        if within then
            list[#list + 1] = { file = source, folder = job.output_dir, name = within, is_source = true }
        elseif job.is_source and job.is_source(path) then
            list[#list + 1] = { file = source, path = path, is_source = true }
        else
            left_out = left_out + 1
        end
    end
    for _, name in ipairs(STAGES) do
        local made = value.stages[name]
        for _, file in ipairs(made and made.files or {}) do
            list[#list + 1] = { file = file, folder = job.output_dir, name = file.path, stage = name }
        end
    end
    return list, left_out
end

--- What may be done about a file that is not as the manifest says.
local function way_out(entry)
    if entry.is_source then
        return "it is another file than the one that was read, or damaged: run the stages again, and what was made "
            .. "of it is made again"
    end
    return ("it was changed or damaged: remove it, and stage %s makes it again"):format(entry.stage)
end

--- What is wrong with a file, or nil.
-- @return text; whether the file is missing
local function problem_of(entry)
    local problem
    if entry.folder then
        problem = select(2, inside.file(entry.folder, entry.name))
    elseif not fs.is_file(entry.path) then
        problem = fs.exists(entry.path) and "is not a plain file" or "does not exist"
    end
    if problem then
        return ("%s: listed in the manifest, but %s"):format(entry.path, problem), problem == "does not exist"
    end
    local size = fs.size(entry.path)
    if size ~= entry.file.bytes then
        return ("%s: has %d bytes, but %d according to the manifest: %s"):format(entry.path, size, entry.file.bytes,
            way_out(entry))
    end
    local hash = fault.check(storage.file_sha256(entry.path))
    if hash ~= entry.file.sha256 then
        return ("%s: SHA-256 is %s, but %s according to the manifest: %s"):format(entry.path, hash, entry.file.sha256,
            way_out(entry))
    end
end

--- Compare a file with the manifest; a fault if it differs and no later stage of the same command mends that.
-- @return counts of bertlua.data.workers
local function check_file(entry, coming, report)
    if entry.folder then entry.path = fs.join(entry.folder, entry.name) end
    local problem, missing = problem_of(entry)
    if problem and not (entry.is_source and coming.extract or missing and coming[entry.stage]) then
        fault.raise(problem)
    end
    report(entry.file.bytes)
    return { done = 1, problem = problem and 1 or 0 }
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
-- @tparam table job output_dir, num_workers, quiet; is_source: function that says whether the user's settings name a
--   path as a source. Sources outside output_dir are checked only if it does. coming = set of the stages that the
--   same command runs after this: where extract is among them, changed sources are its business, and a missing file
--   is that of the stage which makes it
-- @return number of files, their bytes, number of sources that were not checked, paths of changed sources, paths of
--   missing files
function manifest.verify(job)
    local progress = require "bertlua.util.progress"
    local workers = require "bertlua.data.workers"
    local value = manifest.read(job.output_dir)
    local entries, left_out = all_files(value, job)
    if #entries == 0 then
        fault.raisef("%s: nothing to verify: no stage has finished yet", job.output_dir)
    end
    check_counts(value)
    local total = 0
    for _, entry in ipairs(entries) do total = total + entry.file.bytes end
    local bar = not job.quiet and progress.new { total = total, label = "verify", unit = "bytes" }
    local results = workers.run(math.min(job.num_workers, #entries), #entries, function(task, report)
        return check_file(entries[task], job.coming or {}, report)
    end, function(more)
        if bar then bar:advance(more) end
    end)
    if bar then
        bar:update(total)
        bar:finish()
    end
    local changed, missing = {}, {}
    for i, entry in ipairs(entries) do
        local list = results[i].problem > 0 and (entry.is_source and changed or missing)
        if list then list[#list + 1] = entry.path or fs.join(entry.folder, entry.name) end
    end
    return #entries, total, left_out, changed, missing
end

return manifest
