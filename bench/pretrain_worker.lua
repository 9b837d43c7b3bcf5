--- One measurement of bench/cpu_pretrain.lua in a separate process, so that each has its own peak memory.
--
-- Arguments: KIND (peak | fp32 | bf16) WARMUP STEPS BATCH LENGTH MASKED.
-- Prints one JSON line: {"seconds": [...], "flops": per step, "rss": bytes} for
-- training, {"f32": FLOP/s, "bf16": FLOP/s} for the matmul peak.

local BertConfig = require("bertlua.models.bert").BertConfig
local clock = require "bertlua.util.clock"
local context = require "bertlua.context"
local json = require "bertlua.util.json"
local ops = require "bertlua.ops"
local paths = require "bertlua.paths"
local tensor = require "bertlua.tensor"

local pretraining_step = dofile(paths.root() .. "/bench/pretraining_step.lua")

local function peak_rss()
    for line in io.lines "/proc/self/status" do
        local kilobytes = line:match "^VmHWM:%s+(%d+) kB"
        if kilobytes then return tonumber(kilobytes) * 1024 end
    end
end

local function train(precision, warmup, steps, sequences, length, masked)
    local config = BertConfig.load(paths.find("config", "bert-base-uncased.json"))
    local one_step, model, batch = pretraining_step.new(config, { precision = precision, batch_size = sequences,
        max_seq_length = length, max_predictions_per_seq = masked })
    local seconds, loss = {}, nil
    for step = 1, warmup + steps do
        local begin = clock.monotonic()
        loss = one_step(step)
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
