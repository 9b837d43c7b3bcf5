--- Means of what a model with masked words returns, over batches that are held out.

local array = require "bertlua.array"
local number = require("bertlua.train.meter").number

local M = {}

--- Masked tokens of a batch, without filler.
local function count_masked(batch)
    local labels, total = array.wrap(batch.masked_labels), 0
    for i = 0, batch.masked_labels:numel() - 1 do
        if labels[i] >= 0 then total = total + 1 end
    end
    return total
end

--- Means of the results: those of masked words over all of them, others over the samples.
-- @param job of the runner
-- @param batches loader
-- @param count how many of its batches
-- @param feeder for them
-- @param tick function(done, total) called after each batch; where it returns true, the evaluation ends
-- @return {name = mean}; nil where tick ended it; number of samples
function M.run(job, batches, count, feeder, tick)
    local tape, sums = job.parts.tape, {}
    local computed = job.parts.objective or job.parts.model
    local samples, masked = 0, 0
    for n = 0, count - 1 do
        local batch = batches:batch(n)
        local in_batch = count_masked(batch)
        tape:reset(false)
        local result = computed:forward(tape, feeder:load(batch))
        for _, name in ipairs(job.parts.results or computed.names) do
            local weight = name:find "^mlm_" and in_batch or batch.batch_size
            sums[name] = (sums[name] or 0) + weight * number(result[name])
        end
        samples, masked = samples + batch.batch_size, masked + in_batch
        if tick(n + 1, count) then return nil end
    end
    local metrics = {}
    for name, sum in pairs(sums) do metrics[name] = sum / (name:find "^mlm_" and math.max(masked, 1) or samples) end
    return metrics, samples
end

return M
