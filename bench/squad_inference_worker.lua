--- One measurement of bench/squad_inference.lua in a separate process, so that each has its own peak memory.
--
-- Arguments: PRECISION (fp32 | bf16) WARMUP STEPS BATCH LENGTH CONFIG. Prints one
-- JSON line: {"seconds": [...], "rss": bytes}. The batch is full sequences of
-- random words; a step is the forward pass and the copy of the logits to the host.

local BertConfig = require "bertlua.models.bert_config"
local BertForQuestionAnswering = require "bertlua.models.question_answering"
local Meter = require "bertlua.train.meter"
local Tape = require "bertlua.autograd.tape"
local clock = require "bertlua.util.clock"
local context = require "bertlua.context"
local json = require "bertlua.util.json"
local ops = require "bertlua.ops"
local rng = require "bertlua.rng"
local tensor = require "bertlua.tensor"

local precision, config_file = arg[1], arg[6]
local warmup, steps, sequences, length = tonumber(arg[2]), tonumber(arg[3]), tonumber(arg[4]), tonumber(arg[5])

context.pin_threads()
local config = BertConfig.load(config_file)
local model = BertForQuestionAnswering.new(config)
model.store:allocate { precision = precision, seed = 1, training = false }

local random = rng.new(1)
local function filled(dims, value)
    local list, n = {}, 1
    for i = 1, #dims do n = n * dims[i] end
    for i = 1, n do list[i] = value(i - 1) end
    return tensor.new("i32", dims):set(list)
end
local rows = sequences * length
local batch = {
    batch_size = sequences, max_length = length, rows = rows, tokens = rows,
    ids = filled({ rows }, function() return random:integer(0, config.vocab_size - 1) end),
    positions = filled({ rows }, function(i) return i % length end),
    types = filled({ rows }, function(i) return i % length < 16 and 0 or 1 end),
    segments = filled({ sequences, 2 }, function(i) return i % 2 == 0 and i / 2 * length or length end),
}

local tape = Tape.new()
local host = tensor.new("f32", { rows, 2 })
local seconds = {}
for step = 1, warmup + steps do
    local begun = clock.monotonic()
    tape:start(step, 0, false)
    ops.copy(host, model:logits(tape, batch).value)
    if step > warmup then seconds[#seconds + 1] = clock.monotonic() - begun end
end
io.write(json.encode { seconds = seconds, rss = Meter.peak_memory() }, "\n")
