--- Several runs in one call, through the real executable: seeds, folds, a recipe's sweep, what fails, what resumes.

local classify = require "spec.support.classify"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local process = require "spec.support.process"

describe("several runs", function()
    local job
    before_each(function() job = classify.new() end)
    after_each(function() job:close() end)

    local function run(code, changes, name)
        changes.epochs = changes.epochs or 1
        changes["tensorboard-dir"] = "none"
        local command = job:command(changes):gsub("recipes/finetune_classify%.lua", name or "%0")
        local output, got = process.run(command)
        assert.are.equal(code, got, output)
        return output
    end

    it("of seeds equal those made alone, and are not repeated", function()
        local output = run(0, { seeds = "1,2" })
        assert.matches("Run 2 of 2: seed 2, in " .. job.out .. "/seed-2\n", output, 1, true)
        assert.matches("mean%s+0%.%d+", output)
        assert.is_false(fs.exists "none")
        run(0, { seed = 2, ["output-dir"] = job.dir .. "/alone" })
        for _, name in ipairs { "model/model.safetensors", "eval.json", "predictions.jsonl" } do
            assert.is_true(fs.read(job.out .. "/seed-2/" .. name) == fs.read(job.dir .. "/alone/" .. name), name)
        end
        local figures = assert(json.read(job.out .. "/eval.json"))
        local a, b = figures.runs[1].dev.accuracy, figures.runs[2].dev.accuracy
        assert.is_true(math.abs(figures.mean.dev.accuracy - (a + b) / 2) < 1e-12)

        local three = { seeds = "1,2,3", ["sweep-processes"] = 2, ["num-steps-per-checkpoint"] = 3 }
        output = run(0, three)
        assert.matches("seed-1: finished by an earlier call\nseed-2: finished by an earlier call\n", output, 1, true)
        assert.matches("seed-3: finished", output, 1, true)
        assert.matches("steps%s+1 to 6 of 6", fs.read(job.out .. "/seed-3/log.txt"))
        assert.is_false(fs.exists(job.out .. "/seed-1/log.txt"))

        -- As a kill after the first of its checkpoints leaves it.
        local folder, before = job.out .. "/seed-3/", assert(fs.read(job.out .. "/eval.json"))
        assert(fs.remove(folder .. "checkpoints/6"))
        local record = assert(json.read(folder .. "run.json"))
        record.finished = false
        assert(fs.write(folder .. "run.json", json.encode(record)))
        output = run(0, three)
        assert.matches("seed-2: finished by an earlier call\nseed-3: finished\n", output, 1, true)
        assert.matches("resuming from " .. folder .. "checkpoints/3\n", fs.read(folder .. "log.txt"), 1, true)
        assert.are.equal(before, fs.read(job.out .. "/eval.json"))

        -- Figures of other settings can't stand beside these; those of another file are measured anew.
        output = run(1, { seeds = "1,2,3", epochs = 2 })
        assert.matches("seed%-1 was trained with another epochs %(1, now 2%), .*: choose another %-%-output%-dir",
            output)
        assert(fs.write(job.dir .. "/test.csv", assert(fs.read(job.dev))))
        output = run(0, { seeds = "1,2,3", ["test-file"] = job.dir .. "/test.csv" })
        assert.matches("all 6 steps are done", output, 1, true)
        figures = assert(json.read(job.out .. "/eval.json"))
        assert.are.same(figures.mean.dev, figures.mean.test)
        assert.are.equal(a, figures.runs[1].dev.accuracy)
    end)

    it("of folds hold out each text once", function()
        -- By its name, with which each run starts the recipe too.
        run(0, { folds = 3, ["dev-file"] = false, ["sweep-processes"] = 3 }, "finetune-classify")
        local seen, count = {}, 0
        for fold = 1, 3 do
            local train = assert(fs.read(("%s/folds/%d-train.csv"):format(job.out, fold)))
            for line in assert(fs.read(("%s/folds/%d-dev.csv"):format(job.out, fold))):gmatch "(.-)\n" do
                if line ~= "text,label,weight" then
                    assert.is_nil(train:find(line, 1, true))
                    count, seen[line] = count + 1, true
                end
            end
            assert.is_number(assert(json.read(("%s/fold-%d/eval.json"):format(job.out, fold))).dev.accuracy)
        end
        assert.are.equal(48, count)
        for line in assert(fs.read(job.train)):gmatch "\n([^\n]+)" do assert.is_true(seen[line]) end
    end)

    it("of a recipe's sweep go on where one fails, and name the best", function()
        local recipe = job.dir .. "/sweep.lua"
        assert(fs.write(recipe, [[require("bertlua.recipe").run("classify", {
            optimizer = "AdamW", epochs = 20, train_batch_size = 8, last_step_of_checkpoint = "auto",
            sweep = { learning_rate = { 1e-9, 5e-3 }, max_seq_length = { 16, 64 } },
        }, "A sweep.")]]))
        local command = job:command { ["max-seq-length"] = false, ["learning-rate"] = false, epochs = 20,
            ["tensorboard-dir"] = "none", ["sweep-processes"] = 2, ["eval-steps"] = "epoch" }
        local output, code = process.run((command:gsub("recipes/%S+", recipe)))
        assert.are.equal(1, code, output)
        assert.matches("max_seq_length=64,learning_rate=1e-09: --max-seq-length 64, but", output, 1, true)
        assert.matches("bertlua: 2 of 4 runs failed, the first one max_seq_length=64,learning_rate=1e-09: --max-seq",
            output, 1, true)
        local figures = assert(json.read(job.out .. "/eval.json"))
        assert.are.equal("max_seq_length=16,learning_rate=0.005", figures.best)
        assert.matches("best by dev accuracy: " .. job.out .. "/max_seq_length=16,learning_rate=0.005", output, 1, true)
        local log = assert(fs.read(job.out .. "/max_seq_length=16,learning_rate=0.005/log.txt"))
        assert.are.equal(20, select(2, log:gsub("evaluation +%d+", "")), log)
    end)

    it("stop together at a signal, each after a checkpoint", function()
        local changes = { seeds = "1,2", epochs = 2000, ["num-steps-per-checkpoint"] = 20, ["sweep-processes"] = 2,
            ["tensorboard-dir"] = "none", ["log-freq"] = 1000 }
        local output, code = process.interrupt(job:command(changes), job.out .. "/seed-1/checkpoints/20", "TERM")
        assert.are.equal(143, code, output)
        assert.matches("SIGTERM: 2 of 2 runs not finished; the same command goes on", output, 1, true)
        assert.matches("seed-1: interrupted", output, 1, true)
        assert.is_false(fs.exists(job.out .. "/eval.json"))
        assert.is_false(assert(json.read(job.out .. "/seed-1/run.json")).finished)
        local log = assert(fs.read(job.out .. "/seed-1/log.txt"))
        assert.matches("ended by SIGTERM", log, 1, true)
    end)

    it("are refused in one line where they can't be meant", function()
        for pattern, changes in pairs {
            ["%-%-seeds and %-%-folds are both set: choose one"] = { seeds = "1", folds = 2 },
            ["%-%-folds and %-%-dev%-file are both set: each fold is the dev_file"] = { folds = 2 },
            ["%-%-sweep compares figures of %-%-dev%-file: give one"] = { sweep = "epochs=1", ["dev-file"] = false },
            ["%-%-seeds compares figures: give a %-%-dev%-file or a"] = { seeds = "1", ["dev-file"] = false },
            ["%-%-seeds: nothing to train on: give a %-%-train%-file"] = { seeds = "1", ["train-file"] = false },
            ["%-%-benchmark measures one run: leave out %-%-seeds"] = { seeds = "1", benchmark = "true" },
            ["%-%-seed and %-%-seeds are both set"] = { seeds = "1", seed = 2 },
            ["%-%-from%-checkpoint is of one run, but %-%-seeds"] = { seeds = "1", ["from-checkpoint"] = job.dir },
            ["%-%-sweep%-processes is for %-%-sweep, %-%-seeds or"] = { ["sweep-processes"] = 2 },
        } do
            local output = run(1, changes)
            assert.matches("^bertlua: " .. pattern, output)
            assert.are.equal(1, select(2, output:gsub("\n", "")), output)
        end
        assert.is_false(fs.exists(job.out))
    end)

    it("are refused under a launcher of several processes", function()
        local code, output = job:run({ seeds = "1,2" }, "OMPI_COMM_WORLD_RANK=0 OMPI_COMM_WORLD_SIZE=2 ")
        assert.are.equal(1, code)
        assert.matches("^bertlua: %-%-seeds starts processes of its own, so it can't run under a launcher", output)
    end)
end)
