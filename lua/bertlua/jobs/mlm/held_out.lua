--- Figures of a model on held-out sequences: losses and accuracies under masks that never change.

local Feeder = require "bertlua.train.feeder"
local context = require "bertlua.context"
local masked_means = require "bertlua.jobs.common.masked_means"
local masked_sequences = require "bertlua.data.masked_sequences"

local M = {}

-- Masks of held-out text are drawn from a seed of their own and cover a share of their own, token by token, so that
-- runs of any seed and of any masks are measured alike.
M.SEED, M.SHARE = 12345, 0.15

--- Open a set: batches of all its sequences, the last one being smaller.
-- @param job of the runner
-- @param set of bertlua.data.packing
-- @return {batches: loader, feeder}
function M.open(job, set)
    local values = job.values
    return {
        feeder = Feeder.new(),
        batches = masked_sequences.open(set, {
            words = job.data.words, batch_size = values.predict_batch_size, masked_lm_prob = M.SHARE, seed = M.SEED,
            shuffle = false, endless = false, pack_sequences = values.pack_sequences,
            few_shapes = context.device() ~= "cpu",
        }),
    }
end

--- Means of the results: those of masked words over all of them, others over the sequences.
-- @param job of the runner
-- @param opened of open()
-- @param tick function(done, total) called after each batch; where it returns true, the evaluation ends
-- @return {name = mean}, with perplexity = exp(mlm_loss); nil where tick ended it; number of sequences
function M.run(job, opened, tick)
    local metrics, samples = masked_means.run(job, opened.batches, opened.batches.batches, opened.feeder, tick)
    if not metrics then return nil end
    if metrics.mlm_loss then
        metrics.perplexity = math.exp(metrics.mlm_loss)
        -- The task's own loss is the sum of its parts, whose weights differ.
        if not job.parts.objective then metrics.loss = metrics.mlm_loss + (metrics.nsp_loss or 0) end
    end
    return metrics, samples
end

--- Free what open() made.
function M.close(opened)
    opened.feeder:free()
    opened.batches:close()
end

return M
