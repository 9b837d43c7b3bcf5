--- Attention on a GPU: each implementation, forward and backward, at BERT-large's shapes, compared with PyTorch.
--
--     build/bertlua bench/gpu_attention.lua [--shapes 256x128,32x512,32x384] [--dropout 0.1] [--python PATH]
--
-- Needs an NVIDIA GPU and fails without one. All implementations take turns in
-- every round in one process, and the best round counts. One that does not
-- support a shape is listed with the reason.

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
local seconds_of = clock.seconds_of

local spec = settings.define {
    { name = "shapes", type = "string", default = "256x128,32x512,32x384",
        help = "sequences x length, comma-separated" },
    { name = "heads", type = "integer", min = 1, default = 16, help = "number of heads, each of size 64" },
    { name = "dropout", type = "number", min = 0, below = 1, default = 0.1,
        help = "dropout of the probabilities; 0 is measured too" },
    { name = "rounds", type = "integer", min = 1, default = 5, help = "measurements of each implementation" },
    { name = "milliseconds", type = "number", above = 0, default = 30, help = "minimum duration of one measurement" },
    { name = "python", type = "string", default = os.getenv "PYTHON" or "python3", help = "interpreter of the peer" },
}

local DEFINITIONS = [[
ms         on the device, back-to-back launches, bf16, full-length sequences, random operands.
TFLOP/s    4 B A S S D forward (two products), 10 B A S S D backward (five), divided by that time.
bertlua    reads q, k, v side by side, as the previous layer writes them, and writes their gradients the same way.
PyTorch    scaled_dot_product_attention on [B,A,S,D] views of the same layout, its own choice of kernel; the backward is
           autograd.grad of its output. Its dropout mask is a different one.]]

local SIZE = 64
local NAMES = { "native", "cudnn", "unfused" }

local function parse_shapes(text)
    local shapes = {}
    for item in text:gmatch "[^,]+" do
        local batch, length = item:match "^(%d+)x(%d+)$"
        if not batch or tonumber(batch) < 1 or tonumber(length) < 1 then
            fault.raisef("--shapes: got %q, expected sequences x length, such as 256x128", item)
        end
        shapes[#shapes + 1] = { batch = tonumber(batch), length = tonumber(length) }
    end
    return shapes
end

--- The forward and backward pass of a shape as functions, on tensors of the current scope.
local function work_of(shape, heads, p)
    local batch, length, hidden = shape.batch, shape.length, heads * SIZE
    local rows, bounds = batch * length, {}
    for b = 1, batch do bounds[b] = { (b - 1) * length, length } end
    local segments, state = tensor.from(bounds, "i32"), tensor.from({ 1, 1 }, "i64")
    local qkv, dout = clock.random("bf16", { rows, 3 * hidden }, 1), clock.random("bf16", { rows, hidden }, 2)
    local out, dqkv = tensor.new("bf16", { rows, hidden }), tensor.new("bf16", { rows, 3 * hidden })
    local stats = tensor.new("f32", { batch, heads, length })
    local kept = p > 0 and tensor.new("i32", { batch, heads, ops.attention_kept_words(length) }) or nil
    local dropout, scale = p > 0 and ops.dropout(state, p, 1) or nil, 1 / math.sqrt(SIZE)
    return {
        state = state, -- dropout points at it
        forward = function() ops.attention_forward(out, stats, kept, qkv, segments, heads, length, scale, dropout) end,
        backward = function()
            ops.attention_backward(dqkv, dout, out, stats, kept, qkv, segments, heads, length, scale, dropout)
        end,
    }
end

--- By implementation: { forward, backward } seconds, or { reason }.
local function measure(shape, values, p)
    local results = {}
    tensor.scope(function()
        local work = work_of(shape, values.heads, p)
        for _, name in ipairs(NAMES) do
            context.attention(name)
            local ok, message = pcall(function()
                work.forward()
                work.backward()
                context.synchronize()
            end)
            results[name] = ok and {} or { reason = tostring(message):gsub("^[^:]+%.lua:%d+: ", "") }
        end
        for _ = 1, values.rounds do
            for _, name in ipairs(NAMES) do
                local result = results[name]
                context.attention(name)
                for _, kind in ipairs(result.reason and {} or { "forward", "backward" }) do
                    local seconds = seconds_of(work[kind], values.milliseconds / 1e3)
                    result[kind] = math.min(result[kind] or math.huge, seconds)
                end
            end
        end
    end)
    context.attention "auto"
    return results
end

--- PyTorch's seconds for every shape and dropout, or nil if it is not available.
local function peer(cases, values)
    local list = {}
    for i, case in ipairs(cases) do list[i] = { case.shape.batch, values.heads, case.shape.length, SIZE, case.p } end
    return (command.peer(values.python, "gpu_attention.py", ("%s %d %g 2>/dev/null"):format(quote(json.encode(list)),
        values.rounds, values.milliseconds / 1e3)))
end

local function print_row(case, name, heads, result)
    local label = ("%3d x %3d  %4.2f  %-8s"):format(case.shape.batch, case.shape.length, case.p, name)
    if result.reason then return print(label .. "  " .. result.reason) end
    local work = case.shape.batch * heads * case.shape.length ^ 2 * SIZE
    print(("%s %9.3f %9.1f %9.3f %9.1f"):format(label, result.forward * 1e3, 4 * work / result.forward / 1e12,
        result.backward * 1e3, 10 * work / result.backward / 1e12))
end

local function main()
    local values = spec:parse(arg, {}, { program = "bench/gpu_attention.lua",
        description = "Measure attention on a GPU, each implementation compared with PyTorch." })
    if not values then return end
    local cases = {}
    for _, shape in ipairs(parse_shapes(values.shapes)) do
        for _, p in ipairs(values.dropout > 0 and { values.dropout, 0 } or { 0 }) do
            cases[#cases + 1] = { shape = shape, p = p }
        end
    end
    clock.open_gpu()
    print(context.describe())
    print(("\n%9s  %4s  %-8s %9s %9s %9s %9s"):format("B x S", "p", "", "forward", "TFLOP/s", "backward", "TFLOP/s"))
    for _, case in ipairs(cases) do case.results = measure(case.shape, values, case.p) end
    local other = peer(cases, values)
    for i, case in ipairs(cases) do
        for _, name in ipairs(NAMES) do print_row(case, name, values.heads, case.results[name]) end
        if other then print_row(case, "PyTorch", values.heads, other.seconds[i]) end
    end
    clock.name_peer(other)
    print("\n" .. DEFINITIONS)
end

main()
