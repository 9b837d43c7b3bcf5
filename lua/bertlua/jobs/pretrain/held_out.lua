--- Pre-training's part of an evaluation while training: the scalars that the model's forward returns, on held-out
-- shards (`evaluation` of jobs/common/task.lua). What guessing without a model would reach does not belong here: see
-- evaluation.lua.

local Feeder = require "bertlua.train.feeder"
local context = require "bertlua.context"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local loader = require "bertlua.data.loader"
local masked_means = require "bertlua.jobs.common.masked_means"
local model_choice = require "bertlua.jobs.common.model_choice"
local objectives = require "bertlua.jobs.pretrain.objectives"
local plural = require "bertlua.util.plural"

local M = { fields = { "input_dir" }, metric = "loss" }

local METRICS = { loss = "lower", mlm_loss = "lower", nsp_loss = "lower", mlm_accuracy = "higher",
    nsp_accuracy = "higher" }
local ALONE = { loss = "lower", mlm_loss = "lower", mlm_accuracy = "higher" }

--- What the task's own loss returns.
function M.metrics(values)
    -- Those of a loss or a model of the recipe's show when it is called.
    if values.loss or model_choice.is_own(values) then return nil end
    return objectives.of(values) == "mlm" and ALONE or METRICS
end

--- Check the folder of shards; a fault if there is none.
-- @param evaluate the recipe's table
function M.plan(_, _, evaluate)
    local dir = evaluate.input_dir
    if type(dir) ~= "string" then
        fault.raisef("evaluate: input_dir: got %s, expected a folder of held-out HDF5 shards", tostring(dir))
    end
    if not fs.is_directory(dir) then fault.raisef("evaluate: input_dir %s: no such folder", dir) end
end

--- The size of batches, at most `largest` and at least half of it, that leaves out the fewest samples; the larger of
-- two that leave out as many. All batches have one size, as a smaller one would count as much as the others.
function M.batch_size(samples, largest)
    if samples <= largest then return samples end
    local best = largest
    for size = largest - 1, math.max(1, math.ceil(largest / 2)), -1 do
        if samples % size < samples % best then best = size end
    end
    return best
end

--- Open the shards: batches of all samples but a few, as batches have one size.
-- @param job of the runner
-- @return {shards: loader, batches: their number, feeder}
function M.open(job)
    local values, data, dir = job.values, job.data, job.run.evaluate.input_dir
    local config, words = data.config, data.words
    local options = {
        input_dir = dir, split = "all", shuffle = false, batch_size = 1, vocab_size = config.vocab_size,
        type_vocab_size = config.type_vocab_size, vocab_file = words and words.vocab_file,
        pack_sequences = values.pack_sequences, few_shapes = context.device() ~= "cpu",
    }
    local probe = loader.open(options)
    if probe.max_seq_length > config.max_position_embeddings then
        fault.raisef("evaluate: %s has sequences of %d tokens, but the model's max_position_embeddings is %d", dir,
            probe.max_seq_length, config.max_position_embeddings)
    end
    local samples = probe.samples
    options.batch_size = M.batch_size(samples, values[job.task.batch_setting])
    local count = math.floor(samples / options.batch_size)
    probe:close()
    local shards = options.batch_size == 1 and probe or loader.open(options)
    local used = count * options.batch_size
    data.lines[#data.lines + 1] = ("%s: %s%s to evaluate on, in batches of %d"):format(dir,
        used < samples and ("%d of "):format(used) or "", plural.count(samples, "sample"), options.batch_size)
    return { shards = shards, batches = count, feeder = Feeder.new() }
end

--- Means of the results: those of masked words over all of them, others over the samples.
-- @param job of the runner
-- @param opened of open()
-- @param tick function(done, total) called after each batch; where it returns true, the evaluation ends
-- @return {name = mean}; nil where tick ended it
function M.run(job, opened, tick)
    local metrics = masked_means.run(job, opened.shards, opened.batches, opened.feeder, tick)
    if not metrics then return nil end
    -- The task's own loss is the sum of its parts, whose weights differ.
    if not job.parts.objective and not job.values.loss and metrics.mlm_loss then
        metrics.loss = metrics.mlm_loss + (metrics.nsp_loss or 0)
    end
    return metrics
end

--- Free the shards.
-- @param opened of open()
function M.close(opened)
    opened.feeder:free()
    opened.shards:close()
end

return M
