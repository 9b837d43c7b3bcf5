--- The end of several runs: what decides, eval.json, failed runs.

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local runs = require "bertlua.jobs.repeats.runs"
local summary = require "bertlua.jobs.repeats.summary"
local tasks = { classify = require "bertlua.jobs.classify.task", tokens = require "bertlua.jobs.tokens.task" }

describe("the end of several runs", function()
    local top, dir, count
    before_each(function() top, count = assert(fs.temporary_folder "summary_spec"), 0 end)
    after_each(function() assert(fs.remove(top)) end)

    --- @param figures of each run: table for eval.json, or text: why it failed
    local function job_of(values, figures)
        local list, points, varied = runs.list(tasks.classify.settings, values)
        count = count + 1
        dir = ("%s/%d"):format(top, count)
        assert(fs.mkdirs(dir))
        for i, run in ipairs(list) do
            run.folder, run.eval = dir .. "/" .. run.name, ("%s/%d.json"):format(dir, i)
            if type(figures[i]) == "table" then
                run.done = true
                assert(fs.write(run.eval, json.encode(figures[i])))
            else
                run.problem = figures[i]
            end
        end
        return { list = list, points = points, varied = varied, root = dir,
            members = values.seeds and "seeds" or values.folds and "folds" or nil }
    end

    --- Outcome or fault's message, text on the terminal, eval.json.
    local function finish(task, values, figures)
        local lines = {}
        local good, outcome = pcall(summary.finish, job_of(values, figures), summary.choice(tasks[task], values),
            function(text) lines[#lines + 1] = text .. "\n" end)
        if not good then outcome = assert(fault.is(outcome), tostring(outcome)) and fault.message(outcome) end
        return outcome, table.concat(lines), json.read(dir .. "/eval.json")
    end

    it("is mean and deviation of seeds", function()
        local outcome, text, written = finish("classify", { seeds = "1,2" },
            { { dev = { accuracy = 0.5 }, test = { accuracy = 0.25 } }, { dev = { accuracy = 0.7 },
                test = { accuracy = 0.25 } } })
        assert.are.equal("finished", outcome.status)
        assert.matches("seed%-2%s+0%.7000%s+0%.2500\nmean%s+0%.6000%s+0%.2500\nstd%s+0%.1414%s+0%.0000\n", text)
        assert.are.equal(0.6, written.mean.dev.accuracy)
        assert.is_true(math.abs(written.std.dev.accuracy - 0.1 * math.sqrt(2)) < 1e-12)
        assert.are.equal("seed-2", written.runs[2].name)
        assert.are.same({ seed = 2 }, written.runs[2].settings)
        assert.are.equal(0.7, written.runs[2].dev.accuracy)
        assert.is_nil(written.best)
    end)

    it("sorts a sweep, the best first", function()
        local figures = { { dev = { accuracy = 0.5, loss = 2 } }, { dev = { accuracy = 0.9, loss = 3 } },
            { dev = { accuracy = 0.7, loss = 1 } } }
        local outcome, text, written = finish("classify", { sweep = "epochs=1,2,3" }, figures)
        assert.are.equal(dir .. "/epochs=2", outcome.best)
        assert.matches("epochs%s.-\n2%s+0%.9000.-\n3%s+0%.7000.-\n1%s+0%.5000", text)
        assert.are.equal("epochs=2", written.best)
        assert.are.equal("dev.accuracy", written.metric)
        assert.are.same({ "epochs=2", "epochs=3", "epochs=1" },
            { written.points[1].name, written.points[2].name, written.points[3].name })
        -- Where less is better; the task does not know the names of its figures.
        outcome, text, written = finish("tokens", { sweep = "epochs=1,2,3", metric_for_best_model = "loss" }, figures)
        assert.are.equal(dir .. "/epochs=3", outcome.best)
        assert.are.equal("lower", written.better)
        assert.matches("best by dev loss: ", text, 1, true)
    end)

    it("compares means over seeds", function()
        local outcome, text = finish("classify", { sweep = "epochs=1,2", seeds = "1,2" },
            { { dev = { accuracy = 0.9 } }, { dev = { accuracy = 0.1 } }, { dev = { accuracy = 0.6 } },
                { dev = { accuracy = 0.6 } } })
        assert.are.equal(dir .. "/epochs=2", outcome.best)
        assert.matches("2%s+0%.6000 ± 0%.0000\n1%s+0%.5000 ± 0%.5657\n", text)
        assert.matches("of the seeds of each: standard deviation of a sample (n - 1)", text, 1, true)
    end)

    it("tells which runs failed, and ends with a fault", function()
        local message, text, written = finish("classify", { seeds = "1,2,3" },
            { { dev = { accuracy = 0.5 } }, "out of memory", { dev = { accuracy = 0.7 } } })
        assert.are.equal("1 of 3 runs failed, the first one seed-2: out of memory; the same command makes only those "
            .. "again", message)
        assert.matches("seed%-2%s+failed\n", text)
        assert.are.equal("out of memory", written.runs[2].failed)
        assert.are.equal(0.6, written.mean.dev.accuracy)
        message, text = finish("classify", { sweep = "epochs=1,2" }, { "bad", { dev = { accuracy = 0.1 } } })
        assert.matches("1 of 2 runs failed", message)
        assert.matches("2%s+0%.1000\n1 %(1 failed%)%s+failed\n", text)
        message = finish("classify", { seeds = "1" }, { "bad" })
        assert.matches("1 of 1 run failed", message)
    end)

    it("takes accuracy where a task's usual figure is not there, but never another one than was named", function()
        local _, _, written = finish("tokens", { seeds = "1" }, { { dev = { accuracy = 0.5, macro_f1 = 1 } } })
        assert.are.equal("dev.accuracy", written.metric)
        assert.are.equal("--metric-for-best-model f1: no such figure, expected one of accuracy, macro_f1",
            (finish("tokens", { seeds = "1", metric_for_best_model = "f1" },
                { { dev = { accuracy = 0.5, macro_f1 = 1 } } })))
        local good, problem = pcall(summary.choice, tasks.classify, { metric_for_best_model = "f1" })
        assert.is_false(good)
        assert.matches("f1: no such figure, expected one of accuracy, macro_f1, mae,", fault.message(problem), 1, true)
    end)

    it("leaves empty what is undefined in a run, and decides by it nevertheless", function()
        local undefined = { dev = { accuracy = json.null, macro_f1 = 0.25 } }
        local outcome, text, written = finish("classify", { sweep = "epochs=1,2" },
            { undefined, { dev = { accuracy = 0.1, macro_f1 = 0.5 } } })
        assert.are.equal(dir .. "/epochs=2", outcome.best)
        assert.matches("epochs  dev accuracy  dev macro_f1\n2             0.1000        0.5000\n"
            .. "1                           0.2500\n", text, 1, true)
        assert.are.equal("dev.accuracy", written.metric)
        text = select(2, finish("classify", { seeds = "1,2" }, { undefined,
            { dev = { accuracy = 0.1, macro_f1 = 0.75 } } }))
        assert.matches("\nmean +0%.5000\n", text)
    end)

    it("counts figures of one file alone as dev", function()
        local _, _, written = finish("classify", { seeds = "1,2" }, { { f1 = 80 }, { f1 = 90 } })
        assert.are.equal(85, written.mean.dev.f1)
    end)
end)
