--- What benchmarks of pre-training in processes of their own share: steps on a batch of random words.

local BertForPretraining = require("bertlua.models.bert").BertForPretraining
local Optimizer = require "bertlua.train.optimizer"
local Tape = require "bertlua.autograd.tape"
local rng = require "bertlua.rng"
local tensor = require "bertlua.tensor"

local M = {}

local function filled(dims, fn)
    local values, n = {}, 1
    for i = 1, #dims do n = n * dims[i] end
    for i = 1, n do values[i] = fn(i - 1) end
    return tensor.new("i32", dims):set(values)
end

--- A batch of full sequences of random words, with masked positions spread over each.
local function random_batch(config, sequences, length, masked)
    local random = rng.new(1)
    local function word() return random:integer(0, config.vocab_size - 1) end
    local function position(i) return i % length end
    return {
        batch_size = sequences, max_length = length, rows = sequences * length, tokens = sequences * length,
        ids = filled({ sequences * length }, word),
        positions = filled({ sequences * length }, position),
        types = filled({ sequences * length }, function(i) return position(i) < length / 2 and 0 or 1 end),
        segments = filled({ sequences, 2 }, function(i)
            return i % 2 == 0 and i / 2 * length or length
        end),
        cls_index = filled({ sequences }, function(i) return i * length end),
        masked_index = filled({ sequences * masked }, function(i)
            return math.floor(i / masked) * length + 1 + i % masked * math.floor((length - 1) / masked)
        end),
        masked_labels = filled({ sequences * masked }, word),
        nsp_labels = filled({ sequences }, function() return random:integer(0, 1) end),
    }
end

--- A model with its optimizer and a batch.
-- @param config BertConfig
-- @param options precision, batch_size, max_seq_length, max_predictions_per_seq
-- @return step function(number): forward, backward, clipping and update; model; batch
function M.new(config, options)
    local model = BertForPretraining.new(config)
    model.store:allocate { precision = options.precision, seed = 1 }
    local optimizer = Optimizer.new { kind = "Lamb", store = model.store, max_grad_norm = 1.0 }
    local tape = Tape.new { seed = 1 }
    local batch = random_batch(config, options.batch_size, options.max_seq_length, options.max_predictions_per_seq)
    local function step(number)
        model.store:zero_grad()
        tape:start(number, 0, true)
        tape:backward(model:forward(tape, batch).loss)
        optimizer:step(1e-4)
    end
    return step, model, batch
end

return M
