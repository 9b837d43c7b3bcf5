--- Stage shard: deals the documents of all sentence files to text shards of
-- equal size. Which documents are for testing depends only on their own bytes;
-- the rest follows from sizes and seed, whatever the number of processes.
-- @module bertlua.corpus.shards

local corpus = require "bertlua.corpus"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local plural = require "bertlua.util.plural"
local stage = require "bertlua.corpus.stage"

local shards = {}

-- With shards = 0: this much text per shard. Stage hdf5 holds one shard per process: 16 of them stay under 2 GB.
local BYTES_PER_SHARD = 5 * 1024 * 1024
-- Each sentence is a line here; none is as long as this.
local MAX_LINE = 4 * 1024 * 1024
-- Size limit of the list of documents before it goes to a temporary file: two million of them, or a share of the limit.
local LIST_BYTES = 128 * 2 ^ 20
shards.LIST_SHARE = 1 / 8
-- The largest documents: text files are split into pieces that end within this many bytes.
local LARGE_DOCUMENT = 24 * 2 ^ 20
-- Shards whose sizes differ by more than this are worth a warning.
shards.TOLERANCE = 0.02

local function training_count(bytes, settings)
    return math.ceil(bytes * (1 - settings.test_share) / BYTES_PER_SHARD)
end

--- How many test shards go with a number of training shards.
local function test_count(training, test_share)
    return math.max(1, math.floor(training * test_share / (1 - test_share) + 0.5))
end

--- Numbers of training and test shards.
local function counts(settings, documents, test_documents, bytes)
    local training = settings.shards
    local test = 0
    if documents == test_documents then
        fault.raisef("all documents (%d) would be for testing: lower test_share, or provide more text", documents)
    end
    if training == 0 then
        training = training_count(bytes, settings)
        training = math.max(1, math.min(training, documents - test_documents))
    end
    if test_documents > 0 then
        test = math.min(test_count(training, settings.test_share), test_documents)
    end
    if training > documents - test_documents then
        fault.raisef("%d shards of %s: set shards to at most %d, or check that documents are separated by blank "
            .. "lines", training, plural.count(documents - test_documents, "document"), documents - test_documents)
    end
    return training, test
end

--- Bytes of the largest shard to expect.
-- @tparam table settings shards, test_share
-- @tparam ?number bytes of text; nil if unknown: then a large corpus is assumed if the number of shards depends on it
function shards.largest(settings, bytes)
    if not bytes then return settings.shards == 0 and BYTES_PER_SHARD or 0 end
    local training = settings.shards > 0 and settings.shards or math.max(1, training_count(bytes, settings))
    local test = test_count(training, settings.test_share)
    return bytes * math.max((1 - settings.test_share) / training, settings.test_share / test)
end

--- Scan the sentence files and deal their documents.
-- @tparam table job
-- @tparam table files of stage sentences
-- @tparam table settings shards, test_share, seed
-- @return plan {documents, training, test}; parts for bertlua.corpus.stage
function shards.plan(job, files, settings)
    local documents = corpus.documents {
        folder = job.output_dir, memory = math.min(LIST_BYTES, job.memory_limit * shards.LIST_SHARE),
        test_share = settings.test_share, seed = settings.seed,
    }
    local bytes = 0
    for _, file in ipairs(files) do
        fault.check(documents:scan(fs.join(job.output_dir, file.path), MAX_LINE))
        bytes = bytes + file.bytes
    end
    local found = documents:counts()
    if found.documents == 0 then fault.raisef("%s: the sentence files contain no documents", job.output_dir) end
    local training, test = counts(settings, found.documents, found.test_documents, bytes)
    local sizes = fault.check(documents:deal(training, test))
    local parts = {}
    for i = 1, training + test do
        parts[i] = {
            name = i <= training and ("training_%04d"):format(i - 1) or ("test_%04d"):format(i - training - 1),
            size = sizes[i], shard = i,
        }
    end
    return { documents = documents, training = training, test = test }, parts
end

--- By how much the largest training shard exceeds the smallest, as a fraction of the mean.
function shards.spread(files)
    local low, high, sum, count = math.huge, 0, 0, 0
    for _, file in ipairs(files) do
        if fs.basename(file.path):match "^training" then
            low, high = math.min(low, file.bytes), math.max(high, file.bytes)
            sum, count = sum + file.bytes, count + 1
        end
    end
    return count > 0 and (high - low) / (sum / count) or 0
end

--- Bytes that a process needs at most for a part: its list of documents, and a few times its largest document.
function shards.memory(part)
    return 64 * 2 ^ 20 + part.size / 2 + 2 * math.min(part.size, LARGE_DOCUMENT)
end

--- The function that makes one part, for bertlua.corpus.stage.
function shards.run(job, folder, plan)
    return function(part, report)
        local done, sentences = 0, 0
        local open, file
        local list, documents = plan.documents:shard(part.shard)
        local path = fs.join(folder, part.name .. ".txt")
        stage.write_text(path, function(add)
            for source, begin, bytes in fault.check(list, documents) do
                if source ~= open then
                    if file then file:close() end
                    file = fault.check(io.open(source, "rb"))
                    open = source
                end
                file:seek("set", begin)
                local text = file:read(bytes)
                if not text or #text ~= bytes then
                    fault.raisef("%s: changed while it was being read; start again", source)
                end
                add(text)
                add "\n"
                sentences = sentences + select(2, text:gsub("\n", "\n"))
                done = done + bytes
                report(done)
            end
        end)
        if file then file:close() end
        return { files = { stage.describe(job, path, { documents = documents, sentences = sentences }) } }
    end
end

return shards
