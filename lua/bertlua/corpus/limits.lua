--- Checks that memory_limit is enough for every requested stage before the first one starts. The stages themselves
-- check again once they know their parts.
-- @module bertlua.corpus.limits

local extract = require "bertlua.corpus.extract"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local manifest = require "bertlua.corpus.manifest"
local plain = require "bertlua.corpus.plain"
local process = require "bertlua.process"
local samples = require "bertlua.corpus.samples"
local sentences = require "bertlua.corpus.sentences"
local shards = require "bertlua.corpus.shards"
local sources = require "bertlua.corpus.sources"
local stage = require "bertlua.corpus.stage"
local vocab_trainer = require "bertlua.text.vocab_trainer"

local limits = {}

local MIB = 2 ^ 20
-- This process used 20 to 34 MiB in its stages; with a sanitizer it uses more.
local OWN, GROWTH = 40 * MIB, 16 * MIB

--- What is known about the sources before anything is read.
-- @return bytes of text, or nil if they have not been fetched yet; bytes of the largest part of stage extract
local function look_at_sources(job, values, wanted)
    if values.variant ~= "corpus" and not values.wikipedia and wanted.download then return nil, extract.memory() end
    local text, need = 0, 0
    for _, source in ipairs(sources.list(job, values)) do
        if source.kind == "wikipedia" then
            need = math.max(need, extract.memory())
            text = text + extract.least_text(source.path)
        else
            for _, path in ipairs(source.files) do
                local size = fs.size(path) or 0
                need = math.max(need, plain.memory { size = math.min(size, plain.MAX_PART) })
                text = text + size
            end
        end
    end
    return text, need
end

--- Bytes of the files of the last finished stage among some.
local function finished_bytes(done, names)
    for _, name in ipairs(names) do
        if done[name] then return stage.sum(done[name].files, "bytes") end
    end
end

--- Bytes of the largest shard, actual or expected.
local function shard_bytes(done, wanted, values, text)
    if wanted.shard or not done.shard then return shards.largest(values, text) end
    local largest = 0
    for _, file in ipairs(done.shard.files) do largest = math.max(largest, file.bytes) end
    return largest
end

--- Refuse a limit too small for a stage: one line with the stage that needs most, and how much.
-- @tparam table job output_dir, memory_limit
-- @tparam table values settings of bertlua.jobs.corpus.prepare
-- @tparam table wanted set of the stages' names
function limits.check(job, values, wanted)
    local done = manifest.read(job.output_dir).stages
    local text, extracted
    if wanted.extract then
        text, extracted = look_at_sources(job, values, wanted)
    else
        text = finished_bytes(done, wanted.sentences and { "extract" } or { "sentences", "extract" })
    end
    local own = math.max(OWN, process.memory_now() + GROWTH)
    local size = shard_bytes(done, wanted, values, text)
    local needs = {
        { "extract", extracted and own + extracted },
        { "sentences", own + sentences.memory() },
        { "shard", (own + shards.memory { size = size }) / (1 - shards.LIST_SHARE), size },
        { "vocab", vocab_trainer.least_memory() },
        { "hdf5", own + samples.memory(values) { size = size }, size },
    }
    local worst
    for _, need in ipairs(needs) do
        if wanted[need[1]] and need[2] and (not worst or need[2] > worst[2]) then worst = need end
    end
    if not worst or worst[2] <= job.memory_limit then return end
    fault.raisef("memory_limit is %.0f MiB, but stage %s needs at least %.0f MiB%s", job.memory_limit / MIB, worst[1],
        math.ceil(worst[2] / MIB), worst[3] and (" for a shard of %.1f MB: raise it, or use more shards"):format(
            worst[3] / 1e6) or ": raise it")
end

return limits
