--- Going on with pre-training through the real executable: texts as they are, figures, exact resume, several processes,
-- bad input.

local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local mlm = require "spec.support.mlm"
local mpi = require "spec.support.mpi"
local process = require "spec.support.process"
local storage = require "bertlua.storage"

describe("going on with pre-training", function()
    local job
    before_each(function() job = mlm.new() end)
    after_each(function() job:close() end)

    local function succeed(changes, prefix)
        local code, output = job:run(changes, prefix)
        assert.are.equal(0, code, output)
        return (output:gsub("\n%s+", " "))
    end

    local function refused(...) job:refused(...) end

    local function figures(folder)
        return assert(json.read((folder or job.out) .. "/eval.json"))
    end

    local function same_files(...) job.same_files(...) end

    it("learns from a folder of texts, measures what is held out, and leaves a BertForMaskedLM", function()
        job:write_config { hidden_size = 32, intermediate_size = 64, hidden_dropout_prob = 0,
            attention_probs_dropout_prob = 0 }
        local folder = job.dir .. "/texts"
        assert(fs.mkdirs(folder))
        for i = 1, 3 do assert(fs.write(("%s/%d.txt"):format(folder, i), mlm.texts(60, i))) end
        local output = succeed { ["train-file"] = folder, border = "blank", epochs = 30, ["test-file"] = job.dev,
            ["log-freq"] = 100, ["masked-lm-prob"] = 0.2, ["learning-rate"] = 5e-3 }
        assert.matches("texts: %d+ tokens to train on, %d+ full sequences", output)
        assert.matches("%d+ tokens held out as documents %(dev_share 0.05%), %d+ full sequences", output)
        local found = figures()
        -- Guessing one of 34 words costs 3.5; the rest of a sentence says what is missing.
        assert.is_true(found.dev.mlm_loss < 1.5, "dev " .. found.dev.mlm_loss)
        assert.is_true(found.test.mlm_accuracy > 0.6 and found.test.pseudo_perplexity < 3)
        assert.are.equal(math.exp(found.test.mlm_loss), found.test.perplexity)
        assert.are.equal(5, found.test.pseudo_perplexity_of.sentences)
        assert.matches("result%s+test: MLM loss %d", output)
        local config = assert(json.read(job.out .. "/model/config.json"))
        assert.are.same({ "BertForMaskedLM" }, config.architectures)
        local file = assert(storage.open(job.out .. "/model/model.safetensors"))
        assert.is_truthy(file:info "cls.predictions.transform.dense.weight")
        assert.is_nil(file:info "bert.pooler.dense.weight")
        file:close()
        -- The model measures texts alone, with the same figures, whatever it was trained with.
        local before = found.test
        output = succeed { ["train-file"] = false, ["test-file"] = job.dev, ["whole-word-masking"] = "true" }
        assert.is_nil(output:find("to train on", 1, true))
        assert.are.same(before, figures().test)
        -- It goes on from that model with next sentences: their head is new, which is told.
        output = succeed { ["from-pretrained-params"] = job.out .. "/model", ["output-dir"] = job.dir .. "/pairs",
            ["train-file"] = folder, ["next-sentence"] = "true", border = "blank", epochs = 1 }
        assert.matches("lacks .*cls.seq_relationship.weight.*newly initialized", output)
        assert.matches("to train on, %d+ pairs", output)
        assert.is_true(figures(job.dir .. "/pairs").dev.nsp_accuracy >= 0)
        assert.is_nil(output:find("the accuracy of NSP says nothing", 1, true))
        config = assert(json.read(job.dir .. "/pairs/model/config.json"))
        assert.are.same({ "BertForPreTraining" }, config.architectures)
    end)

    it("reports what is held out under names that no step of the training has", function()
        succeed { epochs = 1, ["log-freq"] = 1, ["pseudo-perplexity"] = 0, ["test-file"] = job.dev }
        local of_steps, held, summary, last = {}, {}, nil, 0
        for line in io.lines(job.dir .. "/report.json") do
            local record = json.decode(line:match "^DLLL (.*)$")
            if record.type == "LOG" and type(record.step) == "number" then
                last = record.step
                local into = record.data.learning_rate and of_steps or held
                for name, value in pairs(record.data) do into[name] = value end
            elseif record.type == "LOG" and type(record.step) == "table" then
                summary = record.data
            end
        end
        local test = figures().test
        assert.is_true(last > 1)
        assert.are.equal(test.mlm_loss, held.test_mlm_loss)
        assert.are.equal(test.sequences, held.test_sequences)
        for name in pairs(held) do assert.is_nil(of_steps[name], name) end
        -- The summary has both, apart.
        assert.are.equal(test.loss, summary.test_loss)
        assert.is_true(summary.loss ~= nil and summary.loss ~= test.loss)
        assert.is_nil(summary.mlm_loss)
    end)

    it("resumes exactly where a killed run left off", function()
        local function changes(name)
            return { epochs = 8, ["num-steps-per-checkpoint"] = 6, ["output-dir"] = job.dir .. "/" .. name,
                ["report-file"] = job.dir .. "/" .. name .. ".json", ["whole-word-masking"] = "true" }
        end
        succeed(changes "straight")
        local steps = {}
        for _, name in ipairs(assert(fs.list(job.dir .. "/straight/checkpoints"))) do
            if tonumber(name) then steps[#steps + 1] = tonumber(name) end
        end
        table.sort(steps)
        local last = steps[#steps]
        assert.is_true(last > 12)
        local killed = job.dir .. "/killed/checkpoints"
        process.interrupt(job:command(changes "killed"), killed .. "/12", "KILL")
        -- In case the process was faster than the signal: remove what came after.
        for step = 13, last do
            if fs.exists(killed .. "/" .. step) then assert(fs.remove(killed .. "/" .. step)) end
        end
        assert.matches("resuming from " .. killed .. "/12", succeed(changes "killed"), 1, true)
        same_files(job.dir .. "/straight", job.dir .. "/killed", { "checkpoints/" .. last .. "/model.safetensors",
            "checkpoints/" .. last .. "/optimizer.safetensors", "model/model.safetensors", "eval.json" })
        -- Other texts are told.
        assert(fs.write(job.train, fs.read(job.train) .. "\nW6 w7 w8 w9\n"))
        assert.matches("warning: train_file was .* and is ", succeed(changes "killed"))
    end)

    it("evaluates while it trains, on what is held out or on other texts, and keeps the best", function()
        local recipe = job.dir .. "/recipe.lua"
        assert(fs.write(recipe, [[
require("bertlua.recipe").run("mlm", { optimizer = "AdamW", epochs = 1, last_step_of_checkpoint = "auto",
    evaluate = { every = 5, keep = "best" } })
]]))
        local function run(more)
            local changes = { epochs = 1, ["pseudo-perplexity"] = 0 }
            for name, value in pairs(more or {}) do changes[name] = value end
            local output, code = process.run((job:command(changes):gsub("recipes/pretrain_continue.lua", recipe))
                .. " 2>&1")
            assert.are.equal(0, code, output)
            return output
        end
        local output = run()
        assert.matches("evaluation 5: mlm_loss %d.%d+ %(best so far%), loss %d.%d+, mlm_accuracy", output)
        assert.matches("best%s+%S*checkpoints/%d+ %(mlm_loss", output)
        assert.is_nil(figures().dev.pseudo_perplexity)
        -- Checkpoints record what is measured on.
        local other = { ["output-dir"] = job.dir .. "/other", ["dev-file"] = job.dev }
        assert.matches("evaluation 5: mlm_loss", run(other))
        assert(fs.write(job.dev, fs.read(job.dev) .. "\nW6 w7.\n"))
        assert.matches("warning: evaluate was .* and is ", (run(other):gsub("\n%s+", " ")))
    end)

    mpi.specs(it, pending)("trains alike on several processes", function()
        local most = { ["gradient-merge-steps"] = 2, ["max-steps"] = 6, device = "cpu" }
        local function with(more)
            for name, value in pairs(most) do more[name] = value end
            return more
        end
        succeed(with { ["output-dir"] = job.dir .. "/one" })
        local command = job:command(with { ["output-dir"] = job.dir .. "/two", ["world-size"] = 1 })
        local output, code = mpi.run(2, (command:gsub("^%S+ ", "")))
        assert.are.equal(0, code, output)
        local one, two = job.dir .. "/one", job.dir .. "/two"
        local distance = require("spec.support.checkpoints").distance(one .. "/model", two .. "/model",
            "model.safetensors", function(name) return name:find "%.key%.bias$" ~= nil end)
        assert.is_true(distance < 1e-4, "distance " .. distance)
        assert.is_true(math.abs(figures(one).dev.mlm_loss - figures(two).dev.mlm_loss) < 1e-4)
    end)

    it("runs several times, and compares what is held out", function()
        local changes = { seeds = "1,2", epochs = 1, ["train-file"] = job.dir .. "/tr*.txt",
            ["tensorboard-dir"] = "none" }
        succeed(changes)
        local found = figures()
        local a, b = found.runs[1].dev.mlm_loss, found.runs[2].dev.mlm_loss
        assert.is_true(a ~= b and math.abs(found.mean.dev.mlm_loss - (a + b) / 2) < 1e-9)
        -- Held out is the same whatever the seed.
        assert.are.equal(found.runs[1].dev.tokens, found.runs[2].dev.tokens)
        assert(fs.write(job.train, fs.read(job.train) .. "\nW6 w7.\n"))
        refused("seed%-1 was trained with another train_file", changes)
        refused("%-%-folds: the files of task mlm can't be divided", { folds = 2 })
    end)

    it("tells what little or foreign text comes to", function()
        assert(fs.write(job.dir .. "/few.txt", "W6 w7 w8 w9\nнет таких слов\n"))
        assert(fs.write(job.dir .. "/none.txt", "\n"))
        local output = succeed { ["train-file"] = job.dir .. "/few.txt," .. job.dir .. "/none.txt", epochs = 1,
            ["dev-share"] = 0, ["text-field"] = "body" }
        assert.matches("43 %% of the tokens are %[UNK%]: the vocabulary does not fit the text", output)
        assert.matches("1 of 2 files has no text", output)
        assert.matches("an update takes 8 sequences, and there is 1 to train on: this run makes 8.0 passes", output)
        assert.matches("nothing is held out %(dev_share 0%)", output)
        assert.matches("text_field is ignored", output)
        assert.is_false(fs.exists(job.out .. "/eval.json"))
        assert.is_true(fs.exists(job.out .. "/model/model.safetensors"))
        assert(fs.write(job.dir .. "/other.txt", "совсем другое\n"))
        output = succeed { ["dev-file"] = job.dir .. "/other.txt", ["next-sentence"] = "true", epochs = 1,
            ["output-dir"] = job.dir .. "/pairs" }
        assert.matches("held%-out text of 1 document: none of its 1 pair has a random next sentence", output)
        assert.matches("warning: %S*other.txt: 100 %% of the tokens are %[UNK%]", output)
    end)

    it("warns where held-out texts are among those to train on", function()
        local folder = job.dir .. "/both"
        assert(fs.mkdirs(folder))
        for i = 1, 2 do assert(fs.write(("%s/%d.txt"):format(folder, i), mlm.texts(60, i))) end
        assert.matches(("warning: --test-file %s: 2 of its 2 files are also trained on: "):format(folder),
            succeed { ["train-file"] = folder, ["test-file"] = folder, ["max-steps"] = 1 }, 1, true)
        local recipe = job.dir .. "/evaluated.lua"
        assert(fs.write(recipe, ('require("bertlua.recipe").run("mlm", { evaluate = { every = 1, dev_file = %q } })')
            :format(folder .. "/2.txt")))
        local code, output = job.shell((job:command { ["train-file"] = folder, ["max-steps"] = 1, ["output-dir"] =
            job.dir .. "/own" }:gsub("recipes/pretrain_continue.lua", recipe)))
        assert.are.equal(0, code, output)
        assert.matches(("warning: evaluate: dev_file %s/2.txt: this file is also trained on: "):format(folder),
            (output:gsub("\n%s+", " ")), 1, true)
    end)

    it("refuses what cannot be, in one line", function()
        refused("nothing to do: give a %-%-train%-file", { ["train-file"] = false })
        refused("%-%-train%-file no%.txt: no such file or folder", { ["train-file"] = "no.txt" })
        refused("%-%-dev%-file and %-%-dev%-share are both set", { ["dev-file"] = job.dev, ["dev-share"] = 0.1 })
        refused("holds no trained model: train first", { ["train-file"] = false, ["dev-file"] = job.dev })
        refused("%-%-max%-predictions%-per%-seq 25 is more than", { ["max-predictions-per-seq"] = 25 })
        assert(fs.write(job.dir .. "/blank.txt", "\n\n"))
        refused("blank%.txt: no text in 1 file", { ["train-file"] = job.dir .. "/blank.txt" })
        -- What is missing is told first, before anything is read.
        refused("%-%-dev%-file no%.txt: no such file or folder", { ["train-file"] = job.dir .. "/blank.txt",
            ["dev-file"] = "no.txt" })
        assert(fs.write(job.dir .. "/one.txt", "w6 w7\n"))
        refused("one%.txt: a single sentence, of which no share can be held out", { ["train-file"] = job.dir
            .. "/one.txt" })
        refused("train%.txt: a single document, of which no share can be held out", { border = "none",
            ["next-sentence"] = "true" })
        assert(fs.write(job.dir .. "/small.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nw6\n"))
        refused("small%.txt has 6 tokens, but .* has vocab_size 40", { ["vocab-file"] = job.dir .. "/small.txt" })
    end)
end)
