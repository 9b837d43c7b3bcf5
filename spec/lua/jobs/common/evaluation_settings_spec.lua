--- The plain settings of evaluation while training, and the table that they come to.

local evaluating = require "bertlua.jobs.common.evaluating"
local evaluation_settings = require "bertlua.jobs.common.evaluation_settings"
local fault = require "bertlua.fault"
local task = require "bertlua.jobs.classify.task"

local function table_of(arguments, recipe, trains)
    return (evaluation_settings.table_of((task.settings:parse(arguments, recipe or {})), trains ~= false))
end

local function refusal(...)
    local good, problem = pcall(table_of, ...)
    assert.is_false(good)
    assert.is_true(fault.is(problem), tostring(problem))
    return fault.message(problem)
end

describe("plain settings of evaluation", function()
    it("are those of a recipe's table", function()
        assert.is_nil(table_of {})
        assert.are.same({ every = 50 }, table_of { "--eval-steps", "50" })
        assert.are.same({ every = "epoch", metric = "macro_f1" },
            table_of { "--eval-steps", "epoch", "--metric-for-best-model", "macro_f1" })
        assert.are.same({ every = "epoch", keep = "best" }, table_of { "--load-best-model-at-end" })
        assert.are.same({ every = 7, keep = "best", patience = 3 }, table_of({ "--early-stopping-patience", "3" },
            { load_best_model_at_end = true, eval_steps = 7 }))
        assert.are.same({ every = 5 }, table_of({}, { evaluate = { every = 5 } }))
    end)

    it("say nothing about a run that does not train", function()
        assert.is_nil(table_of({ "--eval-steps", "5" }, {}, false))
    end)

    it("contradict a recipe's table, and do not stand alone without a use", function()
        assert.are.equal("--eval-steps and evaluate, the recipe's table, are both set: give one of them (--evaluate "
            .. "none drops the table)", refusal({ "--eval-steps", "5" }, { evaluate = { every = 5 } }))
        assert.are.same({ every = 5 }, table_of({ "--eval-steps", "5", "--evaluate", "none" },
            { evaluate = { every = 6 } }))
        assert.are.equal("--metric-for-best-model chooses nothing by itself: add --eval-steps, "
            .. "--load-best-model-at-end or --early-stopping-patience", refusal { "--metric-for-best-model", "f1" })
        assert.are.equal("--eval-steps: got 0, expected an integer of at least 1, or epoch",
            refusal { "--eval-steps", "0" })
    end)

    it("are called by their names where a figure is unknown", function()
        local values = task.settings:parse({ "--eval-steps", "5", "--dev-file", "Makefile",
            "--metric-for-best-model", "acuracy" }, {})
        local good, problem = pcall(evaluating.plan, task, { work = { train = true }, warnings = {} }, values)
        assert.is_false(good)
        assert.are.equal("--metric-for-best-model: there is no figure acuracy; did you mean accuracy?",
            fault.message(problem))
    end)

    it("by epochs mean steps once the samples are counted", function()
        local run = { work = { train = true }, warnings = {}, start = { kind = "fresh", step = 0 } }
        local values = task.settings:parse({ "--eval-steps", "epoch", "--dev-file", "Makefile",
            "--metric-for-best-model", "macro_f1" }, {})
        evaluating.plan(task, run, values)
        assert.are.equal("epoch", run.evaluate.every)
        run.steps_per_epoch, run.max_steps = 12, 30
        evaluating.resume(run)
        assert.are.equal(12, run.evaluate.every)
        -- Pre-training has none.
        local good, problem = pcall(evaluating.plan, require "bertlua.jobs.pretrain.task", run,
            { evaluate = { every = "epoch" } })
        assert.is_false(good)
        assert.are.equal('evaluate: every: got epoch, expected an integer of at least 1', fault.message(problem))
    end)
end)
