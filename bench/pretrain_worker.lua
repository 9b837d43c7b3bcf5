--- One measurement of bench/cpu_pretrain.lua in a separate process, so that each has its own peak memory.
--
-- Arguments: KIND (peak | fp32 | bf16) WARMUP STEPS BATCH LENGTH MASKED.
-- Prints one JSON line: {"seconds": [...], "flops": per step, "rss": bytes} for
-- training, {"f32": FLOP/s, "bf16": FLOP/s} for the matmul peak.

local BertConfig = require("bertlua.models.bert").BertConfig
local BertForPretraining = require("bertlua.models.bert").BertForPretraining
local Optimizer = require "bertlua.train.optimizer"
local Tape = require "bertlua.autograd.tape"
local clock = require "bertlua.util.clock"
local context = require "bertlua.context"
local json = require "bertlua.util.json"
local ops = require "bertlua.ops"
local paths = require "bertlua.paths"
local rng = require "bertlua.rng"
local tensor = require "bertlua.tensor"

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

local function peak_rss()
    for line in io.lines "/proc/self/status" do
        local kilobytes = line:match "^VmHWM:%s+(%d+) kB"
        if kilobytes then return tonumber(kilobytes) * 1024 end
    end
end

local function train(precision, warmup, steps, sequences, length, masked)
    local config = BertConfig.load(paths.find("config", "bert-base-uncased.json"))
    local model = BertForPretraining.new(config)
    model.store:allocate { precision = precision, seed = 1 }
    local optimizer = Optimizer.new { kind = "Lamb", store = model.store, max_grad_norm = 1.0 }
    local tape = Tape.new { seed = 1 }
    local batch = random_batch(config, sequences, length, masked)
    local seconds, loss = {}, nil
    for step = 1, warmup + steps do
        local begin = clock.monotonic()
        model.store:zero_grad()
        tape:start(step, 0, true)
        local objective = model:forward(tape, batch).loss
        loss = objective:item()
        tape:backward(objective)
        optimizer:step(1e-4)
        if step > warmup then seconds[#seconds + 1] = clock.monotonic() - begin end
    end
    if loss ~= loss or loss <= 0 then error("the loss is " .. loss) end
    return { seconds = seconds, flops = model:flops(batch), rss = peak_rss(), loss = loss }
end

--- Best rate of square and wide products, with operands of cache-friendly and larger sizes.
local function matmul_peak(dtype)
    local best = 0
    for _, shape in ipairs { { 1024, 1024, 1024 }, { 2048, 2048, 2048 }, { 4096, 1024, 1024 }, { 1024, 768, 3072 } } do
        tensor.scope(function()
            local m, n, k = unpack(shape)
            local x, w, y = tensor.new(dtype, { m, k }), tensor.new(dtype, { n, k }), tensor.new(dtype, { m, n })
            ops.fill_normal(x, 0, 1, 1, 1)
            ops.fill_normal(w, 0, 1, 1, 2)
            for _ = 1, 8 do
                local begin = clock.monotonic()
                ops.linear_forward(y, nil, x, w, nil, "none")
                best = math.max(best, 2 * m * n * k / (clock.monotonic() - begin))
            end
        end)
    end
    return best
end

-- As the trainer does by default.
context.pin_threads()
local kind = arg[1]
local result
if kind == "peak" then
    result = { f32 = matmul_peak "f32", bf16 = matmul_peak "bf16" }
else
    result = train(kind, tonumber(arg[2]), tonumber(arg[3]), tonumber(arg[4]), tonumber(arg[5]), tonumber(arg[6]))
end
io.write(json.encode(result), "\n")
