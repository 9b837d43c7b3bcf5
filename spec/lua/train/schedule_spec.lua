--- The learning rate of every step, first and last included.

local fault = require "bertlua.fault"
local schedule = require "bertlua.train.schedule"

local function near(want, got)
    assert.is_true(math.abs(want - got) <= 1e-12 * math.abs(want), ("expected %.17g, got %.17g"):format(want, got))
end

describe("a schedule", function()
    it("warms up over floor(proportion * steps), peaks there, and ends at 0", function()
        local rate = schedule.make("linear", { learning_rate = 6e-3, warmup_proportion = 0.2843, max_steps = 7038 })
        local warmup = 2000 -- floor(2000.9)
        near(6e-3 / warmup, rate(1))
        near(6e-3 / 2, rate(1000))
        near(6e-3, rate(warmup))
        near(6e-3 * (1 - 1 / 5038), rate(warmup + 1))
        near(6e-3 / 5038, rate(7037))
        assert.are.equal(0, rate(7038))
        assert.are.equal(0, rate(8000))
    end)

    it("starts from warmup_start_lr", function()
        local rate = schedule.make("linear", {
            learning_rate = 1e-3, warmup_start_lr = 1e-4, warmup_proportion = 0.3, max_steps = 10,
        })
        near(1e-4 + 9e-4 / 3, rate(1))
        near(1e-4 + 9e-4 * 2 / 3, rate(2))
        near(1e-3, rate(3))
        near(1e-3 * 6 / 7, rate(4))
    end)

    it("decays from the first step without a warm-up", function()
        local rate = schedule.make("linear", { learning_rate = 1, max_steps = 4 })
        assert.are.same({ 0.75, 0.5, 0.25, 0 }, { rate(1), rate(2), rate(3), rate(4) })
    end)

    it("keeps the peak to the end when all steps are warm-up", function()
        local rate = schedule.make("linear", { learning_rate = 1, warmup_proportion = 1, max_steps = 4 })
        assert.are.same({ 0.25, 0.5, 0.75, 1 }, { rate(1), rate(2), rate(3), rate(4) })
    end)

    it("supports other powers", function()
        local rate = schedule.make("polynomial", { learning_rate = 1, max_steps = 4, power = 2 })
        assert.are.equal(0.25, rate(2))
    end)

    it("may be a cosine, constant, or decay only at the end", function()
        local function rates(name, more)
            local settings = { learning_rate = 2, warmup_proportion = 0.2, max_steps = 10 }
            for key, value in pairs(more or {}) do settings[key] = value end
            local rate, list = schedule.make(name, settings), {}
            for step = 1, 11 do list[step] = rate(step) end
            return list
        end
        for _, name in ipairs(schedule.NAMES) do
            local list = rates(name)
            near(1, list[1])
            near(2, list[2])
            assert.are.equal(name == "constant" and 2 or 0, list[10], name)
            assert.are.equal(list[10], list[11], name)
        end
        local cosine = rates "cosine"
        near(2 * (1 + math.cos(math.pi / 8)) / 2, cosine[3])
        near(1, cosine[6])
        assert.are.same({ 1, 2, 2, 2, 2, 2, 1.5, 1, 0.5, 0, 0 },
            rates("warmup_stable_decay", { decay_proportion = 0.4 }))
    end)

    it("may be a recipe's function, whose result is checked", function()
        local seen
        local settings = { learning_rate = 3, warmup_proportion = 0.25, max_steps = 8 }
        local rate = schedule.from_function(function(step, run)
            seen = run
            if step == 5 then return "much" end
            return run.learning_rate / step
        end, settings)
        assert.are.equal(1.5, rate(2))
        assert.are.same({ 2, 8 }, { seen.warmup_steps, seen.max_steps })
        local good, problem = pcall(rate, 5)
        assert.is_false(good)
        assert.is_true(fault.is(problem))
        assert.matches("the function at .*schedule_spec%.lua:%d+ returned much at step 5, expected a finite number",
            tostring(problem))
        good, problem = pcall(schedule.from_function(function() return 1 / 0 end, settings), 3)
        assert.is_false(good)
        assert.matches("returned inf at step 3, expected a finite number of at least 0", tostring(problem))
    end)

    it("lets a function read the run and not change it", function()
        local rate = schedule.from_function(function(_, run)
            run.learning_rate = run.learning_rate / 2
            return run.learning_rate
        end, { learning_rate = 3, max_steps = 8 })
        local _, problem = pcall(rate, 1)
        assert.is_true(fault.is(problem))
        assert.matches("^schedule, step 1: .*schedule_spec%.lua:%d+: run%.learning_rate cannot be set: the rate must "
            .. "follow from step and run alone$", tostring(problem))
    end)

    it("refuses impossible settings", function()
        for _, case in ipairs {
            { { learning_rate = -1, max_steps = 4 }, "learning_rate is -1" },
            { { learning_rate = 1, max_steps = 0 }, "max_steps is 0" },
            { { learning_rate = 1, max_steps = 4, warmup_proportion = 1.5 }, "warmup_proportion is 1.5" },
            { { learning_rate = 0 / 0, max_steps = 4 }, "learning_rate is" },
        } do
            local ok, err = pcall(schedule.make, "linear", case[1])
            assert.is_false(ok)
            assert.is_true(fault.is(err))
            assert.is_truthy(tostring(err):find(case[2], 1, true))
        end
    end)
end)
