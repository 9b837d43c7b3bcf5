--- A process of bench/busy.lua: work that is measured, or that others are measured beside.
--
-- Arguments: the process id of its parent, with which it ends, and one of
--
--     train MODEL SECONDS PIN       pre-training steps
--     infer MODEL SECONDS FOLDER    vectors of one text
--     loop                          one thread that computes nothing, forever
--     export MODEL FOLDER           writes the model that infer reads
--
-- MODEL is small or base. Work is warmed up and then repeated for so many seconds; one JSON line {"rate": per second,
-- "cores": seconds of processor time per second} follows. With 0 seconds, and for a loop, the line is {"pid": number},
-- and the process goes on until it is killed, or its parent ends.

local BertConfig = require("bertlua.models.bert").BertConfig
local BertForPretraining = require("bertlua.models.bert").BertForPretraining
local Encoder = require "bertlua.encoder"
local checkpoint = require "bertlua.train.checkpoint"
local clock = require "bertlua.util.clock"
local context = require "bertlua.context"
local json = require "bertlua.util.json"
local paths = require "bertlua.paths"
local signal = require "bertlua.signal"
local unistd = require "posix.unistd"

local pretraining_step = dofile(paths.root() .. "/bench/pretraining_step.lua")

-- The model and batch of the demo, and bert-base as its first phase is often trained on few cores.
local BATCHES = {
    small = { precision = "fp32", batch_size = 32, max_seq_length = 64, max_predictions_per_seq = 10 },
    base = { precision = "fp32", batch_size = 2, max_seq_length = 128, max_predictions_per_seq = 20 },
}
-- Words of the text whose vector is computed.
local WORDS = { small = 14, base = 126 }
local WARMUP = 3

local function config_of(model)
    if model == "base" then return BertConfig.load(paths.find("config", "bert-base-uncased.json")) end
    return BertConfig.new { vocab_size = 30522, hidden_size = 128, num_hidden_layers = 2, num_attention_heads = 4,
        intermediate_size = 512, max_position_embeddings = 128 }
end

local function trainer(model, pin)
    if pin == "true" then context.pin_threads() end
    return (pretraining_step.new(config_of(model), BATCHES[model]))
end

local function reader(model, folder)
    local encoder = Encoder.load(folder)
    local text = ("the "):rep(WORDS[model])
    return function() encoder:embed(text) end
end

local function export(model, folder)
    local own = BertForPretraining.new(config_of(model))
    own.store:allocate { seed = 1, training = false }
    checkpoint.export(folder, { store = own.store, config = own.config, do_lower_case = true,
        vocab_file = paths.find("vocab", "bert-base-uncased-vocab.txt") })
end

--- Tell the process that measures that this one is under way.
local function tell_running()
    io.write(json.encode { pid = unistd.getpid() }, "\n")
    io.flush()
end

local function measure(work, seconds)
    for step = 1, WARMUP do work(step) end
    local count, begin, used = 0, clock.monotonic(), os.clock()
    if seconds == 0 then tell_running() end
    repeat
        count = count + 1
        work(WARMUP + count)
    until seconds > 0 and clock.monotonic() - begin >= seconds
    local elapsed = clock.monotonic() - begin
    io.write(json.encode { rate = count / elapsed, cores = (os.clock() - used) / elapsed }, "\n")
end

signal.die_with(tonumber(arg[1]))
local kind, model = arg[2], arg[3]
if kind == "loop" then
    tell_running()
    while true do end
elseif kind == "export" then
    export(model, arg[4])
else
    measure((kind == "train" and trainer or reader)(model, arg[5]), tonumber(arg[4]))
end
