--- finetune_classify.lua for numbers, several labels and weighted labels, through the real executable.

local classify = require "spec.support.classify"
local fs = require "bertlua.util.fs"
local job_class = require "spec.support.job"
local json = require "bertlua.util.json"

describe("finetune_classify.lua", function()
    local job
    before_each(function() job = classify.new { texts = 24 } end)
    after_each(function() job:close() end)

    local function succeed(changes)
        local code, output = job:run(changes)
        assert.are.equal(0, code, output)
        return output
    end

    local function predictions(folder)
        local list = {}
        for line in io.lines(folder .. "/predictions.jsonl") do list[#list + 1] = json.decode(line) end
        return list
    end

    it("fits numbers, chooses by their error, and resumes exactly", function()
        for _, path in ipairs { job.train, job.dev } do
            assert(fs.write(path, (fs.read(path):gsub("label (%d)", "%1.5"))))
        end
        local recipe = job.dir .. "/evaluated.lua"
        assert(fs.write(recipe, 'require("bertlua.recipe").run("classify", { optimizer = "AdamW", '
            .. 'last_step_of_checkpoint = "auto", evaluate = { every = 6, keep = "best" } }, "Numbers.")'))
        local function fit(name, more)
            local options = { ["output-dir"] = job.dir .. "/" .. name, epochs = 8, ["num-steps-per-checkpoint"] = 5,
                ["learning-rate"] = 1e-3 }
            for key, value in pairs(more or {}) do options[key] = value end
            local code, output = job_class.shell((job:command(options):gsub("recipes/finetune_classify%.lua", recipe)))
            assert.are.equal(0, code, output)
            return output
        end
        local output = fit "straight"
        assert.matches("train.csv: 24 texts of up to %d+ tokens, numbers from 0.5 to 2.5", output)
        assert.matches("%(mse %d+%.%d+ at step %d+%)", output)
        assert.matches("result +dev: Pearson %-?%d%.%d+, Spearman %-?%d%.%d+, mean squared error", output)
        fit("stopped", { ["steps-this-run"] = 7 })
        output = fit "stopped"
        assert.matches("resuming from .*/7\n", output)
        assert.is_nil(output:find("looked for anew", 1, true))
        local straight, stopped = job.dir .. "/straight", job.dir .. "/stopped"
        for _, name in ipairs { "/checkpoints/24/model.safetensors", "/model/model.safetensors", "/eval.json" } do
            assert.is_true(fs.read(straight .. name) == fs.read(stopped .. name), name)
        end
        local config = assert(json.read(straight .. "/model/config.json"))
        assert.are.same({ "regression", { ["0"] = "LABEL_0" } }, { config.problem_type, config.id2label })
        local metrics = json.read(straight .. "/eval.json").dev
        for _, name in ipairs { "pearson", "spearman", "mse", "mae" } do assert.is_number(metrics[name], name) end
        local list = predictions(straight)
        assert.are.equal(20, #list)
        assert.is_number(list[1].value)
        assert.is_nil(list[1].label)
        -- The model says what it gives, so numbers without a fraction are numbers, too.
        assert(fs.write(job.dir .. "/whole.csv", "text,label\nw7,1\nw8,2\n"))
        output = succeed { ["train-file"] = false, ["dev-file"] = false, ["output-dir"] = straight,
            ["test-file"] = job.dir .. "/whole.csv" }
        assert.matches("whole.csv: 2 texts of up to %d+ tokens, numbers from 1 to 2", output)
        local code
        code, output = job:run { ["train-file"] = false, ["output-dir"] = straight,
            ["problem-type"] = "single_label_classification" }
        assert.are.equal(1, code)
        assert.matches("%-%-problem%-type single_label_classification, but the model in .* is one of regression",
            output)
    end)

    it("gives any number of labels a text", function()
        local lines, rows = {}, { "text\tlabel" }
        for i = 1, 96 do
            local label, words = {}, { "w40", "w" .. 41 + i % 7 }
            for k = 1, 3 do
                if math.floor(i / 2 ^ k) % 2 == 1 then
                    label[#label + 1], words[#words + 1] = "topic " .. k, "w" .. 10 * k
                end
            end
            lines[i] = json.encode { text = table.concat(words, " "), label = json.array(label) }
            rows[i + 1] = table.concat(words, " ") .. "\t" .. table.concat(label, "|")
        end
        assert(fs.write(job.dir .. "/several.jsonl", table.concat(lines, "\n")))
        assert(fs.write(job.dir .. "/several.tsv", table.concat(rows, "\n")))
        local file = job.dir .. "/several.jsonl"
        local output = succeed { ["train-file"] = file, ["dev-file"] = file, epochs = 40, ["learning-rate"] = 5e-3,
            ["log-freq"] = 500 }
        assert.matches("several.jsonl: 96 texts of up to %d+ tokens, 3 labels, 1%.%d a text", output)
        assert.matches("result +dev: micro F1 %d+%.%d%d %%, macro F1 %d+%.%d%d %%, all labels right", output)
        local metrics = json.read(job.out .. "/eval.json").dev
        assert.is_true(metrics.micro_f1 > 0.75, tostring(metrics.micro_f1))
        assert.are.equal("multi_label_classification", json.read(job.out .. "/model/config.json").problem_type)
        local before = fs.read(job.out .. "/predictions.jsonl")
        succeed { ["train-file"] = false, ["dev-file"] = job.dir .. "/several.tsv", ["label-separator"] = "|" }
        assert.are.same(metrics, json.read(job.out .. "/eval.json").dev)
        assert.are.equal(before, fs.read(job.out .. "/predictions.jsonl"))
    end)

    it("weights labels, and begins the head of other labels anew", function()
        succeed { epochs = 1, ["dev-file"] = false }
        local two = job.dir .. "/two.csv"
        assert(fs.write(two, "text,label\nw7 w20,yes\nw8 w21,no\nw9,no\nw7,no\n"))
        local function weighted(weights)
            local out = job.dir .. "/" .. (weights or "alike")
            local output = succeed { ["train-file"] = two, ["dev-file"] = false, ["output-dir"] = out, epochs = 4,
                ["from-pretrained-params"] = job.out .. "/model", ["class-weights"] = weights or false }
            return output, fs.read(out .. "/model/model.safetensors")
        end
        local output, balanced = weighted "balanced"
        assert.matches("weights of the labels: no 0.667, yes 2", output, 1, true)
        assert.matches("warning: .*/model: its head scores 3 labels, and this run has 2: the head is newly initialized",
            output)
        assert.is_nil(output:find("lacks", 1, true), output)
        assert.matches('warning: .*two.csv:2: no other text has the label "yes"', output)
        assert.matches("note +neither %-%-dev%-file nor %-%-test%-file: there will be no figures of this model", output)
        local _, alike = weighted()
        local _, ones = weighted "no=1,yes=1"
        assert.is_true(balanced ~= alike)
        assert.are.equal(#alike, #ones)
    end)

    it("takes lists of labels from a recipe's data", function()
        local recipe = job.dir .. "/lists.lua"
        assert(fs.write(recipe, [[require("bertlua.recipe").run("classify", { data = function()
            return { { text = "w7 w8", label = { "a", "b" } }, { text = "w9", label = {} },
                { text = "w7", label = "b" } }
        end }, "Lists.")]]))
        local code, output = job_class.shell((job:command { ["train-file"] = false, ["dev-file"] = false, epochs = 1 }
            :gsub("recipes/finetune_classify%.lua", recipe)))
        assert.are.equal(0, code, output)
        assert.matches("data: 3 texts of up to 4 tokens, 2 labels, 1.0 a text", output, 1, true)
    end)

    it("refuses a metric that its labels do not have", function()
        local recipe = job.dir .. "/evaluated.lua"
        assert(fs.write(recipe, 'require("bertlua.recipe").run("classify", { '
            .. 'evaluate = { every = 6, metric = "pearson" } }, "Numbers.")'))
        local code, output = job_class.shell((job:command():gsub("recipes/finetune_classify%.lua", recipe)))
        assert.are.equal(1, code)
        assert.matches("bertlua: evaluate: metric pearson is none of single_label_classification: choose one of "
            .. "accuracy, macro_f1, matthews, micro_f1\n$", output)
    end)
end)
