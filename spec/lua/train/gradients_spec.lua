--- Which buckets of gradients are reduced when, with a communicator that doubles. Real sums over ranks:
-- spec/support/ranks_program.lua.

local F = require "bertlua.autograd.functional"
local Gradients = require "bertlua.train.gradients"
local ParameterStore = require "bertlua.nn.parameters"
local Partition = require "bertlua.nn.partition"
local Tape = require "bertlua.autograd.tape"
local ops = require "bertlua.ops"
local support = require "spec.support.ops"
local tensor = require "bertlua.tensor"

-- Three layers of a bucket each, 64 x 64.
local WIDTH, BUCKET = 64, 64 * 64 / 2 ^ 18

local function store_of(divide)
    local store = ParameterStore.new()
    for _, name in ipairs { "one", "two", "three" } do
        store:register(name, { WIDTH, WIDTH }, { init = "normal", std = 0.1 })
    end
    return store:allocate { seed = 1,
        partition = Partition.new { rank = 0, size = 2, divide = divide, bucket_mib = BUCKET } }
end

--- @return communicator that records in `calls` which part of `grad` it was given
local function comm_of(grad, calls)
    local function at(t) return support.offset_in(t, grad) end
    return {
        rank = 0, size = 2, wait = function() calls[#calls + 1] = "wait" end,
        all_reduce = function(_, t, op)
            calls[#calls + 1] = ("%s %d+%d"):format(op, at(t), t:numel())
            ops.axpby(t, t, 1, 1)
        end,
        reduce_scatter = function(_, out, x, op)
            calls[#calls + 1] = ("%s %d+%d of %d"):format(op, at(out), out:numel(), x:numel())
        end,
    }
end

--- One forward and backward pass.
local function pass(store, watcher, names)
    local tape = Tape.new {}
    tape:start(1, 0, true)
    tensor.scope(function()
        local x = tensor.new("f32", { 2, WIDTH })
        ops.fill_normal(x, 0, 1, 3, 1)
        local y = tape:input(x, true)
        for _, name in ipairs(names) do y = F.linear(tape, y, store:get(name)) end
        store:zero_grad()
        local dy = tensor.new("f32", { 2, WIDTH })
        ops.fill_normal(dy, 0, 1, 3, 2)
        tape:backward(y, dy, watcher)
    end)
    tape:close()
end

local LAYERS = { "one", "two", "three" }

describe("gradients", function()
    it("are reduced bucket by bucket, the last layer's first, while the pass continues", function()
        local store = store_of()
        assert.are.equal(3, #store.partition.buckets)
        local calls, queued = {}, {}
        local gradients = Gradients.new { store = store, comm = comm_of(store.grad, calls) }
        pass(store, nil, LAYERS)
        local expected = store.grad:tolist()
        pass(store, {
            begin = function(_, nodes, count) gradients:begin(nodes, count) end,
            passed = function(_, i)
                gradients:passed(i)
                queued[#queued + 1] = #calls
            end,
        }, LAYERS)
        -- One per node of the tape.
        assert.are.same({ 1, 2, 3 }, queued)
        gradients:finish()
        assert.are.same({ "sum 8192+4096", "sum 4096+4096", "sum 0+4096", "wait" }, calls)
        for i, value in ipairs(store.grad:tolist()) do assert.are.equal(2 * expected[i], value) end
        gradients:free()
        store:free()
    end)

    it("of a layer used twice wait for its first use", function()
        local store, calls, queued = store_of(), {}, {}
        local gradients = Gradients.new { store = store, comm = comm_of(store.grad, calls) }
        pass(store, {
            begin = function(_, nodes, count) gradients:begin(nodes, count) end,
            passed = function(_, i)
                gradients:passed(i)
                queued[#queued + 1] = #calls
            end,
        }, { "three", "one", "three" })
        assert.are.same({ 0, 0, 1 }, queued)
        -- What no node used is sent at the end, since the other ranks send theirs.
        gradients:finish()
        assert.are.same({ "sum 8192+4096", "sum 4096+4096", "sum 0+4096", "wait" }, calls)
        gradients:free()
        store:free()
    end)

    it("are reduced in one order, whatever a rank's batch makes the loss do", function()
        local store = store_of()
        for _, names in ipairs { LAYERS, { "three", "two", "one" }, { "two" }, { "one", "three" }, { "two", "two" } } do
            local calls = {}
            local gradients = Gradients.new { store = store, comm = comm_of(store.grad, calls) }
            pass(store, gradients, names)
            gradients:finish()
            assert.are.same({ "sum 8192+4096", "sum 4096+4096", "sum 0+4096", "wait" }, calls)
            gradients:free()
        end
        store:free()
    end)

    it("of a part that is recomputed wait for it, wherever it has its parameters from", function()
        local store, calls = store_of(), {}
        local gradients = Gradients.new { store = store, comm = comm_of(store.grad, calls) }
        -- Not a module, so it has no list of parameters.
        local part = { forward = function(_, tape, x)
            local y = F.matmul(tape, x, F.parameter(tape, store:get "two"))
            local last = { forward = function(_, inner, z) return F.linear(inner, z, store:get "three") end }
            return tape:checkpoint(last, y)
        end }
        local function run(watcher)
            local tape = Tape.new {}
            tape:start(1, 0, true)
            store:zero_grad()
            tensor.scope(function()
                local x = tensor.new("f32", { 2, WIDTH })
                ops.fill_normal(x, 0, 1, 3, 1)
                local y = tape:checkpoint(part, F.linear(tape, tape:input(x), store:get "one"))
                tape:backward(F.sum(tape, F.linear(tape, y, store:get "three")), nil, watcher)
            end)
            tape:close()
        end
        run()
        local expected = store.grad:tolist()
        run(gradients)
        gradients:finish()
        for i, value in ipairs(store.grad:tolist()) do assert.are.equal(2 * expected[i], value) end
        gradients:free()
        store:free()
    end)

    it("are scattered where the state is divided", function()
        local store, calls = store_of(true), {}
        local gradients = Gradients.new { store = store, comm = comm_of(store.grad, calls) }
        pass(store, gradients, LAYERS)
        gradients:finish()
        assert.are.same({ "sum 8192+2048 of 4096", "sum 4096+2048 of 4096", "sum 0+2048 of 4096", "wait" }, calls)
        gradients:free()
        store:free()
    end)

    it("of frozen layers are neither there nor sent", function()
        local store = ParameterStore.new()
        for _, name in ipairs(LAYERS) do
            store:register(name, { WIDTH, WIDTH }, { init = "normal", std = 0.1 })
        end
        store:freeze(function(name) return name == "two" end)
        store:allocate { seed = 1, partition = Partition.new { rank = 0, size = 2, bucket_mib = BUCKET } }
        for _, dtype in ipairs { "fp32", "bf16" } do
            local calls = {}
            local gradients = Gradients.new { store = store, dtype = dtype, comm = { wait = function() end,
                all_reduce = function(_, t) calls[#calls + 1] = t:numel() end } }
            pass(store, gradients, LAYERS)
            gradients:finish()
            assert.are.same({ WIDTH * WIDTH, WIDTH * WIDTH }, calls)
            gradients:free()
        end
        store:free()
    end)

    it("are sent in bf16 on request, and come back in f32", function()
        local store = store_of()
        pass(store, nil, LAYERS)
        local exact, dtypes = store.grad:tolist(), {}
        local gradients = Gradients.new { store = store, dtype = "bf16", comm = { wait = function() end,
            all_reduce = function(_, t) dtypes[t:dtype_name()] = true end } }
        pass(store, gradients, LAYERS)
        gradients:finish()
        assert.are.same({ bf16 = true }, dtypes)
        local worst, changed = 0, false
        for i, value in ipairs(store.grad:tolist()) do
            worst = math.max(worst, math.abs(value - exact[i]) / math.max(math.abs(exact[i]), 1e-20))
            changed = changed or value ~= exact[i]
        end
        assert.is_true(changed and worst <= 2 ^ -8, worst)
        gradients:free()
        store:free()
    end)

    it("of a rank that computed nothing are not finite, and reduced in the same order", function()
        local store, calls = store_of(false), {}
        local gradients = Gradients.new { store = store, comm = comm_of(store.grad, calls) }
        -- A layer that is used first, but lies last.
        pass(store, gradients, { "three", "one", "two" })
        gradients:finish()
        local before = {}
        for i, call in ipairs(calls) do before[i], calls[i] = call, nil end
        gradients:spoil()
        assert.are.same(before, calls)
        for _, x in ipairs(store.grad:tolist()) do assert.is_true(x ~= x) end
        store:free()
    end)

    it("need a store with a partition", function()
        assert.error_matches(function() Gradients.new { store = ParameterStore.new() } end,
            "gradients: store must be an allocated")
        local store = store_of()
        assert.error_matches(function() Gradients.new { store = store, dtype = "f16" } end,
            "gradients: dtype is f16, expected fp32 or bf16")
        store:free()
    end)
end)
