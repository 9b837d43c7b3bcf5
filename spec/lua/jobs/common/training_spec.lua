--- Parts of a training run that need no model: the schedule, and what is said of it.

local training = require "bertlua.jobs.common.training"

describe("a run's schedule", function()
    --- Warnings of a run of so many steps.
    local function warnings(steps, changes)
        local values = { schedule = "linear", learning_rate = 0.1, warmup_start_lr = 0, warmup_proportion = 0.1 }
        for key, value in pairs(changes or {}) do values[key] = value end
        local run = { max_steps = steps, warnings = {} }
        training.schedule(run, values)
        return run.warnings
    end

    it("that is 0 at every step is told", function()
        local text = "the learning rate is 0 at every step, so nothing is learned: "
        assert.are.same({ text .. "with 1 step, as schedule linear ends at 0: train for more, or take --schedule "
            .. "constant" }, warnings(1))
        assert.are.same({ text .. "with 1 step, as schedule cosine ends at 0: train for more, or take --schedule "
            .. "constant" }, warnings(1, { schedule = "cosine" }))
        assert.are.same({ text .. "--learning-rate is 0" }, warnings(20, { learning_rate = 0 }))
        assert.are.same({ text .. "as the recipe's schedule says" },
            warnings(20, { schedule = function() return 0 end }))
    end)

    it("that is not is not", function()
        assert.are.same({}, warnings(2))
        assert.are.same({}, warnings(1, { schedule = "constant" }))
        -- All warm-up: the last step has the peak.
        assert.are.same({}, warnings(1, { warmup_proportion = 1 }))
        assert.are.same({}, warnings(20, { schedule = function(step) return step == 20 and 1 or 0 end }))
        -- What a benchmark measures does not depend on it.
        assert.are.same({}, warnings(20, { learning_rate = 0, benchmark = true }))
    end)
end)
