--- BERT-large's matrix products on a GPU: forward, input and weight gradient of each layer, compared with PyTorch.
--
--     build/bertlua bench/gpu_linear.lua [--rows 32768,16384] [--choices FILE] [--python PATH]
--
-- Needs an NVIDIA GPU and fails without one. Rates are measured in one process
-- on one GPU: first the bf16 peak of large square products, then the products of
-- each layer in several rounds, and the best round counts.

local context = require "bertlua.context"
local fault = require "bertlua.fault"
local json = require "bertlua.util.json"
local ops = require "bertlua.ops"
local paths = require "bertlua.paths"
local settings = require "bertlua.settings"
local tensor = require "bertlua.tensor"
local quote = require("bertlua.util.shell").quote

local clock = dofile(paths.root() .. "/bench/gpu_clock.lua")
local command = dofile(paths.root() .. "/bench/command.lua")
local random, seconds_of = clock.random, clock.seconds_of

local spec = settings.define {
    { name = "rows", type = "string", default = "32768,16384", help = "tokens per micro-step, comma-separated" },
    { name = "rounds", type = "integer", min = 1, default = 5, help = "measurements of each product" },
    { name = "milliseconds", type = "number", above = 0, default = 30, help = "minimum duration of one measurement" },
    { name = "choices", type = "string", help = "file with the fastest algorithms; missing ones are timed" },
    { name = "python", type = "string", default = os.getenv "PYTHON" or "python3", help = "interpreter of the peer" },
}

local DEFINITIONS = [[
TFLOP/s    2 rows K N / seconds on the device, back-to-back launches, random operands, bf16, sums in f32.
forward    y = x w^T + bias, then GELU where the layer has one.
dgrad      dx = dy w; behind GELU times its derivative, and sums over the rows.
wgrad      dw += dy^T x into f32, and dbias += the sums of dy.
of peak    relative to the best square product (4096, 8192, 16384) measured in this run.
PyTorch    F.linear (and GELU), dy @ w alone, and dy^T @ x into bf16 with dy.sum(0); eager, the same operands.]]

-- K inputs, N outputs. The MLM head sees 20 masked tokens out of every 128.
local LAYERS = {
    { name = "qkv", inputs = 1024, outputs = 3072 },
    { name = "attention out", inputs = 1024, outputs = 1024 },
    { name = "ffn 1 + GELU", inputs = 1024, outputs = 4096, activation = "gelu" },
    { name = "ffn 2", inputs = 4096, outputs = 1024 },
    { name = "ffn 1 + GELU, tanh form", inputs = 1024, outputs = 4096, activation = "gelu_tanh" },
    { name = "ffn 2 behind GELU, tanh form", inputs = 4096, outputs = 1024, behind = true },
    { name = "MLM transform + GELU", inputs = 1024, outputs = 1024, activation = "gelu", masked = true },
    { name = "MLM decoder", inputs = 1024, outputs = 30528, masked = true },
}

local KINDS = { "forward", "dgrad", "wgrad" }
-- F.gelu's argument `approximate`.
local GELU_OF_PEER = { gelu = "none", gelu_tanh = "tanh" }

local function peak(values)
    local best, size = 0, nil
    for _, n in ipairs { 4096, 8192, 16384 } do
        tensor.scope(function()
            local x, w, y = random("bf16", { n, n }, 1), random("bf16", { n, n }, 2), tensor.new("bf16", { n, n })
            local function product() ops.linear_forward(y, nil, x, w, nil, "none") end
            product()
            for _ = 1, values.rounds do
                local rate = 2 * n ^ 3 / seconds_of(product, values.milliseconds / 1e3)
                if rate > best then best, size = rate, n end
            end
        end)
    end
    return best, size
end

--- The three products of a layer as functions, on tensors of the current scope.
local function products(layer)
    local rows, inputs, outputs = layer.rows, layer.inputs, layer.outputs
    local x, dy = random("bf16", { rows, inputs }, 1), random("bf16", { rows, outputs }, 2)
    local w, bias = random("bf16", { outputs, inputs }, 3, 0.02), random("bf16", { outputs }, 4, 0.02)
    local y, dx = tensor.new("bf16", { rows, outputs }), tensor.new("bf16", { rows, inputs })
    local pre = layer.activation and tensor.new("bf16", { rows, outputs })
    local dw, dbias = tensor.new("f32", { outputs, inputs }), tensor.new("f32", { outputs })
    local x_pre = layer.behind and random("bf16", { rows, inputs }, 5) or nil
    local dx_sums = layer.behind and tensor.new("f32", { inputs }) or nil
    return {
        forward = function() ops.linear_forward(y, pre, x, w, bias, layer.activation) end,
        dgrad = function() ops.linear_backward(dx, nil, nil, dy, x, w, nil, "none", false, nil, x_pre, dx_sums) end,
        wgrad = function() ops.linear_backward(nil, dw, dbias, dy, x, w, nil, "none") end,
    }
end

--- Seconds of each kind of product of a layer: the best of its rounds.
local function measure(layer, values)
    local best = {}
    tensor.scope(function()
        local work = products(layer)
        for _, kind in ipairs(KINDS) do work[kind]() end -- algorithms are chosen here
        for _ = 1, values.rounds do
            for _, kind in ipairs(KINDS) do
                best[kind] = math.min(best[kind] or math.huge, seconds_of(work[kind], values.milliseconds / 1e3))
            end
        end
    end)
    return best
end

--- PyTorch's seconds for the same products, or nil if it is not available.
local function peer(layers, values)
    local shapes = {}
    for i, layer in ipairs(layers) do
        shapes[i] = { layer.rows, layer.inputs, layer.outputs, GELU_OF_PEER[layer.activation] or false }
    end
    return (command.peer(values.python, "gpu_linear.py", ("%s %d %g 2>/dev/null"):format(quote(json.encode(shapes)),
        values.rounds, values.milliseconds / 1e3)))
end

local function layers_of(values)
    local layers = {}
    for text in values.rows:gmatch "[^,]+" do
        local rows = tonumber(text)
        if not rows or rows < 128 or rows % 128 ~= 0 then
            fault.raisef("--rows: got %q, expected comma-separated multiples of 128", text)
        end
        for _, layer in ipairs(LAYERS) do
            layers[#layers + 1] = setmetatable({ rows = layer.masked and rows * 20 / 128 or rows }, { __index = layer })
        end
    end
    return layers
end

local function print_row(name, layer, seconds, top)
    local cells = {}
    for i, kind in ipairs(KINDS) do
        local rate = 2 * layer.rows * layer.inputs * layer.outputs / seconds[kind]
        cells[i] = ("%8.1f %5.1f %%"):format(rate / 1e12, 100 * rate / top)
    end
    print(("%-30s %6d %6d %6d  %s"):format(name, layer.rows, layer.inputs, layer.outputs, table.concat(cells, " ")))
end

local function main()
    local values = spec:parse(arg, {}, { program = "bench/gpu_linear.lua",
        description = "Measure BERT-large's matrix products on a GPU, compared with PyTorch." })
    if not values then return end
    local layers = layers_of(values)
    clock.open_gpu()
    if values.choices then context.matmul_choices(values.choices) end
    print(context.describe())
    local top, size = peak(values)
    print(("bf16 peak: %.1f TFLOP/s, %d x %d x %d\n"):format(top / 1e12, size, size, size))
    print(("%-30s %6s %6s %6s  %16s %16s %16s"):format("", "rows", "K", "N", "forward", "dgrad", "wgrad"))
    for _, layer in ipairs(layers) do
        layer.seconds = measure(layer, values)
        print_row(layer.name, layer, layer.seconds, top)
    end
    local other = peer(layers, values)
    if other then
        print()
        for i, layer in ipairs(layers) do
            print_row(layer.name .. ", PyTorch", layer, other.seconds[i], top)
        end
    end
    clock.name_peer(other)
    print("\n" .. DEFINITIONS)
end

main()
