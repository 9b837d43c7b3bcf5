--- Ten steps of LAMB and AdamW against an independent implementation; loss scaling; what happens on overflow.

local Optimizer = require "bertlua.train.optimizer"
local ParameterStore = require "bertlua.nn.parameters"
local Tape = require "bertlua.autograd.tape"
local errors = require "spec.support.errors"
local fault = require "bertlua.fault"
local ops = require "bertlua.ops"
local schedule = require "bertlua.train.schedule"
local tiny = require "spec.support.tiny_bert"

local function small_store(precision)
    local store = ParameterStore.new()
    store:register("first.weight", { 3, 5 }, { init = "normal", low = true })
    store:register("second.bias", { 7 }, { init = "ones", decay = false })
    return store:allocate { seed = 4, precision = precision }
end

local function set_gradient(store, value)
    for _, entry in ipairs(store.list) do ops.fill(entry.grad, value) end
end

describe("Optimizer", function()
    for kind, peak in pairs { Lamb = 0.006, AdamW = 0.001 } do
        it("takes the same ten steps as an independent " .. kind, function()
            local prefix = kind:lower() .. "."
            local fixture = tiny.open "bert_tiny_steps"
            local losses = tiny.read(fixture, prefix .. "losses"):tolist()
            local norms = tiny.read(fixture, prefix .. "norms"):tolist()
            local model = tiny.model "fp32"
            local tape = Tape.new {}
            local optimizer = Optimizer.new { kind = kind, store = model.store }
            local rate = schedule.make("linear", {
                learning_rate = peak, warmup_start_lr = 1e-5, warmup_proportion = 0.22, max_steps = 14,
            })
            for step = 1, 10 do
                local batch = tiny.batch(tiny.samples(fixture, step), { max_length = 32, packed = true })
                model.store:zero_grad()
                tape:start(step, 0, true)
                local result = model:forward(tape, batch)
                assert.is_true(math.abs(result.loss:item() - losses[step]) < 1e-5 * losses[step], "loss of " .. step)
                tape:backward(result.loss, optimizer.loss_scale_tensor)
                optimizer:step(rate(step))
                local stats = optimizer:stats()
                assert.are.equal(step, stats.step)
                assert.is_true(math.abs(stats.grad_norm - norms[step]) < 2e-5 * norms[step], "norm of " .. step)
            end
            tape:close()
            for _, entry in ipairs(model.store.list) do
                -- The key bias has no effect and its gradient is 0: an update only normalises rounding noise.
                if not entry.name:match "%.key%.bias$" then
                    local relative = tiny.distance(entry.stored, tiny.read(fixture, prefix .. "weight." .. entry.name))
                    assert.is_true(relative < 1e-5, entry.name .. ": " .. relative)
                end
            end
        end)
    end

    it("takes the same ten steps as PyTorch's AdamW with groups of parameters, some of them frozen", function()
        local fixture, batches = tiny.open "bert_tiny_groups", tiny.open "bert_tiny_steps"
        local losses, norms = tiny.read(fixture, "losses"):tolist(), tiny.read(fixture, "norms"):tolist()
        local model = tiny.unallocated()
        model.store:freeze(function(name) return name:find "%.embeddings%." or name:find "%.layer%.0%." end)
        model.store:allocate { seed = 1 }
        tiny.load_weights(model.store, tiny.open "bert_tiny", "weight.")
        local start = tiny.checksums(model.store)
        local tape = Tape.new {}
        local optimizer = Optimizer.new {
            kind = "AdamW", store = model.store,
            lr_scale = function(name) return name:find "%.layer%.1%." and 0.5 or nil end,
            weight_decay_of = function(name)
                if name:find "%.layer%.1%." then return 0 end
                if name:find "^cls%..*weight$" then return 0.1 end
            end,
        }
        local rate = schedule.make("linear", {
            learning_rate = 0.001, warmup_start_lr = 1e-5, warmup_proportion = 0.22, max_steps = 14,
        })
        for step = 1, 10 do
            local batch = tiny.batch(tiny.samples(batches, step), { max_length = 32, packed = true })
            model.store:zero_grad()
            tape:start(step, 0, true)
            local result = model:forward(tape, batch)
            assert.is_true(math.abs(result.loss:item() - losses[step]) < 1e-5 * losses[step], "loss of " .. step)
            tape:backward(result.loss, optimizer.loss_scale_tensor)
            optimizer:step(rate(step))
            local norm = optimizer:stats().grad_norm
            assert.is_true(math.abs(norm - norms[step]) < 2e-5 * norms[step], "norm of " .. step)
        end
        tape:close()
        assert.is_nil(optimizer:find_non_finite())
        local finish, trained = tiny.checksums(model.store), 0
        for _, entry in ipairs(model.store.list) do
            assert.are.equal(entry.frozen == true, not fixture:has("weight." .. entry.name), entry.name)
            assert.are.equal(entry.frozen == true, start[entry.name] == finish[entry.name], entry.name)
            if not entry.frozen then
                trained = trained + 1
                -- The key bias has no effect: see above.
                local relative = entry.name:match "%.key%.bias$" and 0
                    or tiny.distance(entry.stored, tiny.read(fixture, "weight." .. entry.name))
                assert.is_true(relative < 1e-5, entry.name .. ": " .. relative)
            end
        end
        assert.are.equal(#model.store.order, trained)
        optimizer:free()
        model.store:free()
    end)

    it("trusts every tensor, or with always_adapt = false those with weight decay alone", function()
        local function trusts(always_adapt)
            local store = small_store()
            store.value:fill(0.5)
            store.grad:fill(0.25)
            local first = store.order[1].name
            local optimizer = Optimizer.new { store = store, always_adapt = always_adapt,
                weight_decay_of = function(name) return name == first and 0 or 0.01 end }
            optimizer:step(0.1)
            local list = optimizer.trust:tolist()
            optimizer:free()
            store:free()
            return list
        end
        local all, some = trusts(nil), trusts(false)
        assert.are.same(all, trusts(true))
        assert.are_not.equal(1, all[1])
        all[1] = 1
        assert.are.same(all, some)
    end)

    it("removes loss scale and accumulation from the gradient", function()
        local plain, scaled = small_store(), small_store()
        local a = Optimizer.new { store = plain, max_grad_norm = 0 }
        local b = Optimizer.new { store = scaled, max_grad_norm = 0, loss_scale = 512, accumulation = 4 }
        set_gradient(plain, 0.25)
        set_gradient(scaled, 0.25 * 512 * 4)
        a:step(0.1)
        b:step(0.1)
        assert.are.equal(a:stats().grad_norm, b:stats().grad_norm)
        assert.are.equal(plain:checksum(), scaled:checksum())
    end)

    it("exempts biases from weight decay", function()
        local store = small_store()
        Optimizer.new { store = store, weight_decay = 0.25 }
        assert.are.same({ 0.25, 0 }, store.decay:tolist())
    end)

    it("rewrites the low-precision copy", function()
        local store = small_store "bf16"
        local optimizer = Optimizer.new { store = store }
        set_gradient(store, 1)
        optimizer:step(0.5)
        local entry = store:get "first.weight"
        for i, row in ipairs(entry.compute:tolist()) do
            for j, value in ipairs(row) do
                local master = entry.value:tolist()[i][j]
                assert.is_true(math.abs(value - master) <= math.abs(master) / 256)
            end
        end
    end)

    it("skips an overflowed update and halves a dynamic scale, doubles it after 2000 good ones", function()
        local store = small_store()
        local optimizer = Optimizer.new { store = store, loss_scale = 1024, dynamic = true }
        local before = store:checksum()
        set_gradient(store, 1 / 0)
        optimizer:step(0.1)
        local stats = optimizer:stats()
        assert.are.same({ true, 512, 0, 1 }, { stats.overflow, stats.loss_scale, stats.step, stats.skipped })
        assert.are.equal(before, store:checksum())
        set_gradient(store, 512)
        for _ = 1, 1999 do optimizer:step(0) end
        assert.are.equal(512, optimizer:stats().loss_scale)
        optimizer:step(0.1)
        stats = optimizer:stats()
        assert.are.same({ false, 1024, 2000, 1 }, { stats.overflow, stats.loss_scale, stats.step, stats.skipped })
        assert.are_not.equal(before, store:checksum())
    end)

    it("keeps a static scale", function()
        local store = small_store()
        local optimizer = Optimizer.new { store = store, loss_scale = 128 }
        set_gradient(store, 0 / 0)
        optimizer:step(0.1)
        local stats = optimizer:check(1)
        assert.are.same({ true, 128, 1 }, { stats.overflow, stats.loss_scale, stats.skipped })
    end)

    it("stops when the scale would fall below 1, naming step and tensor", function()
        local store = small_store()
        local optimizer = Optimizer.new { store = store, loss_scale = 4, dynamic = true }
        store:get("second.bias").grad:slice(1, 3, 3):fill(0 / 0)
        local scales = {}
        local ok, err
        for step = 11, 20 do
            optimizer:step(0.1)
            ok, err = pcall(optimizer.check, optimizer, step)
            if not ok then break end
            scales[#scales + 1] = err.loss_scale
        end
        assert.are.same({ 2, 1 }, scales)
        assert.is_true(fault.is(err), tostring(err))
        assert.is_truthy(tostring(err):find("step 13: the gradient of second.bias holds an inf or NaN", 1, true))
    end)

    it("stops after ten overflows in a row at a static scale", function()
        local store = small_store()
        local optimizer = Optimizer.new { store = store }
        local function overflow(step)
            set_gradient(store, 1 / 0)
            optimizer:step(0.1)
            return pcall(optimizer.check, optimizer, step)
        end
        for step = 1, 9 do assert.is_true(overflow(step)) end
        set_gradient(store, 1)
        optimizer:step(0.1)
        optimizer:check(10)
        for step = 11, 19 do assert.is_true(overflow(step)) end
        local ok, err = overflow(20)
        assert.is_false(ok)
        assert.is_truthy(tostring(err):find("step 20: the gradient of first.weight", 1, true))
        assert.is_truthy(tostring(err):find("10 updates in a row were skipped", 1, true))
    end)

    it("refuses what it cannot use", function()
        local ok, err = pcall(Optimizer.new, { kind = "SGD", store = small_store() })
        assert.is_false(ok)
        assert.are.equal("optimizer: kind is SGD, expected Lamb, AdamW or DistributedFusedLamb", tostring(err))
        ok, err = pcall(Optimizer.new, { store = small_store(), loss_scale = 0 })
        assert.is_false(ok)
        assert.are.equal("optimizer: loss_scale is 0, expected a positive number", tostring(err))
        local optimizer = Optimizer.new { store = small_store() }
        errors.all_fail_here {
            { "optimizer: the learning rate is no option, optimizer:step(learning_rate) takes it",
                function() Optimizer.new { store = small_store(), lr = 1 } end },
            { "optimizer: unknown option weight_decy; did you mean weight_decay?",
                function() Optimizer.new { store = small_store(), weight_decy = 1 } end },
            { "optimizer: step got nil, expected the learning rate", function() optimizer:step() end },
        }
        assert.has_error(function() Optimizer.new { store = ParameterStore.new() } end,
            "optimizer: store must be an allocated ParameterStore with gradients, got table")
    end)
end)
