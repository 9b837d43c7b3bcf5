--- Stage hdf5: turns each text shard into one HDF5 file of masked samples per set
-- (sequence length and masked tokens), through bertlua.data.create_pretraining.
-- @module bertlua.corpus.samples

local create = require "bertlua.data.create_pretraining"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local sample_checks = require "bertlua.data.sample_checks"
local stage = require "bertlua.corpus.stage"
local unistd = require "posix.unistd"

local samples = {}

-- Test shards use their own seeds, far from those of training shards.
local TEST_SEEDS = 1000000
-- What bertlua.data.sample_checks looks at.
local COUNTED = { "documents", "sentences", "tokens", "short", "unknown", "left_out", "random", "positions", "masked" }

--- "128:20,512:80" to a list of {max_seq_length, max_predictions_per_seq, folder}.
function samples.sets(text)
    local list = {}
    for item in text:gmatch "[^,%s]+" do
        local length, predictions = item:match "^(%d+):(%d+)$"
        length, predictions = tonumber(length), tonumber(predictions)
        if not length or length < 8 or length > 4096 or predictions < 1 or predictions > length then
            fault.raisef("sets: got %q, expected LENGTH:MASKED pairs such as 128:20,512:80", text)
        end
        for _, other in ipairs(list) do
            if other.max_seq_length == length and other.max_predictions_per_seq == predictions then
                fault.raisef("sets: %s stands there twice in %q", item, text)
            end
        end
        list[#list + 1] = { max_seq_length = length, max_predictions_per_seq = predictions,
            folder = ("seq%d_pred%d"):format(length, predictions) }
    end
    if #list == 0 then fault.raise("sets: empty, expected LENGTH:MASKED pairs such as 128:20,512:80") end
    return list
end

--- One part per set and shard.
function samples.parts(files, sets)
    local parts = {}
    for _, set in ipairs(sets) do
        for _, file in ipairs(files) do
            local kind, number = fs.basename(file.path):match "^(%a+)_(%d+)%.txt$"
            parts[#parts + 1] = {
                name = ("%s-%s_%s"):format(set.folder, kind, number), size = file.bytes, file = file, set = set,
                target = ("%s_%s.hdf5"):format(kind, number),
                number = tonumber(number) + (kind == "test" and TEST_SEEDS or 0),
            }
        end
    end
    return parts
end

--- Bytes that a process needs at most for a shard: its text and tokens, and for each pass its samples and the file,
-- which is built in memory. Measured with 7 and 20 MB of text: 5 to 22 % below this.
-- @tparam table values dupe_factor, gzip
-- @treturn function of a part
function samples.memory(values)
    local pass = values.gzip > 0 and 1.5 or 5.5
    return function(part) return 40 * 2 ^ 20 + (2 + pass * values.dupe_factor) * part.size end
end

--- What is wrong with the samples of a set, as bertlua.data.sample_checks tells it.
-- @tparam table set of samples.sets
-- @tparam table parts, records of the stage
-- @tparam table settings masked_lm_prob
-- @tparam table hints of sample_checks.samples
-- @return list of lines
function samples.warnings(set, parts, records, settings, hints)
    local sum = { samples = 0 }
    for _, name in ipairs(COUNTED) do sum[name] = 0 end
    for i, part in ipairs(parts) do
        if part.set == set then
            for name in pairs(sum) do sum[name] = sum[name] + records[i].counts[name] end
        end
    end
    return sample_checks.samples(sum, { max_seq_length = set.max_seq_length,
        max_predictions_per_seq = set.max_predictions_per_seq, masked_lm_prob = settings.masked_lm_prob }, hints)
end

--- The function that makes one part, for bertlua.corpus.stage.
-- @tparam table job
-- @tparam string folder
-- @tparam table settings tokenizer and those of create_pretraining
function samples.run(job, folder, settings)
    return function(part, report)
        local target_folder = fs.join(folder, part.set.folder)
        -- create_pretraining makes a folder of shards: here one with a single shard, moved out once it is complete. A
        -- worker of a killed run may survive for a moment: it has its own folder.
        local scratch = fs.join(folder, (".part-%s-%d"):format(part.name, unistd.getpid()))
        if fs.exists(scratch) then fault.check(fs.remove(scratch)) end
        fault.check(fs.mkdirs(target_folder))
        local options = {
            input_files = { fs.join(job.output_dir, part.file.path) },
            output_dir = scratch,
            prefix = "part",
            tokenizer = settings.tokenizer,
            vocab_file = settings.vocab_file,
            do_lower_case = settings.do_lower_case,
            max_seq_length = part.set.max_seq_length,
            max_predictions_per_seq = part.set.max_predictions_per_seq,
            masked_lm_prob = settings.masked_lm_prob,
            short_seq_prob = settings.short_seq_prob,
            dupe_factor = settings.dupe_factor,
            random_seed = settings.seed + part.number,
            shards = 1,
            test_share = 0,
            num_workers = 1,
            gzip = settings.gzip,
        }
        local done = 0
        options.on_progress = function(more)
            done = done + more
            report(done)
        end
        local summary = create.run(options)
        local path = fs.join(target_folder, part.target)
        fault.check(fs.rename(fs.join(scratch, "part_training_0.hdf5"), path))
        fault.check(fs.remove(scratch))
        local counts = {}
        for _, name in ipairs(COUNTED) do counts[name] = summary[name] end
        counts.samples = summary.instances
        return { counts = counts, files = { stage.describe(job, path, {
            source = part.file.path, documents = summary.documents, sentences = summary.sentences,
            tokens = summary.tokens, samples = summary.instances,
        }) } }
    end
end

return samples
