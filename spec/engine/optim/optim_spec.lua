local tensor = require "bertlua.tensor"
local optim = require "bertlua.optim"
local support = require "spec.support.ops"
local reference = require "spec.support.reference"

local scoped = support.scoped
local S = optim.SCALARS

-- Segments with gaps between them, one longer than a chunk of work, one of a single element, one all zeros.
local SEGMENTS = { { 0, 33 }, { 48, 1 }, { 64, 20000 }, { 20080, 771 }, { 20864, 16 } }
local SIZE = 20880
local DECAY = { 0.01, 0, 0.01, 0, 0.01 }
local ZERO_SEGMENT = 5

local function in_segment()
    local inside = {}
    for _, segment in ipairs(SEGMENTS) do
        for i = segment[1] + 1, segment[1] + segment[2] do inside[i] = true end
    end
    return inside
end

local function scalars(values)
    local list = reference.zeros(optim.SCALAR_COUNT)
    list[S.loss_scale], list[S.grad_factor] = 1, 1
    for name, value in pairs(values or {}) do list[S[name]] = value end
    return tensor.from(list)
end

local function scalar(t, name)
    return t:tolist()[S[name]]
end

local function model(low)
    local f = { beta1 = 0.9, beta2 = 0.999, eps = 1e-6 }
    f.param = support.random("f32", { SIZE }, 1, 0.05)
    f.param:slice(1, 20865, 20880):fill(0)
    f.param_values = support.flat(f.param)
    f.grad = tensor.new("f32", { SIZE })
    f.m, f.v = tensor.new("f32", { SIZE }), tensor.new("f32", { SIZE })
    f.segments = tensor.from(SEGMENTS, "i64")
    f.decay = tensor.from(DECAY)
    f.scalars = scalars()
    f.trust = support.poisoned("f32", { #SEGMENTS })
    f.param_low = low and support.poisoned(low, { SIZE })
    return f
end

-- What f32 holds of a number.
local function held(x)
    return tensor.from({ x }):item()
end

local function check_updates(kind, low)
    local f = model(low)
    local prepared = optim.prepare(f)
    local state = { m = reference.zeros(SIZE), v = reference.zeros(SIZE), step = 0 }
    local decay = support.flat(f.decay)
    local inside = in_segment()
    local outside = {}
    for i, value in ipairs(f.param_values) do if not inside[i] then outside[i] = value end end
    for step = 1, 5 do
        local grad, grad_values = support.random("f32", { SIZE }, 100 + step, 0.3)
        f.grad:copy_from(grad)
        local lr, factor = held(0.004 * step), held(0.37)
        local values = f.scalars:tolist()
        values[S.learning_rate], values[S.grad_factor] = lr, factor
        f.scalars:set(values)
        optim[kind .. "_update"](prepared)
        local trust = reference.optimize(f.param_values, grad_values, state, {
            kind = kind, segments = SEGMENTS, decay = decay, lr = lr, factor = factor, beta1 = held(f.beta1),
            beta2 = held(f.beta2), eps = held(f.eps),
        })
        if kind == "lamb" then support.assert_close(f.trust, trust, 2e-6, "trust") end
        assert.are.equal(step, scalar(f.scalars, "step"))
    end
    support.assert_close(f.param, f.param_values, 2e-6, "param")
    support.assert_close(f.m, state.m, 2e-6, "m")
    support.assert_close(f.v, state.v, 2e-6, "v")
    local got = support.flat(f.param)
    for i, value in pairs(outside) do assert.are.equal(value, got[i]) end
    if low then
        local rounded = tensor.new(low, { SIZE }):copy_from(f.param)
        local expected, lower = support.flat(rounded), support.flat(f.param_low)
        for i = 1, SIZE do
            if inside[i] then assert.are.equal(expected[i], lower[i]) else assert.is_true(lower[i] ~= lower[i]) end
        end
    end
end

describe("lamb_update", function()
    it("follows the formula over several steps", scoped(function() check_updates "lamb" end))

    it("rewrites the low-precision copy", scoped(function()
        check_updates("lamb", "bf16")
        check_updates("lamb", "f16")
    end))

    it("trusts 1 where a norm is 0", scoped(function()
        local f = model()
        f.grad:fill(0)
        optim.lamb_update(optim.prepare(f))
        local trust = f.trust:tolist()
        assert.are.equal(1, trust[2]) -- no gradient and no decay: |u| = 0
        assert.are.equal(1, trust[ZERO_SEGMENT]) -- |p| = 0
        assert.are_not.equal(1, trust[1])
    end))

    it("does not depend on the thread count", scoped(function()
        support.assert_threads_agree(function()
            local f = model "bf16"
            f.grad:copy_from((support.random("f32", { SIZE }, 3)))
            f.scalars = scalars { learning_rate = 0.01 }
            optim.lamb_update(optim.prepare(f))
            return { f.param, f.m, f.v, f.trust, f.param_low:slice(1, 65, 20064) } -- no gap: there it is NaN
        end)
    end))
end)

describe("adamw_update", function()
    it("follows the formula over several steps", scoped(function() check_updates "adamw" end))

    it("rewrites the low-precision copy", scoped(function()
        check_updates("adamw", "bf16")
    end))
end)

describe("an update after an overflow", function()
    it("is skipped and counted", scoped(function()
        for _, kind in ipairs { "lamb", "adamw" } do
            local f = model "bf16"
            f.grad:fill(1)
            f.scalars = scalars { learning_rate = 1, overflow = 1, step = 7, skipped = 2 }
            optim[kind .. "_update"](optim.prepare(f))
            support.assert_close(f.param, f.param_values, 0)
            support.assert_close(f.m, reference.zeros(SIZE), 0)
            support.assert_close(f.v, reference.zeros(SIZE), 0)
            assert.is_true(support.is_poisoned(f.param_low))
            assert.are.equal(7, scalar(f.scalars, "step"))
            assert.are.equal(3, scalar(f.scalars, "skipped"))
        end
    end))
end)

describe("grad_norm", function()
    it("unscales, averages and clips", scoped(function()
        for _, n in ipairs { 1, 7, 20000, 40003 } do
            local grad, values = support.random("f32", { n }, 4, 3)
            local norm = math.sqrt(reference.dot(values, values)) / (64 * 3)
            for _, limit in ipairs { 0, norm / 4, norm * 4 } do
                local s = scalars { loss_scale = 64, overflow = 1, grad_norm = -1 }
                optim.grad_norm(s, grad, 3, limit)
                local clip = limit > 0 and norm > limit and held(limit) / norm or 1
                assert.is_near(norm, scalar(s, "grad_norm"), 1e-6 * norm)
                assert.is_near(clip / (64 * 3), scalar(s, "grad_factor"), 1e-6 * clip / (64 * 3))
                assert.are.equal(0, scalar(s, "overflow"))
            end
        end
    end))

    it("flags inf and NaN anywhere, and not merely large values", scoped(function()
        local n = 40003
        for _, bad in ipairs { math.huge, -math.huge, 0 / 0 } do
            for _, at in ipairs { 1, 17000, n } do
                local grad = support.random("f32", { n }, 5)
                grad:slice(1, at, at):fill(bad)
                local s = scalars()
                optim.grad_norm(s, grad, 1, 1)
                assert.are.equal(1, scalar(s, "overflow"))
            end
        end
        local s = scalars()
        optim.grad_norm(s, tensor.new("f32", { n }):fill(1e30), 1, 1)
        assert.are.equal(0, scalar(s, "overflow"))
        assert.is_near(1e30 * math.sqrt(n), scalar(s, "grad_norm"), 1e27)
    end))

    it("does not depend on the thread count", scoped(function()
        local grad = support.random("f32", { 200003 }, 6)
        support.assert_threads_agree(function()
            local s = scalars()
            optim.grad_norm(s, grad, 1, 1)
            return { s }
        end)
    end))
end)

describe("loss_scale_update", function()
    it("grows after enough good steps and starts to count again", scoped(function()
        local s = scalars { loss_scale = 1024 }
        local seen = {}
        for i = 1, 7 do
            optim.loss_scale_update(s, 2, 0.5, 3, 1)
            seen[i] = scalar(s, "loss_scale")
        end
        assert.are.same({ 1024, 1024, 2048, 2048, 2048, 4096, 4096 }, seen)
        assert.are.equal(1, scalar(s, "good_steps"))
    end))

    it("backs off on overflow, down to the floor", scoped(function()
        local s = scalars { loss_scale = 8, good_steps = 2, overflow = 1 }
        local seen = {}
        for i = 1, 4 do
            optim.loss_scale_update(s, 2, 0.5, 3, 2)
            seen[i] = scalar(s, "loss_scale")
        end
        assert.are.same({ 4, 2, 2, 2 }, seen)
        assert.are.equal(0, scalar(s, "good_steps"))
    end))

    it("stops growing at 2^24 and leaves a larger one alone", scoped(function()
        local s = scalars { loss_scale = 2 ^ 23 }
        for _ = 1, 3 do optim.loss_scale_update(s, 2, 0.5, 1, 1) end
        assert.are.equal(2 ^ 24, scalar(s, "loss_scale"))
        s = scalars { loss_scale = 2 ^ 26 }
        optim.loss_scale_update(s, 2, 0.5, 1, 1)
        assert.are.equal(2 ^ 26, scalar(s, "loss_scale"))
    end))
end)

describe("validation of the optimizers", function()
    it("names op, argument, got and expected, and changes nothing", scoped(function()
        local function rejects(message, change)
            local f = model()
            f.scalars = scalars { learning_rate = 1 }
            for name, value in pairs(change) do f[name] = value end
            support.assert_rejects(message, {}, function() optim.lamb_update(optim.prepare(f)) end)
            support.assert_close(f.param, f.param_values, 0)
            assert.are.equal(0, f.scalars:tolist()[S.step])
        end
        rejects("lamb_update: m is f32 [3], expected f32 [20880]", { m = tensor.new("f32", { 3 }) })
        rejects("lamb_update: param_low is f32 [20880], expected bf16 or f16 [20880]",
            { param_low = tensor.new("f32", { SIZE }) })
        rejects("lamb_update: decay is f32 [2], expected f32 [5]", { decay = tensor.new("f32", { 2 }) })
        rejects("lamb_update: beta1 is 1 and beta2 is 0.999, expected 0 <= beta < 1", { beta1 = 1 })
        local bad = tensor.from({ { 0, 33 }, { 32, 1 }, { 64, 1 }, { 65, 1 }, { 66, 1 } }, "i64")
        rejects("lamb_update: segments[1] (from 0) is {offset 32, length 1}, expected within [33,20880)",
            { segments = bad })
        bad = tensor.from({ { 0, 33 }, { 48, 1 }, { 64, 1 }, { 65, 1 }, { 66, 20815 } }, "i64")
        rejects("lamb_update: segments[4] (from 0) is {offset 66, length 20815}, expected within [66,20880)",
            { segments = bad })
        local s = scalars()
        support.assert_rejects("grad_norm: accumulation is 0, expected 1 or more", {}, function()
            optim.grad_norm(s, tensor.new("f32", { 4 }), 0, 1)
        end)
        support.assert_rejects("grad_norm: scalars is f32 [4], expected f32 [8]", {}, function()
            optim.grad_norm(tensor.new("f32", { 4 }), tensor.new("f32", { 4 }), 1, 1)
        end)
        support.assert_rejects("loss_scale_update: backoff is 2, expected 0 < backoff <= 1", {}, function()
            optim.loss_scale_update(s, 2, 2, 1, 1)
        end)
    end))
end)
