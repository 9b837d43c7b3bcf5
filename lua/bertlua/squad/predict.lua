--- Start and end logits of every token of a FeatureSet.
-- How logits become answers does not belong here: see extraction.lua.
-- @module bertlua.squad.predict

local array = require "bertlua.array"
local inference = require "bertlua.train.inference"

local predict = {}

--- Copy the rows of a batch to the places of their features.
local function store(set, batch, logits, start_logits, end_logits)
    local values, segments = array.wrap(logits), array.wrap(batch.segments)
    for b, f in ipairs(batch.members) do
        local row, to = segments[2 * b - 2], set.offsets[f]
        for i = 0, set:length(f) - 1 do
            start_logits[to + i], end_logits[to + i] = values[2 * (row + i)], values[2 * (row + i) + 1]
        end
    end
end

--- Run a model over a set.
-- @param model BertForQuestionAnswering
-- @param tape a tape to work on; its current step is lost
-- @param set FeatureSet
-- @tparam table options as in inference.run
-- @return start_logits, end_logits: float arrays in the "packed" layout of extraction.extract: those of feature f are
--   at offsets[f] .. offsets[f+1] - 1
-- @treturn table {sequences, tokens, seconds} of the forward passes, as in inference.run
function predict.run(model, tape, set, options)
    local start_logits, end_logits = array.float(set.tokens), array.float(set.tokens)
    local totals = inference.run(model, tape, set:sequences(), options, function(batch, logits)
        store(set, batch, logits, start_logits, end_logits)
    end)
    return start_logits, end_logits, totals
end

return predict
