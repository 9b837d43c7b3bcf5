--- Classification through the real executable: data, labels, exact resume, several processes, files, benchmark.

local classify = require "spec.support.classify"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local mpi = require "spec.support.mpi"
local process = require "spec.support.process"

describe("fine-tuning on classification", function()
    local job
    before_each(function() job = classify.new() end)
    after_each(function() job:close() end)

    local function succeed(...) return job:succeed(...) end

    local function refused(...) job:refused(...) end

    local function same_files(...) job.same_files(...) end

    it("learns, evaluates, predicts, and leaves a model that transformers opens", function()
        job:close()
        job = classify.new { texts = 320 }
        local output = succeed { epochs = 8, ["learning-rate"] = 5e-3, ["log-freq"] = 200 }
        local folder = job.out
        local metrics = assert(json.read(folder .. "/eval.json")).dev
        assert.are.equal(1, metrics.accuracy)
        assert.are.equal(1, metrics.macro_f1)
        assert.matches("result     dev: accuracy 100.00 %, macro F1 100.00 %", output, 1, true)
        local config = assert(json.read(folder .. "/model/config.json"))
        assert.are.same({ "BertForSequenceClassification" }, config.architectures)
        assert.are.same({ ["0"] = "label 0", ["1"] = "label 1", ["2"] = "label 2" }, config.id2label)
        assert.are.same({ ["label 0"] = 0, ["label 1"] = 1, ["label 2"] = 2 }, config.label2id)
        local first = json.decode(assert(fs.read(folder .. "/predictions.jsonl")):match "^[^\n]*")
        assert.matches("^label %d$", first.label)
        assert.is_true(first.score > 0.5 and first.score <= 1)

        -- The trained model on other texts.
        assert(fs.write(job.dir .. "/more.jsonl",
            '{"text": "w7 w20 w21", "label": "label 0"}\n\n{"text": "w8 w20", "label": "label 2"}\n'))
        output = succeed { ["train-file"] = false, ["test-file"] = job.dir .. "/more.jsonl" }
        assert.matches("prediction 2 sequences", output)
        local figures = assert(json.read(folder .. "/eval.json"))
        assert.are.equal(1, figures.dev.accuracy)
        assert.are.equal(0.5, figures.test.accuracy)
        local labels = {}
        for line in assert(fs.read(folder .. "/predictions.jsonl")):gmatch "[^\n]+" do
            labels[#labels + 1] = json.decode(line).label
        end
        assert.are.same({ "label 1", "label 2" }, labels)
    end)

    it("leaves its report in its own folder; a benchmark leaves none unless it is told where", function()
        local output = succeed { ["report-file"] = false, ["max-steps"] = 2 }
        local report = job.out .. "/report.json"
        assert.matches("\nreport +" .. report:gsub("%p", "%%%0") .. "\n", output)
        local text = assert(fs.read(report))
        assert.matches('"step":"PARAMETER"', text, 1, true)
        local measured = { benchmark = "true", ["dev-file"] = false, ["benchmark-steps"] = 2,
            ["benchmark-warmup-steps"] = 1, ["report-file"] = false }
        assert.is_nil(succeed(measured):find "report")
        assert.are.equal(text, fs.read(report))
        measured["report-file"] = job.dir .. "/measured.json"
        assert.matches("\nreport +" .. measured["report-file"]:gsub("%p", "%%%0") .. "\n", succeed(measured))
        assert.matches('"sequences_per_second":', fs.read(measured["report-file"]), 1, true)
    end)

    it("resumes exactly where a killed run left off", function()
        local function changes(name, more)
            local all = { epochs = 8, ["num-steps-per-checkpoint"] = 6, ["output-dir"] = job.dir .. "/" .. name,
                ["report-file"] = job.dir .. "/" .. name .. ".json" }
            for key, value in pairs(more or {}) do all[key] = value end
            return all
        end
        succeed(changes "straight")
        local killed = job.dir .. "/killed/checkpoints"
        process.interrupt(job:command(changes "killed"), killed .. "/18", "KILL")
        -- In case the process was faster than the signal: remove what came after.
        for _, step in ipairs { 48, 42, 36, 30, 24 } do
            if fs.exists(killed .. "/" .. step) then assert(fs.remove(killed .. "/" .. step)) end
        end
        local output = succeed(changes "killed")
        assert.matches("resuming from " .. killed .. "/18", output, 1, true)
        local straight = job.dir .. "/straight/checkpoints"
        same_files(straight .. "/48", killed .. "/48", { "model.safetensors", "optimizer.safetensors", "config.json",
            "progress.json" })
        same_files(job.dir .. "/straight", job.dir .. "/killed", { "model/model.safetensors", "predictions.jsonl",
            "eval.json" })
        output = succeed(changes("killed", { ["label-column"] = "label", seed = 7, epochs = 9 }))
        assert.matches("warning: seed was 42 in .- and is 7 now: the run will differ", output)
    end)

    it("goes on with the vocabulary of a checkpoint after that has made room for later ones", function()
        succeed { ["max-steps"] = 1 }
        local function changes(more)
            local all = { ["bert-model"] = "custom", ["from-pretrained-params"] = job.out .. "/model",
                ["config-file"] = false, ["vocab-file"] = false, ["output-dir"] = job.dir .. "/second",
                ["max-steps"] = 6, ["num-steps-per-checkpoint"] = 1 }
            for key, value in pairs(more or {}) do all[key] = value end
            return all
        end
        local words = fs.read(job.out .. "/model/vocab.txt")
        succeed(changes { ["steps-this-run"] = 1 })
        assert.matches("resuming from [^\n]*/second/checkpoints/1\n", succeed(changes()))
        assert.is_false(fs.exists(job.dir .. "/second/checkpoints/1"))
        for _, folder in ipairs { "checkpoints/6", "model" } do
            assert.are.equal(words, fs.read(("%s/second/%s/vocab.txt"):format(job.dir, folder)))
        end
    end)

    mpi.specs(it, pending)("trains alike on several processes", function()
        succeed { ["output-dir"] = job.dir .. "/one", ["gradient-merge-steps"] = 2, ["max-steps"] = 6, device = "cpu" }
        local command = job:command { ["output-dir"] = job.dir .. "/two", ["gradient-merge-steps"] = 2,
            ["world-size"] = 1, ["max-steps"] = 6, device = "cpu" }
        local output, code = mpi.run(2, (command:gsub("^%S+ ", "")))
        assert.are.equal(0, code, output)
        local one, two = job.dir .. "/one", job.dir .. "/two"
        local distance = require("spec.support.checkpoints").distance(one .. "/model", two .. "/model",
            "model.safetensors", function(name) return name:find "%.key%.bias$" ~= nil end)
        assert.is_true(distance < 1e-4, "distance " .. distance)
        same_files(one, two, { "eval.json" })
    end)

    it("measures training and inference without writing anything", function()
        local output = succeed { ["dev-file"] = false, benchmark = "true", ["benchmark-steps"] = 3,
            ["benchmark-warmup-steps"] = 1 }
        assert.matches("Benchmark: 3 steps after 1 of warm%-up; 8 sequences per step", output)
        output = succeed { ["train-file"] = false, benchmark = "true", ["benchmark-steps"] = 3,
            ["benchmark-warmup-steps"] = 1, ["predict-batch-size"] = 5 }
        assert.matches("Benchmark of inference: 3 batches of 5 sequences after 1", output)
        assert.is_false(fs.exists(job.out))
    end)

    it("reads pairs and TSV, and says what it truncates", function()
        assert(fs.write(job.dir .. "/pairs.tsv",
            'a\tb\tc\nw7 "w8\tw9 w10\t1\n' .. ("w11 "):rep(20) .. "\tw12\t0\n"))
        local output = succeed { ["train-file"] = job.dir .. "/pairs.tsv", ["dev-file"] = false, ["text-column"] = "a",
            ["pair-column"] = "b", ["label-column"] = "c", epochs = 1 }
        assert.matches("pairs.tsv: 2 texts of up to 16 tokens, 2 labels", output)
        assert.matches("warning: .*pairs.tsv: max_seq_length 16 cuts off the end of 1 of 2 texts",
            output)
    end)

    it("tells where a model of pairs is measured on single texts, and refuses other labels in a used folder", function()
        local rows = { "text,pair,label" }
        for i = 1, 16 do rows[i + 1] = ("w%d w9,w%d,%s"):format(5 + i % 5, 10 + i, i % 2 == 0 and "a" or "b") end
        assert(fs.write(job.train, table.concat(rows, "\n") .. "\n"))
        succeed { ["dev-file"] = false, ["pair-column"] = "pair", ["max-steps"] = 1 }
        local output = succeed { ["train-file"] = false, ["dev-file"] = job.train }
        assert.matches("was trained on pairs (pair_column pair), and is measured on single texts",
            (output:gsub("\n%s*", " ")), 1, true)
        assert(fs.write(job.train, "text,label\nw7,c\nw8,a\n"))
        refused('label "c" is not one of the 2 that the run in .*/1 began with', { ["dev-file"] = false,
            ["max-steps"] = 1 })
    end)

    it("warns where it is measured on what it is trained on, also as a copy or in a recipe's table", function()
        local seen = "warning: %s: this file is also trained on: figures for texts that a model has seen"
        assert(fs.write(job.dir .. "/copy.csv", fs.read(job.train)))
        local recipe = job.dir .. "/evaluated.lua"
        assert(fs.write(recipe, ('require("bertlua.recipe").run("classify", { evaluate = { every = 1, '
            .. 'dev_file = %q } })'):format(job.train)))
        for _, case in ipairs {
            { "--dev-file " .. job.train, { ["dev-file"] = job.train } },
            { ("--test-file %s/copy.csv"):format(job.dir), { ["test-file"] = job.dir .. "/copy.csv" } },
            { "evaluate: dev_file " .. job.train, {}, recipe },
        } do
            local changes = { ["max-steps"] = 1, ["output-dir"] = job.dir .. "/leaks" }
            for name, value in pairs(case[2]) do changes[name] = value end
            local command = job:command(changes):gsub("recipes/finetune_classify.lua", case[3] or "%0")
            local code, output = job.shell(command)
            assert.are.equal(0, code, output)
            output = output:gsub("\n%s+", " ")
            assert.matches(seen:format(case[1]), output, 1, true)
            assert.are.equal(1, select(2, output:gsub("also trained on", "")), output)
            assert(fs.remove(job.dir .. "/leaks"))
        end
        local output = succeed { ["max-steps"] = 1 }
        assert.is_nil(output:find("also trained on", 1, true))
    end)

    it("refuses what does not fit, in one line", function()
        refused("nothing to do: give a %-%-train%-file", { ["train-file"] = false, ["dev-file"] = false })
        -- Nobody means to train the default, BERT-large, from random parameters.
        refused("%-%-from%-pretrained%-params is not set: name the model to start from %(with %-%-bert%-model custom, "
            .. "unless it is bert%-large%-uncased%); %-%-bert%-model NAME alone trains from random parameters\n$",
            { ["bert-model"] = false, ["config-file"] = false, ["vocab-file"] = false })
        assert.is_false(fs.exists(job.out))
        assert.matches("warning: no %-%-from%-pretrained%-params: training starts from random parameters",
            succeed { epochs = 1, ["output-dir"] = job.dir .. "/random" })
        refused("%-%-dev%-file no%.csv: no such file", { ["dev-file"] = "no.csv" })
        refused("%-%-pair%-column and %-%-text%-column are both text", { ["pair-column"] = "text" })
        refused("%-%-label%-column and %-%-text%-column are both text: the label is in another column",
            { ["label-column"] = "text" })
        refused("%-%-label%-column and %-%-pair%-column are both label: ", { ["pair-column"] = "label" })
        refused('train%.csv:1: no column "kind"; the header has "text", "label", "weight"',
            { ["label-column"] = "kind" })
        refused('all texts have the label "1", expected at least two', { ["label-column"] = "weight" })
        refused("holds no trained model: train first", { ["train-file"] = false })
        assert(fs.write(job.dir .. "/other.csv", "text,label\nw7,label 9\n"))
        assert(fs.write(job.dir .. "/empty.csv", 'text,label\nw7,a\nw8,""\n'))
        refused("empty%.csv:3: the label is empty", { ["train-file"] = job.dir .. "/empty.csv" })
        refused('other%.csv:2: label "label 9" is not one of the model\'s 3',
            { ["dev-file"] = job.dir .. "/other.csv" })
        refused("max%-seq%-length 64, but .* max_position_embeddings 16", { ["max-seq-length"] = 64 })
    end)
end)
