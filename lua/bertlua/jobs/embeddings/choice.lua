--- How a run makes vectors of texts: what the settings say, else what the model that it starts from was made for, else
-- the mean of a text's tokens.

local fault = require "bertlua.fault"
local folder = require "bertlua.weights.folder"
local text_vectors = require "bertlua.train.text_vectors"

local M = {}

local LONGEST = 128

--- What a checkpoint of this task, or a folder of sentence-transformers, was made for.
-- @return table as text_vectors.of(), empty where nothing is known
local function recorded(run, values)
    local start = run.start
    local home = start and start.path and folder.find(start.path, values.model_prefix)
    return home and text_vectors.of(home) or {}
end

--- Settle pooling, normalize and max_seq_length: job.values gets the last, run.effective all three.
-- @param job with values, run
-- @param config BertConfig
-- @treturn table {pooling, normalize}
function M.settle(job, config)
    local run, values = job.run, job.values
    local known = recorded(run, values)
    if known.problem then
        if not values.pooling then
            fault.raisef("%s; --pooling mean uses the encoder alone", known.problem)
        end
        run.warnings[#run.warnings + 1] = ("%s: only the encoder is used, with --pooling %s"):format(known.problem,
            values.pooling)
    end
    if known.similarity and known.similarity ~= "cosine" then
        run.warnings[#run.warnings + 1] = ("%s compares vectors by %s: cosines are used here"):format(run.start.path,
            known.similarity)
    end
    local normalize = values.normalize
    if normalize == nil then normalize = known.normalize or false end
    local chosen = { pooling = values.pooling or known.pooling or "mean", normalize = normalize }
    values.max_seq_length = values.max_seq_length
        or math.min(known.max_length or LONGEST, config.max_position_embeddings)
    run.effective.pooling, run.effective.normalize = chosen.pooling, chosen.normalize
    run.effective.max_seq_length = values.max_seq_length
    return chosen
end

return M
