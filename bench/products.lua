--- The matrix products of a training step on the CPU, one by one: how long each takes, and how near it comes to the
-- best rate that this CPU multiplies at.
--
--     build/bertlua bench/products.lua [--config-file FILE] [--batch-size 8] [--max-seq-length 128]
--         [--precision fp32] [--threads 0]
--
-- Each is called as training calls it, through the ops of linear layers, whose backward is given only one of the two
-- gradients at a time. Attention's own products, which are small and batched, are not among them.

local BertConfig = require("bertlua.models.bert").BertConfig
local benchmark = require "bertlua.train.benchmark"
local clock = require "bertlua.util.clock"
local context = require "bertlua.context"
local ops = require "bertlua.ops"
local paths = require "bertlua.paths"
local settings = require "bertlua.settings"
local tensor = require "bertlua.tensor"

local spec = settings.define {
    { name = "config_file", type = "path", help = "the model's configuration; unset: bert-base" },
    { name = "batch_size", type = "integer", min = 1, default = 8, help = "sequences per step" },
    { name = "max_seq_length", type = "integer", min = 8, default = 128, help = "tokens per sequence" },
    { name = "max_predictions_per_seq", type = "integer", min = 1, default = 20, help = "masked words per sequence" },
    { name = "precision", type = "choice", choices = { "fp32", "bf16" }, default = "fp32", help = "of the operands" },
    { name = "threads", type = "integer", min = 0, default = 0, help = "0: OMP_NUM_THREADS, or all cores" },
    { name = "rounds", type = "integer", min = 1, default = 5,
        help = "rounds over all products; the peak is measured in each" },
}

local DEFINITIONS = [[
m x k : k x n  rows of C, what is summed, columns of C.
A, B       how the operands lie: in rows or in columns; copied: rows that oneDNN would
           read slowly, so they are put into a layout of its own first.
C          set, or added to: gradients of weights accumulate.
ms         median over the rounds of the best of several calls in a round. The bias
           is added in the forward; its gradient and activations, which are passes of
           their own, are left out.
of peak    rate relative to the best single call in this process, of these products or
           of three large ones (1024x1024:1024x1024, 2048x2048:2048x2048,
           4096x1024:1024x1024).
step ms    how many of them a step has, ms x that, and the share of the sum of all.
by work    all operations of a step / the sum of its ms.]]

local DTYPE = { fp32 = "f32", bf16 = "bf16" }
local PEAK = { { 1024, 1024, 1024 }, { 2048, 2048, 2048 }, { 4096, 1024, 1024 } }
-- Seconds that one product is repeated for in a round; at least three calls.
local SPAN = 0.15

local function normal(dtype, dims, number)
    local x = tensor.new(dtype, dims)
    ops.fill_normal(x, 0, 0.02, 1, number)
    return x
end

--- Seconds of the fastest of several calls.
local function best(call)
    local least, calls, begin = math.huge, 0, clock.monotonic()
    repeat
        local before = clock.monotonic()
        call()
        least, calls = math.min(least, clock.monotonic() - before), calls + 1
    until calls >= 3 and clock.monotonic() - begin >= SPAN
    return least
end

--- The linear layers of a step: {name, rows, inputs, outputs, number of layers of that kind}.
local function layers(config, values)
    local hidden, inner, count = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    local rows = values.batch_size * values.max_seq_length
    -- As the loader rounds it.
    local masked = math.ceil(values.batch_size * values.max_predictions_per_seq / 16) * 16
    return {
        { "attention qkv", rows, hidden, 3 * hidden, count },
        { "attention output", rows, hidden, hidden, count },
        { "feed-forward 1", rows, hidden, inner, count },
        { "feed-forward 2", rows, inner, hidden, count },
        { "MLM transform", masked, hidden, hidden, 1 },
        { "MLM decoder", masked, hidden, config.padded_vocab_size, 1 },
    }
end

--- How B lies, and whether the engine copies it (is_slow_in_place() in engine/cpu/matmul.c).
local function rows_of_b(m, width, dtype)
    local slow = dtype == "f32" and m >= 64 and width >= 2560 and width % 512 == 0
    return slow and context.describe():find("AVX-512", 1, true) and "copied" or "rows"
end

--- Three products of a layer: y = x w^T + bias, dx = dy w, dw += dy^T x.
local function products_of(layer, dtype)
    local name, rows, inputs, outputs, count = unpack(layer)
    local operands = {}
    local function open()
        operands.x, operands.w = normal(dtype, { rows, inputs }, 1), normal(dtype, { outputs, inputs }, 2)
        operands.dy, operands.bias = normal(dtype, { rows, outputs }, 3), normal("f32", { outputs }, 4)
        operands.dw = tensor.new("f32", { outputs, inputs })
        return operands
    end
    local function row(kind, m, k, n, a, b, c, prepare)
        return { name = name, kind = kind, m = m, k = k, n = n, a = a, b = b, c = c, count = count, seconds = {},
            open = open, prepare = prepare }
    end
    return {
        row("forward", rows, inputs, outputs, "rows", "columns", "set", function(o)
            local y = tensor.new(dtype, { rows, outputs })
            return function() ops.linear_forward(y, nil, o.x, o.w, o.bias, "none") end
        end),
        row("dx", rows, outputs, inputs, "rows", rows_of_b(rows, inputs, dtype), "set", function(o)
            local dx = tensor.new(dtype, { rows, inputs })
            return function() ops.linear_backward(dx, nil, nil, o.dy, o.x, o.w, nil, "none") end
        end),
        row("dw", outputs, rows, inputs, "columns", rows_of_b(outputs, inputs, dtype), "added", function(o)
            return function() ops.linear_backward(nil, o.dw, nil, o.dy, o.x, o.w, nil, "none") end
        end),
    }
end

local function flops(row)
    return 2 * row.m * row.k * row.n
end

--- The best rate of some large products, FLOP/s.
local function measure_peak(dtype)
    local peak = 0
    for _, shape in ipairs(PEAK) do
        tensor.scope(function()
            local m, n, k = unpack(shape)
            local x, w, y = normal(dtype, { m, k }, 1), normal(dtype, { n, k }, 2), tensor.new(dtype, { m, n })
            local seconds = best(function() ops.linear_forward(y, nil, x, w, nil, "none") end)
            peak = math.max(peak, 2 * m * n * k / seconds)
        end)
    end
    return peak
end

local function measure(rows, values, dtype)
    local peak = 0
    for round = 1, values.rounds do
        io.stderr:write(("round %d of %d\n"):format(round, values.rounds))
        peak = math.max(peak, measure_peak(dtype))
        for _, row in ipairs(rows) do
            tensor.scope(function() row.seconds[round] = best(row.prepare(row.open())) end)
            peak = math.max(peak, flops(row) / row.seconds[round])
        end
    end
    return peak
end

local function print_rows(rows, peak)
    local total, work = 0, 0
    for _, row in ipairs(rows) do
        row.median = benchmark.median(row.seconds)
        total, work = total + row.count * row.median, work + row.count * flops(row)
    end
    print(("%-16s %-8s %20s  %-7s %-7s %-5s %9s %8s %8s %3s %9s"):format("", "", "m x k : k x n", "A", "B", "C", "ms",
        "GFLOP/s", "of peak", "", "step ms"))
    for _, row in ipairs(rows) do
        local rate = flops(row) / row.median
        print(("%-16s %-8s %20s  %-7s %-7s %-5s %9.3f %8.1f %6.1f %% %3d %9.2f %5.1f %%"):format(row.name, row.kind,
            ("%dx%d:%dx%d"):format(row.m, row.k, row.k, row.n), row.a, row.b, row.c, 1e3 * row.median, rate / 1e9,
            100 * rate / peak, row.count, 1e3 * row.count * row.median, 100 * row.count * row.median / total))
    end
    print(("%-81s %8.1f %6.1f %% %3s %9.2f"):format("all, by work", work / total / 1e9, 100 * work / total / peak, "",
        1e3 * total))
    print(("%-81s %8.1f"):format("peak", peak / 1e9))
end

local function main()
    local values = spec:parse(arg, {}, { program = "bench/products.lua",
        description = "Measure the matrix products of a training step on the CPU." })
    if not values then return end
    context.open { device = "cpu", threads = values.threads }
    context.pin_threads()
    local config = BertConfig.load(values.config_file or paths.find("config", "bert-base-uncased.json"))
    local dtype, rows = DTYPE[values.precision], {}
    for _, layer in ipairs(layers(config, values)) do
        for _, row in ipairs(products_of(layer, dtype)) do rows[#rows + 1] = row end
    end
    local peak = measure(rows, values, dtype)
    print(("%d layers of width %d, %d sequences of %d tokens, %s"):format(config.num_hidden_layers, config.hidden_size,
        values.batch_size, values.max_seq_length, values.precision))
    print(("%s, %d rounds\n"):format(context.describe(), values.rounds))
    print_rows(rows, peak)
    print("\n" .. DEFINITIONS)
end

main()
