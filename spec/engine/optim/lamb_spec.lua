local tensor = require "bertlua.tensor"
local optim = require "bertlua.optim"
local support = require "spec.support.ops"
local reference = require "spec.support.reference"
local shared = require "spec.support.optim"

local scoped = support.scoped
local S = optim.SCALARS

describe("lamb_update", function()
    it("follows the formula over several steps", scoped(function() shared.check_updates "lamb" end))

    it("rewrites the low-precision copy", scoped(function()
        shared.check_updates("lamb", "bf16")
        shared.check_updates("lamb", "f16")
    end))

    it("scales the learning rate of each tensor", scoped(function()
        shared.check_updates("lamb", nil, shared.LR_SCALE)
        shared.check_updates("lamb", "bf16", shared.LR_SCALE)
        shared.check_scale_of_one "lamb"
    end))

    it("trusts 1 without weight decay, where asked to, and as ever otherwise", scoped(function()
        shared.check_updates("lamb", "bf16", shared.LR_SCALE, true)
        local f = shared.model()
        f.grad:fill(0.5)
        f.decayed_only = true
        optim.lamb_update(optim.prepare(f))
        local trust = f.trust:tolist()
        for i, decay in ipairs(shared.DECAY) do
            assert.are.equal(decay == 0 or i == shared.ZERO_SEGMENT, trust[i] == 1, i)
        end
    end))

    it("trusts 1 where a norm is 0", scoped(function()
        local f = shared.model()
        f.grad:fill(0)
        optim.lamb_update(optim.prepare(f))
        local trust = f.trust:tolist()
        assert.are.equal(1, trust[2]) -- no gradient and no decay: |u| = 0
        assert.are.equal(1, trust[shared.ZERO_SEGMENT]) -- |p| = 0
        assert.are_not.equal(1, trust[1])
    end))

    it("does not depend on the thread count", scoped(function()
        support.assert_threads_agree(function()
            local f = shared.model "bf16"
            f.grad:copy_from((support.random("f32", { shared.SIZE }, 3)))
            f.scalars = shared.scalars { learning_rate = 0.01 }
            optim.lamb_update(optim.prepare(f))
            return { f.param, f.m, f.v, f.trust, f.param_low:slice(1, 65, 20064) } -- no gap: there it is NaN
        end)
    end))

    it("is skipped and counted after an overflow", scoped(function()
        local f = shared.model "bf16"
        f.grad:fill(1)
        f.scalars = shared.scalars { learning_rate = 1, overflow = 1, step = 7, skipped = 2 }
        optim.lamb_update(optim.prepare(f))
        support.assert_close(f.param, f.param_values, 0)
        support.assert_close(f.m, reference.zeros(shared.SIZE), 0)
        support.assert_close(f.v, reference.zeros(shared.SIZE), 0)
        assert.is_true(support.is_poisoned(f.param_low))
        assert.are.equal(7, shared.scalar(f.scalars, "step"))
        assert.are.equal(3, shared.scalar(f.scalars, "skipped"))
    end))

    it("names op, argument, got and expected, and changes nothing", scoped(function()
        local function rejects(message, change)
            local f = shared.model()
            f.scalars = shared.scalars { learning_rate = 1 }
            for name, value in pairs(change) do f[name] = value end
            support.assert_rejects(message, {}, function() optim.lamb_update(optim.prepare(f)) end)
            support.assert_close(f.param, f.param_values, 0)
            assert.are.equal(0, f.scalars:tolist()[S.step])
        end
        rejects("lamb_update: m is f32 [3], expected f32 [20880]", { m = tensor.new("f32", { 3 }) })
        rejects("lamb_update: param_low is f32 [20880], expected bf16 or f16 [20880]",
            { param_low = tensor.new("f32", { shared.SIZE }) })
        rejects("lamb_update: decay is f32 [2], expected f32 [5]", { decay = tensor.new("f32", { 2 }) })
        rejects("lamb_update: lr_scale is f32 [2], expected f32 [5]", { lr_scale = tensor.new("f32", { 2 }) })
        rejects("lamb_update: beta1 is 1 and beta2 is 0.999, expected 0 <= beta < 1", { beta1 = 1 })
        local bad = tensor.from({ { 0, 33 }, { 32, 1 }, { 64, 1 }, { 65, 1 }, { 66, 1 } }, "i64")
        rejects("lamb_update: segments[1] (from 0) is {offset 32, length 1}, expected within [33,20880)",
            { segments = bad })
        bad = tensor.from({ { 0, 33 }, { 48, 1 }, { 64, 1 }, { 65, 1 }, { 66, 20815 } }, "i64")
        rejects("lamb_update: segments[4] (from 0) is {offset 66, length 20815}, expected within [66,20880)",
            { segments = bad })
    end))
end)
