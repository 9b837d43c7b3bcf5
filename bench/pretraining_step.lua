--- What benchmarks of pre-training in processes of their own share: steps on a batch of random words.

local BertForPretraining = require("bertlua.models.bert").BertForPretraining
local Optimizer = require "bertlua.train.optimizer"
local Tape = require "bertlua.autograd.tape"
local paths = require "bertlua.paths"

local random_batch = dofile(paths.root() .. "/bench/random_batch.lua")

local M = {}

--- A model with its optimizer and a batch.
-- @param config BertConfig
-- @param options precision, batch_size, max_seq_length, max_predictions_per_seq
-- @return step function(number): forward, backward, clipping and update, returns the loss; model; batch
function M.new(config, options)
    local model = BertForPretraining.new(config)
    model.store:allocate { precision = options.precision, seed = 1 }
    local optimizer = Optimizer.new { kind = "Lamb", store = model.store, max_grad_norm = 1.0 }
    local tape = Tape.new { seed = 1 }
    local batch = random_batch(config, options.batch_size, options.max_seq_length, options.max_predictions_per_seq)
    local function step(number)
        model.store:zero_grad()
        tape:start(number, 0, true)
        local objective = model:forward(tape, batch).loss
        local loss = objective:item()
        tape:backward(objective)
        optimizer:step(1e-4)
        return loss
    end
    return step, model, batch
end

return M
