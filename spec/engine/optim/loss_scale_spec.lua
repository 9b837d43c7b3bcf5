local optim = require "bertlua.optim"
local support = require "spec.support.ops"
local shared = require "spec.support.optim"

local scoped = support.scoped

describe("loss_scale_update", function()
    it("grows after enough good steps and restarts the count", scoped(function()
        local s = shared.scalars { loss_scale = 1024 }
        local seen = {}
        for i = 1, 7 do
            optim.loss_scale_update(s, 2, 0.5, 3, 1)
            seen[i] = shared.scalar(s, "loss_scale")
        end
        assert.are.same({ 1024, 1024, 2048, 2048, 2048, 4096, 4096 }, seen)
        assert.are.equal(1, shared.scalar(s, "good_steps"))
    end))

    it("backs off on overflow, down to the floor", scoped(function()
        local s = shared.scalars { loss_scale = 8, good_steps = 2, overflow = 1 }
        local seen = {}
        for i = 1, 4 do
            optim.loss_scale_update(s, 2, 0.5, 3, 2)
            seen[i] = shared.scalar(s, "loss_scale")
        end
        assert.are.same({ 4, 2, 2, 2 }, seen)
        assert.are.equal(0, shared.scalar(s, "good_steps"))
    end))

    it("stops growing at 2^24 and leaves a larger one alone", scoped(function()
        local s = shared.scalars { loss_scale = 2 ^ 23 }
        for _ = 1, 3 do optim.loss_scale_update(s, 2, 0.5, 1, 1) end
        assert.are.equal(2 ^ 24, shared.scalar(s, "loss_scale"))
        s = shared.scalars { loss_scale = 2 ^ 26 }
        optim.loss_scale_update(s, 2, 0.5, 1, 1)
        assert.are.equal(2 ^ 26, shared.scalar(s, "loss_scale"))
    end))

    it("names op, argument, got and expected, and changes nothing", scoped(function()
        local s = shared.scalars()
        support.assert_rejects("loss_scale_update: backoff is 2, expected 0 < backoff <= 1", {}, function()
            optim.loss_scale_update(s, 2, 2, 1, 1)
        end)
    end))
end)
