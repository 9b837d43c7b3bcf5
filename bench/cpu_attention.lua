--- The share of attention in a pre-training step of bert-base on the CPU.
--
--     build/bertlua bench/cpu_attention.lua [PRECISION LENGTH BATCH STEPS]
--     BERTLUA_MAX_CPU=x86-64-v3 ONEDNN_MAX_CPU_ISA=AVX2 build/bertlua bench/cpu_attention.lua
--
-- PRECISION is fp32 (the default) or bf16; sequences are full. Takes one thread and counts its CPU time, which other
-- processes disturb least. Prints the fastest of STEPS steps: milliseconds of attention, forward and backward in all
-- layers, of all ops, and the share. The optimizer is left out: its time does not depend on the batch.

local BertConfig = require("bertlua.models.bert").BertConfig
local BertForPretraining = require("bertlua.models.bert").BertForPretraining
local Tape = require "bertlua.autograd.tape"
local context = require "bertlua.context"
local ops = require "bertlua.ops"
local paths = require "bertlua.paths"

local random_batch = dofile(paths.root() .. "/bench/random_batch.lua")

local precision, length = arg[1] or "fp32", tonumber(arg[2] or 512)
local sequences, steps = tonumber(arg[3] or 1), tonumber(arg[4] or 5)

context.open { threads = 1 }
local seconds = {}
for _, name in ipairs { "attention_forward", "attention_backward" } do
    local original = ops[name]
    ops[name] = function(...)
        local begin = os.clock()
        original(...)
        seconds[name] = (seconds[name] or 0) + os.clock() - begin
    end
end

local config = BertConfig.load(paths.find("config", "bert-base-uncased.json"))
local model = BertForPretraining.new(config)
model.store:allocate { precision = precision, seed = 1 }
local tape = Tape.new { seed = 1 }
local batch = random_batch(config, sequences, length, math.floor(length * 0.15))
local best = { all = math.huge }
for step = 0, steps do
    seconds = {}
    local begin = os.clock()
    model.store:zero_grad()
    tape:start(step, 0, true)
    tape:backward(model:forward(tape, batch).loss)
    seconds.all = os.clock() - begin
    if step > 0 and seconds.all < best.all then best = seconds end
end
local forward, backward = best.attention_forward, best.attention_backward
io.write(context.describe(), "\n", ("%s, %d x %d: attention %.1f + %.1f ms of %.1f: %.1f %%\n"):format(precision,
    sequences, length, 1e3 * forward, 1e3 * backward, 1e3 * best.all, 1e2 * (forward + backward) / best.all))
