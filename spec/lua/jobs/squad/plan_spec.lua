--- The rules between the settings of a fine-tuning run.

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local plan = require "bertlua.jobs.common.plan"
local settings = require "bertlua.jobs.squad.settings"
local squad = require "spec.support.squad"
local task = require "bertlua.jobs.squad.task"

describe("the plan of a fine-tuning run", function()
    local job
    setup(function() job = squad.new() end)
    teardown(function() job:close() end)

    local function resolve(changes, recipe)
        local usual = { "--output-dir", job.out, "--bert-model", "custom", "--config-file", job.config, "--vocab-file",
            job.vocab, "--train-file", job.train, "--predict-file", job.dev }
        local changed = {}
        for _, word in ipairs(changes or {}) do
            local name = word:match "^%-%-(.+)$"
            if name then changed[(name:gsub("-", "_"))] = true end
        end
        local all = settings:without(usual, changed)
        for _, word in ipairs(changes or {}) do all[#all + 1] = word end
        local values, sources = settings:parse(all, recipe or { mode = "train" })
        local run = plan.resolve(task, values, sources, 1)
        return run
    end

    local function refused(pattern, changes, recipe)
        local ok, message = pcall(resolve, changes, recipe)
        assert.is_false(ok)
        assert.is_true(fault.is(message), tostring(message))
        assert.matches(pattern, tostring(message))
        assert.is_nil(tostring(message):find "\n")
    end

    it("does what mode or the flags say", function()
        assert.are.same({ train = true }, resolve().work)
        assert.are.same({ train = true, predict = true, evaluate = true }, resolve({ "--mode", "train_eval" }).work)
        -- The command line overrides the recipe, in whichever form.
        assert.are.same({ train = true, predict = true },
            resolve({ "--do-train", "--do-predict" }, { mode = "train_eval" }).work)
        assert.are.same({ train = true },
            resolve({ "--mode", "train" }, { do_train = true, do_predict = true }).work)
        refused("contradicts", { "--mode", "train", "--do-predict" })
        refused("nothing to do: set %-%-mode", {}, {})
        refused("do%-eval requires", { "--do-train", "--do-eval" })
        refused("mode: got \"sing\", expected one of train, eval, prediction, train_eval", { "--mode", "sing" })
    end)

    it("warns where the questions to answer are those to train on", function()
        local line = "--predict-file " .. job.train .. ": this file is also trained on: figures for texts that a "
            .. "model has seen do not tell what it has learned"
        local function told(run)
            local found = 0
            for _, warning in ipairs(run.warnings) do
                found = found + (warning:find("also trained on", 1, true) and 1 or 0)
            end
            return found, run.warnings[1]
        end
        assert.are.equal(line, select(2, told(resolve { "--mode", "train_eval", "--predict-file", job.train })))
        assert.are.equal(0, (told(resolve { "--mode", "train_eval" })))
        assert.are.equal(1, (told(resolve({}, { mode = "train", evaluate = { every = 1, predict_file = job.train } }))))
    end)

    it("uses the published data where none is named", function()
        local function downloads(...) return resolve({ "--mode", "train_eval", ... }).downloads end
        assert.are.same({}, downloads())
        assert.are.same({ "data/squad/v1.1/train-v1.1.json", "data/squad/v1.1/dev-v1.1.json" },
            downloads("--train-file", "none", "--predict-file", "none"))
        assert.are.same({ "data/squad/v2.0/train-v2.0.json", "x/dev-v2.0.json" }, downloads("--train-file", "none",
            "--predict-file", "x/dev-v2.0.json", "--version-2-with-negative"))
        assert.are.same({}, resolve({ "--mode", "train", "--predict-file", "none" }).downloads)
        refused("train%-file no%.json: no such file; leave out the option, or name it train%-v1%.1%.json",
            { "--train-file", "no.json" })
        refused("predict%-file no%.json: no such file;.* dev%-v2%.0%.json,",
            { "--mode", "train_eval", "--version-2-with-negative", "--predict-file", "no.json" })
    end)

    it("refuses settings that contradict each other", function()
        refused("holds no trained model: train first", { "--mode", "prediction" })
        refused("both set", { "--from-checkpoint", job.dir, "--from-pretrained-params", job.dir })
        refused("use%-pure%-fp16 needs a GPU", { "--use-pure-fp16", "--device", "cpu" })
        refused("benchmark measures one thing", { "--mode", "train_eval", "--benchmark" })
        refused("eval%-script no%.py: no such file", { "--eval-script", "no.py" })
        refused("custom requires %-%-vocab%-file", { "--vocab-file", "none" })
    end)

    it("takes config and vocabulary from beside the parameters of a custom model", function()
        local folder = job.dir .. "/pretrained"
        assert(fs.mkdirs(folder))
        assert(fs.copy(job.config, folder .. "/config.json"))
        assert(fs.copy(job.vocab, folder .. "/vocab.txt"))
        assert(fs.write(folder .. "/model.safetensors", ""))
        assert(fs.write(folder .. "/tokenizer_config.json", '{"do_lower_case": false}'))
        local run = resolve { "--config-file", "none", "--vocab-file", "none", "--from-pretrained-params", folder }
        assert.are.equal(folder .. "/config.json", run.config_file)
        assert.are.equal(folder .. "/vocab.txt", run.vocab_file)
        assert.is_false(run.do_lower_case)
        run = resolve { "--from-pretrained-params", folder, "--do-lower-case" }
        assert.are.equal(job.vocab, run.vocab_file)
        assert.is_true(run.do_lower_case)
    end)

    it("counts steps by epochs or max_steps, whichever is fewer", function()
        local warned
        local function steps(more, features)
            local words = { "--train-batch-size", "4", "--epochs", "2" }
            for _, word in ipairs(more) do words[#words + 1] = word end
            local all = { "--output-dir", job.out, "--bert-model", "custom", "--config-file", job.config,
                "--vocab-file", job.vocab, "--train-file", job.train }
            for _, word in ipairs(words) do all[#all + 1] = word end
            local values, sources = settings:parse(all, { mode = "train" })
            local run = plan.resolve(task, values, sources, 1)
            plan.set_steps(run, values, features)
            warned = run.warnings[#run.warnings]
            return run.max_steps, run.last_step, run.steps_per_epoch
        end
        assert.are.same({ 6, 6, 3 }, { steps({}, 9) })
        assert.are.same({ 6, 6, 3 }, { steps({ "--max-steps", "-1" }, 12) })
        assert.are.same({ 6, 6, 3 }, { steps({ "--max-steps", "none" }, 12) })
        assert.are.same({ 5, 5, 3 }, { steps({ "--max-steps", "5" }, 12) })
        assert.are.same({ 6, 6, 3 }, { steps({ "--max-steps", "100" }, 12) })
        assert.are.same({ 6, 2, 3 }, { steps({ "--steps-this-run", "2" }, 12) })
        assert.are.same({ 4, 4, 2 }, { steps({ "--gradient-merge-steps", "2" }, 12) })
        assert.has_error(function() steps({ "--max-steps", "0" }, 12) end)
        -- An update that takes more than an epoch makes more passes than --epochs says.
        assert.are.same({ 2, 2, 1 }, { steps({ "--gradient-merge-steps", "3" }, 12) })
        assert.is_nil(warned and warned:find "passes")
        assert.are.same({ 2, 2, 1 }, { steps({ "--gradient-merge-steps", "100" }, 90) })
        assert.are.equal("an update takes 400 sequences, and there are 90 to train on: this run makes 8.9 passes over "
            .. "the data in 2 updates, not the 2 of --epochs; give fewer --gradient-merge-steps or a smaller "
            .. "--train-batch-size, or more data", warned)
        steps({ "--max-steps", "1" }, 1)
        assert.are.equal("an update takes 4 sequences, and there is 1 to train on: this run makes 4.0 passes over the "
            .. "data in 1 update, not the 2 of --epochs; give a smaller --train-batch-size, or more data", warned)
    end)
end)
