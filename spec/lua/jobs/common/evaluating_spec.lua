--- Evaluation while training: what a recipe may say, the best checkpoint, early ends, resumes, several processes.

local classify = require "spec.support.classify"
local evaluating = require "bertlua.jobs.common.evaluating"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local job_class = require "spec.support.job"
local json = require "bertlua.util.json"
local mpi = require "spec.support.mpi"
local pretraining = require "spec.support.pretraining"
local squad = require "spec.support.squad"
local tasks = {
    pretrain = require "bertlua.jobs.pretrain.task", classify = require "bertlua.jobs.classify.task",
    squad = require "bertlua.jobs.squad.task",
}

describe("a recipe's evaluate", function()
    --- The completed table.
    local function planned(task, evaluate, values)
        local run = { work = { train = true }, warnings = {}, downloads = {} }
        local all = { evaluate = evaluate }
        for name, value in pairs(values or {}) do all[name] = value end
        evaluating.plan(tasks[task], run, all)
        return run.evaluate, run
    end

    local function refused(pattern, ...)
        local good, problem = pcall(planned, ...)
        assert.is_false(good)
        assert.is_true(fault.is(problem), tostring(problem))
        assert.matches(pattern, tostring(problem))
    end

    it("is completed by the task", function()
        assert.are.same({ every = 5, input_dir = "spec", metric = "loss", better = "lower" },
            planned("pretrain", { every = 5, input_dir = "spec" }))
        assert.are.same({ every = 1, dev_file = "Makefile", metric = "accuracy", better = "higher", keep = "best" },
            planned("classify", { every = 1, keep = "best" },
                { dev_file = "Makefile", problem_type = "single_label_classification" }))
        assert.are.same({ every = 1, dev_file = "Makefile", metric = "mse", better = "lower" },
            planned("classify", { every = 1 }, { dev_file = "Makefile", problem_type = "regression" }))
        assert.are.same({ every = 1, predict_file = "Makefile", metric = "exact", better = "higher", patience = 2 },
            planned("squad", { every = 1, predict_file = "Makefile", metric = "exact", patience = 2 },
                { version_2_with_negative = true }))
        -- A loss of the recipe's shows its names only when it is called.
        local own = { loss = function() end }
        assert.are.equal("higher", planned("pretrain", { every = 1, input_dir = "spec", metric = "pair_accuracy" },
            own).better)
        assert.are.equal("lower", planned("pretrain", { every = 1, input_dir = "spec", metric = "margin",
            better = "lower" }, own).better)
        refused('^evaluate: metric margin: is less of it better, or more%? Add better = "lower" or better = "higher"$',
            "pretrain", { every = 1, input_dir = "spec", metric = "margin" }, own)
    end)

    it("by a result that a recipe's own loss does not return is refused once its results are known", function()
        local run = planned("pretrain", { every = 500, input_dir = "spec", metric = "margin_accuracy" },
            { loss = print })
        local job = { run = {}, task = tasks.pretrain, values = { loss = print } }
        assert.has_no_error(function() evaluating.check_results(job, { "loss" }) end)
        job.run.evaluate = run
        assert.has_no_error(function() evaluating.check_results(job, { "loss", "margin_accuracy" }) end)
        local _, problem = pcall(evaluating.check_results, job, { "loss", "margin_acc" })
        assert.are.equal("evaluate: unknown metric margin_accuracy; did you mean margin_acc?",
            fault.message(problem))
        -- The task's own are known beforehand.
        run = planned("classify", { every = 1, dev_file = "Makefile", metric = "accuracy" })
        job = { run = { evaluate = run }, task = tasks.classify, values = {} }
        assert.has_no_error(function() evaluating.check_results(job, { "loss" }) end)
    end)

    it("is refused with one line that names the fix", function()
        for pattern, evaluate in pairs {
            ["^evaluate: unknown field evry; did you mean every%?$"] = { evry = 5 },
            ["^evaluate: unknown field 1, expected one of every, metric, better, keep, patience, input_dir$"] = { 5 },
            ["^evaluate: every: got nil, expected an integer of at least 1$"] = { input_dir = "spec" },
            ["^evaluate: every: got 2.5, expected an integer"] = { every = 2.5 },
            ["^evaluate: patience: got 0, expected an integer of at least 1$"] = { every = 1, patience = 0 },
            ['^evaluate: keep: got bets, expected "best"$'] = { every = 1, keep = "bets" },
            ['^evaluate: better: got more, expected "lower" or "higher"$'] = { every = 1, better = "more" },
            ["^evaluate: unknown metric mlm_los; did you mean mlm_loss%?$"] = { every = 1, metric = "mlm_los" },
            ["^evaluate: unknown metric f1, expected one of loss, mlm_accuracy, mlm_loss, nsp_accuracy, nsp_loss$"] =
                { every = 1, metric = "f1" },
            ["^evaluate: input_dir: got nil, expected a folder of held%-out HDF5 shards$"] = { every = 1 },
            ["^evaluate: input_dir none: no such folder$"] = { every = 1, input_dir = "none" },
        } do refused(pattern, "pretrain", evaluate) end
        refused("^evaluate: no dev_file: name a file of labeled texts, here or as %-%-dev%-file$", "classify",
            { every = 1 })
        refused("^evaluate: predict_file none: no such file$", "squad", { every = 1, predict_file = "none" })
        refused("^evaluate: unknown metric nsp_loss, expected one of loss, mlm_accuracy, mlm_loss$", "pretrain",
            { every = 1, input_dir = "spec", metric = "nsp_loss" }, { objectives = "mlm" })
        refused("^evaluate: unknown metric exact, expected one of exact_match, f1$", "squad",
            { every = 1, metric = "exact" })
    end)

    it("does nothing without training, and is told to be ignored by benchmark mode", function()
        local run = { work = {} }
        evaluating.plan(tasks.pretrain, run, { evaluate = { every = 1, input_dir = "none" } })
        assert.is_nil(run.evaluate)
        local wanted, benchmark = planned("pretrain", { every = 1, input_dir = "spec" }, { benchmark = true })
        assert.is_nil(wanted)
        assert.are.same({ "benchmark mode makes no evaluations: evaluate is ignored" }, benchmark.warnings)
    end)
end)

--- Run a recipe with these settings as Lua, and a job's command line.
-- @return output; exit code, 0 if left out, is checked
local function run_recipe(job, task, settings, command, code, start)
    local path = job.dir .. "/recipe.lua"
    assert(fs.write(path, ('require("bertlua.recipe").run("%s", { %s }, "Spec.")\n'):format(task, settings)))
    command = command:gsub("recipes/%S+%.lua", (path:gsub("%%", "%%%%")))
    local got, output = job_class.shell(start and start(command) or command)
    assert.are.equal(code or 0, got, output)
    return output
end

local function same_files(a, b, names)
    for _, name in ipairs(names) do
        assert.is_true(fs.read(a .. "/" .. name) == fs.read(b .. "/" .. name), ("%s of %s and %s"):format(name, a, b))
    end
end

local FILES = { "model.safetensors", "optimizer.safetensors", "progress.json" }

describe("evaluation in pre-training", function()
    local job
    before_each(function() job = pretraining.new() end)
    after_each(function() job:close() end)

    -- The loss falls, so by this rule only the first evaluation is good.
    local WORSE = 'metric = "mlm_loss", better = "higher", keep = "best"'

    --- @param own fields of evaluate
    local function run(out, own, changes, more, code, start)
        local options = { ["output-dir"] = job.dir .. "/" .. out, ["max-steps"] = 12, ["learning-rate"] = 0.05,
            ["num-steps-per-checkpoint"] = 1, ["last-step-of-checkpoint"] = "auto",
            ["report-file"] = job.dir .. "/" .. out .. ".json" }
        for key, value in pairs(changes or {}) do options[key] = value end
        return run_recipe(job, "pretrain", ('phase1 = true, evaluate = { every = 2, input_dir = "%s", %s }, %s'):format(
            job.shards, own, more or ""), job:command("x.lua", options), code, start)
    end

    local function folder(out, step)
        return ("%s/%s/custom/phase1/%s"):format(job.dir, out, step)
    end

    local function steps_of(out)
        local list = {}
        for _, name in ipairs(fs.list(folder(out, ""))) do list[#list + 1] = tonumber(name) end
        table.sort(list)
        return list
    end

    it("ends a run that no longer improves, and keeps the best checkpoint", function()
        local output = run("a", WORSE .. ", patience = 2")
        assert.matches("step 6: the run ends early: 2 evaluations without a better mlm_loss than 5%.%d+, that of step 2"
            .. "\n", output)
        assert.matches("steps +1 to 6 of 12, ended early\n", output)
        assert.matches("best +%S+/phase1/2 %(mlm_loss 5%.%d+ at step 2%)\n", output)
        assert.are.same({ 2, 4, 5, 6 }, steps_of "a")
        -- Once more: nothing is left to do. More patience continues.
        assert.matches("/6: the run ended early at step 6: 2 evaluations without", run("a", WORSE .. ", patience = 2"))
        assert.matches("evaluate was .- patience = 2 } in .- and is .- patience = 3 } now",
            run("a", WORSE .. ", patience = 3"))
        assert.are.same({ 2, 6, 7, 8 }, steps_of "a")
        -- Phase 2 starts with the best.
        local second = job_class.shell
        local code, text = second(job:command("pretrain_phase2.lua", { ["output-dir"] = job.dir .. "/a",
            ["from-phase1-final-params"] = "auto", ["max-steps"] = 1 }))
        assert.are.equal(0, code, text)
        assert.matches("start     parameters of " .. folder("a", 2):gsub("%p", "%%%0") .. "\n", text)
        -- Without evaluations the run continues, too, and says that they are gone.
        code, text = second(job:command("pretrain_phase1.lua", { ["output-dir"] = job.dir .. "/a",
            ["max-steps"] = 12, ["steps-this-run"] = 1, ["last-step-of-checkpoint"] = "auto" }))
        assert.are.equal(0, code, text)
        assert.matches("warning: evaluate was { .- } in .*/8 and is not set now", text)
    end)

    it("changes nothing if it is resumed anywhere, even where a signal prevented it", function()
        run("straight", WORSE .. ", patience = 4")
        assert.are.same({ 2, 8, 9, 10 }, steps_of "straight")
        local kill = [[on_step = function(event)
            local unistd, signal = require "posix.unistd", require "posix.signal"
            if event.step == %d then signal.kill(unistd.getpid(), signal.SIGTERM) end
        end]]
        -- Stopped between evaluations, at one, before one (the signal comes during step 3, is seen after step 4) and
        -- during one.
        for name, changes in pairs { between = { ["steps-this-run"] = 5 }, at = { ["steps-this-run"] = 6 } } do
            run(name, WORSE .. ", patience = 4", changes)
            run(name, WORSE .. ", patience = 4")
        end
        for _, step in ipairs { 3, 4 } do
            local output = run("killed" .. step, WORSE .. ", patience = 4", {}, kill:format(step), 143)
            assert.is_nil(output:match "evaluation 4")
            assert.are.equal(2, json.read(folder("killed" .. step, 4) .. "/progress.json").evaluation.step)
            assert.matches("evaluation 4: ", run("killed" .. step, WORSE .. ", patience = 4"))
        end
        for _, name in ipairs { "between", "at", "killed3", "killed4" } do
            assert.are.same({ 2, 8, 9, 10 }, steps_of(name))
            same_files(folder("straight", 2), folder(name, 2), FILES)
            same_files(folder("straight", 10), folder(name, 10), FILES)
        end
    end)

    it("is made up for after the last step, and by a run that had none", function()
        run("a", WORSE, { ["max-steps"] = 4 })
        local kill = [[on_step = function(event)
            local unistd, signal = require "posix.unistd", require "posix.signal"
            if event.step == 3 then signal.kill(unistd.getpid(), signal.SIGTERM) end
        end]]
        run("b", WORSE, { ["max-steps"] = 4 }, kill, 143)
        local output = run("b", WORSE, { ["max-steps"] = 4 })
        assert.matches("evaluation 4: ", output)
        assert.is_nil(output:match "\nsteps ")
        assert.matches("checkpoint +%S+/4\n", output)
        assert.matches("best +%S+/2 ", output)
        assert.matches("/4: all 4 steps are done\n$", run("b", WORSE, { ["max-steps"] = 4 }))
        for _, step in ipairs { 2, 4 } do same_files(folder("a", step), folder("b", step), FILES) end
    end)

    it("looks for the best anew when that is gone or chosen by another metric, and says so", function()
        run("a", WORSE, { ["steps-this-run"] = 4 })
        assert.matches("warning: the best so far was chosen by mlm_loss and is chosen by loss from here on: it is "
            .. "looked for anew\n", run("a", 'metric = "loss", keep = "best"', { ["steps-this-run"] = 2 }))
        local best = json.read(folder("a", 6) .. "/progress.json").evaluation
        assert.are.same({ "loss", 6, 0, true }, { best.metric, best.best_step, best.since, best.kept })
        run("b", WORSE, { ["steps-this-run"] = 4 })
        assert(fs.remove(folder("b", 2)))
        assert.matches("warning: the best checkpoint so far is not there %(.-/2: .-%): the best is looked for anew\n",
            run("b", WORSE, { ["steps-this-run"] = 2 }))
    end)

    it("measures what a loss of the recipe's returns", function()
        local loss = [[loss = function(tape, model, batch)
            local results = model:forward(tape, batch)
            return { loss = results.loss, word_loss = results.mlm_loss }
        end]]
        local output = run("a", 'metric = "word_loss", keep = "best"', { ["max-steps"] = 6 }, loss)
        assert.matches("\nevaluation 2: word_loss 5%.%d+ %(best so far%), loss 5%.%d+\n", output)
        run("b", 'metric = "word_loss", keep = "best"', { ["max-steps"] = 6, ["steps-this-run"] = 3 }, loss)
        run("b", 'metric = "word_loss", keep = "best"', { ["max-steps"] = 6 }, loss)
        same_files(folder("a", 6), folder("b", 6), FILES)
        assert.matches("bertlua: evaluate: unknown metric wrd_loss; did you mean word_loss%?[^\n]*\n$",
            run("c", 'metric = "wrd_loss"', { ["max-steps"] = 6 }, loss, 1))
    end)

    it("goes with data of the recipe's, also where it is made up for", function()
        local data = [[objectives = { "mlm" }, on_step = function(event)
            local unistd, signal = require "posix.unistd", require "posix.signal"
            if event.step == %d then signal.kill(unistd.getpid(), signal.SIGTERM) end
        end, data = function()
            local list = {}
            for i = 1, 50 do list[i] = ("w%%d w%%d w%%d w%%d"):format(6 + i, 7 + i, 8 + i, 9 + i) end
            return list
        end]]
        local changes = { ["max-steps"] = 6, ["input-dir"] = false }
        run("a", WORSE, changes, data:format(0))
        for _, step in ipairs { 3, 5 } do
            run("b" .. step, WORSE, changes, data:format(step), 143)
            run("b" .. step, WORSE, changes, data:format(0))
            for _, saved in ipairs { 2, 6 } do same_files(folder("a", saved), folder("b" .. step, saved), FILES) end
        end
    end)

    it("does not end early what ends anyway", function()
        local output = run("a", WORSE .. ", patience = 2", { ["max-steps"] = 6 })
        assert.is_nil(output:find "early")
        assert.matches("/6: all 6 steps are done\n$", run("a", WORSE .. ", patience = 2", { ["max-steps"] = 6 }))
    end)

    it("uses every sample but a few, whatever the batch size", function()
        assert.matches("48 samples to evaluate on, in batches of 4\n", run("a", "", { ["max-steps"] = 1 }))
        local output = run("b", "", { ["max-steps"] = 1, ["batch-size"] = 20 })
        assert.matches("48 samples to evaluate on, in batches of 16\n", output)
        output = run("c", "", { ["max-steps"] = 1, ["batch-size"] = 7 })
        assert.matches(": 48 samples to evaluate on, in batches of 6\n", output)
    end)

    mpi.specs(it, pending)("measures the same on two processes, and ends both", function()
        local one = run("one", WORSE .. ", patience = 2", { ["gradient-merge-steps"] = 2, device = "cpu" })
        local two = run("two", WORSE .. ", patience = 2", { device = "cpu" }, nil, 0, function(command)
            return mpi.command(2, (command:gsub("^%S+ ", "")))
        end)
        local function values(output)
            local list = {}
            for step, value in output:gmatch "evaluation (%d+): mlm_loss (%S+)" do
                list[#list + 1] = step
                list[step] = tonumber(value)
            end
            return list
        end
        local a, b = values(one), values(two)
        assert.are.same({ "2", "4", "6" }, { unpack(a) })
        assert.are.same({ "2", "4", "6" }, { unpack(b) })
        for _, step in ipairs(a) do assert.is_true(math.abs(a[step] - b[step]) < 2e-4) end
        assert.matches("steps +1 to 6 of 12, ended early\n", two)
        assert.are.same({ 2, 4, 5, 6 }, steps_of "two")
    end)
end)

describe("evaluation in fine-tuning", function()
    local job
    after_each(function() job:close() end)

    it("chooses the model of a classification that is exported and predicts", function()
        job = classify.new()
        local evaluate = 'evaluate = { every = 3, better = "lower", keep = "best", patience = %d }'
        local function run(out, patience, changes)
            local all = { ["output-dir"] = job.dir .. "/" .. out, ["num-steps-per-checkpoint"] = 4,
                ["last-step-of-checkpoint"] = "auto" }
            for key, value in pairs(changes or {}) do all[key] = value end
            return run_recipe(job, "classify", evaluate:format(patience), job:command(all)),
                job.dir .. "/" .. out
        end
        local output, folder = run("a", 2)
        local chosen = output:match "best +%S+/checkpoints/(%d+) %(accuracy [%d.]+ at step %d+%)\n"
        local value, step = output:match "the best accuracy, ([%d.]+), is that of step (%d+): its model is used and"
        assert.are.equal(chosen, step)
        assert.matches("step %d+: the run ends early: 2 evaluations without a better accuracy", output)
        same_files(folder .. "/model", folder .. "/checkpoints/" .. chosen, { "model.safetensors" })
        assert.are.equal(value, ("%.4f"):format(json.read(folder .. "/eval.json").dev.accuracy))
        local _, stopped = run("b", 2, { ["steps-this-run"] = 4 })
        run("b", 2)
        same_files(folder, stopped, { "model/model.safetensors", "predictions.jsonl", "eval.json" })
        -- Again, and without training: the same model answers.
        for _, changes in ipairs { {}, { ["train-file"] = false } } do
            assert(fs.remove(folder .. "/predictions.jsonl"))
            run("a", 2, changes)
            same_files(folder, stopped, { "predictions.jsonl", "eval.json" })
        end
    end)

    mpi.specs(it, pending)("gives all processes the best model, also where they divide the optimizer", function()
        job = classify.new()
        local output = run_recipe(job, "classify", 'evaluate = { every = 2, better = "lower", keep = "best" }',
            job:command { device = "cpu", optimizer = "DistributedFusedLamb", ["num-steps-per-checkpoint"] = 2,
                amp = "true", ["amp-dtype"] = "bf16" }, 0, function(command)
                return mpi.command(2, (command:gsub("^%S+ ", "")))
            end)
        local folder, step = job.out, output:match "is that of step (%d+): its model is used"
        assert.is_not_nil(step, output)
        same_files(folder .. "/model", folder .. "/checkpoints/" .. step, { "model.safetensors" })
        local value = output:match "the best accuracy, ([%d.]+), is"
        assert.are.equal(value, ("%.4f"):format(json.read(folder .. "/eval.json").dev.accuracy))
    end)

    it("of SQuAD measures its answers, on a file of its own where that is named", function()
        job = squad.new()
        local function run(own, changes)
            return run_recipe(job, "squad", ('evaluate = { every = 2, keep = "best", %s }'):format(own),
                job:command(changes))
        end
        local output = run("", { mode = "train_eval", ["output-dir"] = job.dir .. "/a" })
        assert.matches("\nevaluation 2: f1 [%d.]+ %(best so far%), exact_match [%d.]+\n", output)
        local folder = job.dir .. "/a/custom/squad"
        local value, step = output:match "best +%S+ %(f1 ([%d.]+) at step (%d+)%)\n"
        assert.are.equal(value, ("%.4f"):format(json.read(folder .. "/eval.json").f1))
        same_files(folder, folder .. "/" .. step, { "model.safetensors" })
        -- The training file in place of the other.
        output = run(('predict_file = "%s"'):format(job.train), { mode = "train", ["output-dir"] = job.dir .. "/b" })
        assert.matches("train%.json: %d+ questions.-train%.json: %d+ questions", output)
        assert.matches("\nevaluation 2: f1 ", output)
    end)
end)
