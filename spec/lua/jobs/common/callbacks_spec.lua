--- Functions of a recipe that a job calls: when, with what, and what is refused.

local callbacks = require "bertlua.jobs.common.callbacks"
local fault = require "bertlua.fault"

local function job_of(values, main)
    local calls = {}
    return {
        values = values, ranks = { main = main ~= false }, run = { phase = "x" }, data = { words = "words" },
        parts = { model = "model" },
        log = { scalar = function(_, step, name, value) calls[#calls + 1] = { step, name, value } end,
            note = function(_, text) calls[#calls + 1] = text end },
    }, calls
end

describe("callbacks", function()
    it("are called with an event, on_step at its interval", function()
        local seen = {}
        local job, calls = job_of { on_step = { every = 3, function(event)
            seen[#seen + 1] = event
            event.log("a", 1)
            event.note(event.step)
        end } }
        for step = 1, 7 do callbacks.call(job, "on_step", step, { metrics = { loss = step } }) end
        assert.are.equal(2, #seen)
        assert.are.same({ 3, 3, "model", "words", "x" }, { seen[1].step, seen[1].metrics.loss, seen[1].model,
            seen[1].tokenizer, seen[1].run.phase })
        assert.are.same({ { 3, "a", 1 }, "3", { 6, "a", 1 }, "6" }, calls)
    end)

    it("are not called on other ranks, nor where there is none", function()
        local function never() error "called" end
        callbacks.call(job_of({ on_checkpoint = never }, false), "on_checkpoint", 1, {})
        callbacks.call(job_of {}, "on_checkpoint", 1, {})
        assert.has_error(function() callbacks.call(job_of { on_checkpoint = never }, "on_checkpoint", 1, {}) end)
    end)

    it("get a copy of the metrics", function()
        local metrics = { loss = 5 }
        callbacks.call(job_of { on_step = function(event) event.metrics.loss = 0 end }, "on_step", 1,
            { metrics = metrics })
        assert.are.same({ loss = 5 }, metrics)
    end)

    it("are told if they are never called", function()
        local function warnings(run, values)
            run.warnings, run.work = {}, run.work or { train = true }
            callbacks.warn(values, run)
            return #run.warnings
        end
        local values = { on_evaluate = print }
        assert.are.equal(1, warnings({}, values))
        assert.are.equal(0, warnings({}, {}))
        assert.are.equal(0, warnings({ evaluate = { every = 2 } }, values))
        assert.are.equal(0, warnings({ work = { train = true, evaluate = true } }, values))
        assert.are.equal(1, warnings({}, { on_evaluate = print, benchmark = true }))
    end)

    it("name what is wrong with them", function()
        for pattern, value in pairs {
            ["^on_step: unknown field evry, expected { every = N"] = { evry = 2, print },
            ["^on_step: got { every = 0.5 }, expected a function"] = { every = 0.5 },
            ["^on_step: got { function at .-, every = 1.5 }"] = { every = 1.5, function() end },
        } do
            local good, problem = pcall(callbacks.check, { on_step = value })
            assert.is_false(good)
            assert.is_true(fault.is(problem))
            assert.matches(pattern, tostring(problem))
        end
        callbacks.check { on_step = print, on_evaluate = print }
        local job = job_of { on_step = function(event) event.log("a", "b") end }
        assert.error_matches(function() callbacks.call(job, "on_step", 1, {}) end,
            "event.log: got string and string, expected a name and a number")
    end)

    it("that a run will not call are named", function()
        local function warnings(values, run)
            run.warnings, run.work = {}, run.work or {}
            callbacks.warn(values, run)
            return run.warnings
        end
        assert.are.same({}, warnings({ on_step = print, on_checkpoint = print }, {}))
        assert.are.same({}, warnings({ on_evaluate = print }, { evaluate = {} }))
        assert.are.same({}, warnings({ on_evaluate = print }, { work = { evaluate = true } }))
        assert.are.same({ "this run makes no evaluation, as evaluate is not set: on_evaluate is not called" },
            warnings({ on_evaluate = print }, {}))
        assert.are.same({ "benchmark mode calls no functions of a recipe: on_step is ignored",
            "benchmark mode calls no functions of a recipe: on_evaluate is ignored" },
            warnings({ on_step = print, on_evaluate = print, benchmark = true }, {}))
    end)
end)
