--- Memory-bound kernels on a GPU at BERT-large's shapes: bytes/s compared with the device's own copy and with PyTorch.
--
--     build/bertlua bench/gpu_kernels.lua [--sequences 256] [--rounds 5] [--python PATH]
--
-- Needs an NVIDIA GPU and fails without one. All are measured in one process on
-- one GPU: first a copy of 1 GiB, then the kernels in several rounds, each kernel
-- once per round, and the best round counts.

local context = require "bertlua.context"
local ops = require "bertlua.ops"
local optim = require "bertlua.optim"
local paths = require "bertlua.paths"
local rng = require "bertlua.rng"
local settings = require "bertlua.settings"
local tensor = require "bertlua.tensor"

local clock = dofile(paths.root() .. "/bench/gpu_clock.lua")
local command = dofile(paths.root() .. "/bench/command.lua")
local random, seconds_of = clock.random, clock.seconds_of

local spec = settings.define {
    { name = "sequences", type = "integer", min = 1, default = 256, help = "sequences of 128 tokens" },
    { name = "rounds", type = "integer", min = 1, default = 5, help = "measurements of each kernel" },
    { name = "milliseconds", type = "number", above = 0, default = 30, help = "minimum duration of one measurement" },
    { name = "python", type = "string", default = os.getenv "PYTHON" or "python3", help = "interpreter of the peer" },
}

local DEFINITIONS = [[
MB         the minimum that the op must move: each input read once, each output written once.
GB/s       these bytes / seconds on the device, back-to-back launches.
of copy    GB/s relative to the copy's, which counts both what it reads and what it writes.
bf16 activations, dropout 0.1, all launches of an op together. LAMB's 42 bytes per
parameter are those of its two passes (24 + 18); AdamW's are 30.
PyTorch    eager, bf16; dropout + add + F.layer_norm and its backward; F.cross_entropy
           of the logits and its backward; torch.optim.AdamW(fused=True) on f32 parameters,
           which writes no bf16 copy: 28 bytes per parameter.]]

local H, LAYERS, VOCAB, CLASSES, LENGTH, MASKED = 1024, 24, 30528, 30522, 128, 20

--- Lengths of BERT-large's parameter tensors.
local function parameter_lengths()
    local list = { VOCAB * H, 512 * H, 2 * H, H, H }
    for _ = 1, LAYERS do
        for _, n in ipairs { 3 * H * H, 3 * H, H * H, H, H, H, 4 * H * H, 4 * H, 4 * H * H, H, H, H } do
            list[#list + 1] = n
        end
    end
    for _, n in ipairs { H * H, H, H * H, H, H, H, VOCAB, 2 * H, 2 } do list[#list + 1] = n end
    return list
end

local function integers(n, below, seed)
    local source, list = rng.new(seed), {}
    for i = 1, n do list[i] = source:integer(0, below - 1) end
    return tensor.from(list, "i32")
end

--- Rows of work {name, bytes, fn} for the layers' kernels, on tensors of the current scope.
local function layer_work(rows)
    local size = 2 * rows * H
    local x, residual = random("bf16", { rows, H }, 1), random("bf16", { rows, H }, 2)
    local y, z = tensor.new("bf16", { rows, H }), tensor.new("bf16", { rows, H })
    local mean, rstd = tensor.new("f32", { rows }), tensor.new("f32", { rows })
    local gamma, beta = tensor.new("f32", { H }):fill(1), tensor.new("f32", { H })
    local dgamma, dbeta = tensor.new("f32", { H }), tensor.new("f32", { H })
    local state = tensor.from({ 1, 2 }, "i64")
    local dropout = ops.dropout(state, 0.1, 3)
    local word, position = random("bf16", { VOCAB, H }, 3), random("bf16", { 512, H }, 4)
    local kind = random("bf16", { 2, H }, 5)
    local dword, dposition = tensor.new("f32", { VOCAB, H }), tensor.new("f32", { 512, H })
    local dkind = tensor.new("f32", { 2, H })
    local ids, places, kinds = integers(rows, CLASSES, 6), {}, integers(rows, 2, 7)
    for i = 1, rows do places[i] = (i - 1) % LENGTH end
    places = tensor.from(places, "i32")
    -- The table rows that occur are read and written in f32: of V words, V (1 - (1 - 1/V)^rows).
    local touched = 8 * H * CLASSES * (1 - (1 - 1 / CLASSES) ^ rows)
    local work = {
        { name = "layernorm forward", bytes = 4 * size, fn = function()
            ops.layernorm_forward(y, z, mean, rstd, x, residual, gamma, beta, 1e-12, dropout)
        end },
        { name = "layernorm backward", bytes = 4 * size, fn = function()
            ops.layernorm_backward(x, residual, dgamma, dbeta, y, z, mean, rstd, gamma, dropout)
        end },
        { name = "embedding forward", bytes = 2 * size, fn = function()
            ops.embedding_forward(y, mean, rstd, word, position, kind, ids, places, kinds, gamma, beta, 1e-12, dropout)
        end },
        { name = "embedding backward", bytes = 2 * size + touched, fn = function()
            ops.embedding_backward(dword, dposition, dkind, dgamma, dbeta, y, mean, rstd, word, position, kind, ids,
                places, kinds, gamma, dropout)
        end },
    }
    work.state = state -- the dropout only points at it
    return work
end

local function head_work(rows)
    local masked = rows * MASKED / LENGTH
    local logits = random("bf16", { masked, VOCAB }, 1, 2)
    local labels = integers(masked, CLASSES, 2)
    local loss, lse, correct = tensor.new("f32", { 1 }), tensor.new("f32", { masked }), tensor.new("f32", { 1 })
    local one = tensor.from { 1 }
    local x, y = random("bf16", { rows, H }, 3), tensor.new("bf16", { masked, H })
    local picks = {}
    for i = 1, masked do picks[i] = math.floor((i - 1) / MASKED) * LENGTH + (i - 1) % MASKED * 6 end
    picks = tensor.from(picks, "i32")
    local segments = {}
    for b = 1, rows / LENGTH do segments[b] = { (b - 1) * LENGTH, LENGTH } end
    segments = tensor.from(segments, "i32")
    local means = tensor.new("bf16", { rows / LENGTH, H })
    local size = 2 * masked * VOCAB
    local out = tensor.new("bf16", { masked, VOCAB })
    return {
        { name = "gather forward", bytes = 4 * masked * H, fn = function() ops.gather_forward(y, x, picks) end },
        { name = "gather backward", bytes = 2 * (masked + rows) * H, fn = function()
            ops.gather_backward(x, y, picks)
        end },
        { name = "segment mean forward", bytes = 2 * (rows + rows / LENGTH) * H, fn = function()
            ops.segment_mean_forward(means, x, segments)
        end },
        { name = "segment mean backward", bytes = 2 * (rows + rows / LENGTH) * H, fn = function()
            ops.segment_mean_backward(x, means, segments)
        end },
        { name = "cross-entropy forward", bytes = size, fn = function()
            ops.cross_entropy_forward(loss, lse, correct, logits, labels, CLASSES)
        end },
        { name = "cross-entropy backward", bytes = 2 * size, fn = function()
            ops.cross_entropy_backward(out, logits, labels, lse, one, CLASSES)
        end },
    }
end

--- The ops of a user's own modules and losses.
local function elementwise_work(rows)
    local size = 2 * rows * H
    local x, z = random("bf16", { rows, H }, 1), random("bf16", { rows, H }, 2)
    local y, row = tensor.new("bf16", { rows, H }), random("bf16", { H }, 3)
    local per_row, per_column = tensor.new("bf16", { rows, 1 }), tensor.new("bf16", { 1, H })
    local mask, index = tensor.new("i8", { rows, H }), tensor.new("i32", { rows, 1 })
    local other = tensor.new("bf16", { rows, H })
    return {
        { name = "add", bytes = 3 * size, fn = function() ops.binary(y, x, z, "add") end },
        { name = "mul with a row", bytes = 2 * size, fn = function() ops.binary(y, x, row, "mul") end },
        { name = "div backward, both", bytes = 5 * size, fn = function()
            ops.binary_backward(y, other, x, x, z, "div")
        end },
        { name = "silu", bytes = 2 * size, fn = function() ops.unary_forward(y, x, "silu") end },
        { name = "silu backward", bytes = 3 * size, fn = function() ops.unary_backward(y, z, x, nil, "silu") end },
        { name = "compare", bytes = 2.5 * size, fn = function() ops.compare(mask, x, z, "gt") end },
        { name = "where", bytes = 3.5 * size, fn = function() ops.where(y, mask, x, z) end },
        { name = "sum of each row", bytes = size, fn = function() ops.reduce_dims(per_row, x, "sum") end },
        { name = "sum of each column", bytes = size, fn = function() ops.reduce_dims(per_column, x, "sum") end },
        { name = "argmax of each row", bytes = size, fn = function() ops.argmax(index, x, 2) end },
    }
end

--- The ops of a user's own models.
local function product_work(rows)
    local size, masked = 2 * rows * H, rows * MASKED / LENGTH
    local x, y, dy = random("bf16", { rows, H }, 1), tensor.new("bf16", { rows, H }), random("bf16", { rows, H }, 2)
    local rstd, gamma = tensor.new("f32", { rows }), tensor.new("f32", { H }):fill(1)
    local dgamma = tensor.new("f32", { H })
    local both, half = random("bf16", { rows, 8 * H }, 3), random("bf16", { rows, 4 * H }, 4)
    local dboth = tensor.new("bf16", { rows, 8 * H })
    local qkv, turned, places = random("bf16", { rows, 3 * H }, 5), tensor.new("bf16", { rows, 3 * H }), {}
    for i = 1, rows do places[i] = (i - 1) % LENGTH end
    places = tensor.from(places, "i32")
    local logits, log_p = random("bf16", { masked, VOCAB }, 6), tensor.new("bf16", { masked, VOCAB })
    local heads = { rows / LENGTH, 16, LENGTH, H / 16 }
    local queries, keys = random("bf16", heads, 7), random("bf16", heads, 8):transpose(3, 4)
    local scores = tensor.new("bf16", { rows / LENGTH, 16, LENGTH, LENGTH })
    return {
        { name = "rmsnorm forward", bytes = 2 * size, fn = function()
            ops.rmsnorm_forward(y, rstd, x, gamma, 1e-6)
        end },
        { name = "rmsnorm backward", bytes = 3 * size, fn = function()
            ops.rmsnorm_backward(y, dgamma, dy, x, rstd, gamma)
        end },
        { name = "glu forward, silu", bytes = 12 * size, fn = function() ops.glu_forward(half, both, "silu") end },
        { name = "glu backward, silu", bytes = 20 * size, fn = function()
            ops.glu_backward(dboth, half, both, "silu")
        end },
        { name = "rotary", bytes = 6 * size, fn = function() ops.rotary(turned, qkv, places, 16, 10000) end },
        { name = "rotary in place", bytes = 4 * size, fn = function()
            ops.rotary(turned, turned, places, 16, 10000, true)
        end },
        { name = "log-softmax forward", bytes = 4 * masked * VOCAB, fn = function()
            ops.log_softmax_forward(log_p, logits)
        end },
        { name = "log-softmax backward", bytes = 6 * masked * VOCAB, fn = function()
            ops.log_softmax_backward(logits, logits, log_p)
        end },
        { name = "matmul of 16 heads", bytes = 2 * size + 2 * rows * 16 * LENGTH, fn = function()
            ops.matmul(scores, queries, keys)
        end },
    }
end

local function optimizer_work()
    local segments, decay, total = {}, {}, 0
    for i, n in ipairs(parameter_lengths()) do
        segments[i], decay[i] = { total, n }, n > 4 * H and 0.01 or 0
        total = total + math.ceil(n / 16) * 16
    end
    local f = { beta1 = 0.9, beta2 = 0.999, eps = 1e-6 }
    f.param, f.grad = random("f32", { total }, 1, 0.02), random("f32", { total }, 2, 1e-3)
    f.m, f.v, f.param_low = tensor.new("f32", { total }), tensor.new("f32", { total }), tensor.new("bf16", { total })
    f.segments, f.decay = tensor.from(segments, "i64"), tensor.from(decay)
    local values = {}
    for i = 1, optim.SCALAR_COUNT do values[i] = 0 end
    values[optim.SCALARS.learning_rate], values[optim.SCALARS.loss_scale] = 1e-6, 1
    f.scalars = tensor.from(values)
    local prepared = optim.prepare(f)
    return {
        { name = "gradient norm", bytes = 4 * total, fn = function() optim.grad_norm(f.scalars, f.grad, 1, 1) end },
        { name = "LAMB", bytes = 42 * total, fn = function() optim.lamb_update(prepared) end },
        { name = "AdamW", bytes = 30 * total, fn = function() optim.adamw_update(prepared) end },
    }, total
end

local function copy_work()
    local n = 2 ^ 28
    local from, to = random("f32", { n }, 1), tensor.new("f32", { n })
    return { name = "copy of 1 GiB", bytes = 8 * n, fn = function() to:copy_from(from) end }
end

--- Add its best seconds to each row of work, and print it.
local function measure(work, values, copy)
    for _, row in ipairs(work) do row.fn() end -- scratch grows here
    for _ = 1, values.rounds do
        for _, row in ipairs(work) do
            row.seconds = math.min(row.seconds or math.huge, seconds_of(row.fn, values.milliseconds / 1e3))
        end
    end
    for _, row in ipairs(work) do
        local rate = row.bytes / row.seconds
        print(("%-34s %9.1f %10.1f %8.0f %7.1f %%"):format(row.name, row.bytes / 1e6, row.seconds * 1e6, rate / 1e9,
            100 * rate / (copy or rate)))
    end
end

--- PyTorch's rows {name, bytes, seconds}, or nil if it is not available.
local function peer(values, rows, parameters)
    return (command.peer(values.python, "gpu_kernels.py", ("%d %d %d %d %g 2>/dev/null"):format(rows,
        rows * MASKED / LENGTH, parameters, values.rounds, values.milliseconds / 1e3)))
end

local function main()
    local values = spec:parse(arg, {}, { program = "bench/gpu_kernels.lua",
        description = "Measure the memory-bound kernels on a GPU, compared with PyTorch." })
    if not values then return end
    clock.open_gpu()
    local rows = values.sequences * LENGTH
    print(context.describe())
    print(("%-34s %9s %10s %8s %9s"):format(("%d sequences of %d"):format(values.sequences, LENGTH), "MB", "us", "GB/s",
        "of copy"))
    local copy, parameters
    tensor.scope(function()
        local work = copy_work()
        measure({ work }, values)
        copy = work.bytes / work.seconds
    end)
    for _, make in ipairs { layer_work, head_work, elementwise_work, product_work, optimizer_work } do
        tensor.scope(function()
            local work, count = make(rows)
            measure(work, values, copy)
            parameters = count or parameters
        end)
    end
    local other = peer(values, rows, parameters)
    if other then
        print()
        for _, row in ipairs(other.rows) do
            print(("%-34s %9.1f %10.1f %8.0f %7.1f %%"):format(row.name .. ", PyTorch", row.bytes / 1e6,
                row.seconds * 1e6, row.bytes / row.seconds / 1e9, 100 * row.bytes / row.seconds / copy))
        end
    end
    clock.name_peer(other)
    print("\n" .. DEFINITIONS)
end

main()
