--- Stage shard: the documents of all sentence files dealt to text shards of
-- equal size. Which documents are for testing depends on their own bytes only;
-- the rest follows from sizes and seed, whatever the number of processes.
-- @module bertlua.corpus.shards

local corpus = require "bertlua.corpus"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local stage = require "bertlua.corpus.stage"

local shards = {}

-- With shards = 0: this much text a shard. Stage hdf5 holds one shard in each process: 16 of them stay under 2 GB.
local BYTES_PER_SHARD = 5 * 1024 * 1024
-- Sentences are lines here; none is as long as this.
local MAX_LINE = 4 * 1024 * 1024
-- Shards further apart than this are worth a warning.
shards.TOLERANCE = 0.02

--- Numbers of training and test shards.
local function counts(settings, documents, test_documents, bytes)
    local training = settings.shards
    local test = 0
    if training == 0 then training = math.max(1, math.ceil(bytes * (1 - settings.test_share) / BYTES_PER_SHARD)) end
    if test_documents > 0 then
        test = math.max(1, math.floor(training * settings.test_share / (1 - settings.test_share) + 0.5))
        test = math.min(test, test_documents)
    end
    if training > documents - test_documents then
        fault.raisef("%d shards of %d documents: set shards to at most %d, or check that blank lines stand between "
            .. "documents", training, documents - test_documents, documents - test_documents)
    end
    return training, test
end

--- Scan the sentence files and deal their documents.
-- @tparam table job
-- @tparam table files of stage sentences
-- @tparam table settings shards, test_share, seed
-- @return plan {documents, starts, order, training, test}; parts for bertlua.corpus.stage
function shards.plan(job, files, settings)
    local paths, bytes = {}, 0
    for i, file in ipairs(files) do
        paths[i] = fs.join(job.output_dir, file.path)
        bytes = bytes + file.bytes
    end
    local documents = fault.check(corpus.scan(paths, MAX_LINE))
    if documents:count() == 0 then fault.raisef("%s: no document in the sentence files", job.output_dir) end
    local test_documents = documents:count_test(settings.test_share)
    local training, test = counts(settings, documents:count(), test_documents, bytes)
    local sizes = documents:deal(training, test, settings.test_share, settings.seed)
    local starts, order = documents:by_shard(training + test)
    local parts = {}
    for i = 1, training + test do
        parts[i] = {
            name = i <= training and ("training_%04d"):format(i - 1) or ("test_%04d"):format(i - training - 1),
            size = sizes[i], shard = i,
        }
    end
    return { documents = documents, starts = starts, order = order, training = training, test = test }, parts
end

--- By how much the largest of the training shards exceeds the smallest, as a share of the mean.
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

--- Bytes that a process needs for a part, at most: the documents, their list and the whole of them.
function shards.memory(part)
    return 32 * 2 ^ 20 + 3 * part.size
end

--- What makes one part, for bertlua.corpus.stage.
function shards.run(job, folder, plan)
    return function(part, report)
        local pieces, done, sentences = {}, 0, 0
        local open, file
        for k = plan.starts[part.shard - 1], plan.starts[part.shard] - 1 do
            local number, begin, bytes = plan.documents:get(plan.order[k])
            if number ~= open then
                if file then file:close() end
                file = fault.check(io.open(plan.documents.paths[number], "rb"))
                open = number
            end
            file:seek("set", begin)
            local text = file:read(bytes)
            if not text or #text ~= bytes then
                fault.raisef("%s: it changed while it was read; start again", plan.documents.paths[number])
            end
            pieces[#pieces + 1] = text
            pieces[#pieces + 1] = "\n"
            sentences = sentences + select(2, text:gsub("\n", "\n"))
            done = done + bytes
            report(done)
        end
        if file then file:close() end
        local path = fs.join(folder, part.name .. ".txt")
        fault.check(fs.write(path, table.concat(pieces)))
        local documents = plan.starts[part.shard] - plan.starts[part.shard - 1]
        return { files = { stage.describe(job, path, { documents = documents, sentences = sentences }) } }
    end
end

return shards
