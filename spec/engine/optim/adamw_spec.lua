local optim = require "bertlua.optim"
local support = require "spec.support.ops"
local reference = require "spec.support.reference"
local shared = require "spec.support.optim"

local scoped = support.scoped

describe("adamw_update", function()
    it("follows the formula over several steps", scoped(function() shared.check_updates "adamw" end))

    it("rewrites the low-precision copy", scoped(function()
        shared.check_updates("adamw", "bf16")
    end))

    it("scales the learning rate of each tensor", scoped(function()
        shared.check_updates("adamw", nil, shared.LR_SCALE)
        shared.check_updates("adamw", "bf16", shared.LR_SCALE)
        shared.check_scale_of_one "adamw"
    end))

    it("is skipped and counted after an overflow", scoped(function()
        local f = shared.model "bf16"
        f.grad:fill(1)
        f.scalars = shared.scalars { learning_rate = 1, overflow = 1, step = 7, skipped = 2 }
        optim.adamw_update(optim.prepare(f))
        support.assert_close(f.param, f.param_values, 0)
        support.assert_close(f.m, reference.zeros(shared.SIZE), 0)
        support.assert_close(f.v, reference.zeros(shared.SIZE), 0)
        assert.is_true(support.is_poisoned(f.param_low))
        assert.are.equal(7, shared.scalar(f.scalars, "step"))
        assert.are.equal(3, shared.scalar(f.scalars, "skipped"))
    end))
end)
