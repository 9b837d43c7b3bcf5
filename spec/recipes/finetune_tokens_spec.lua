--- The tagging of words through the real executable: data, figures, exact resume, several processes, bad input.

local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local mpi = require "spec.support.mpi"
local process = require "spec.support.process"
local tokens = require "spec.support.tokens"

describe("fine-tuning on the tagging of words", function()
    local job
    before_each(function() job = tokens.new() end)
    after_each(function() job:close() end)

    local function succeed(...) return job:succeed(...) end

    local function refused(...) job:refused(...) end

    local function same_files(...) job.same_files(...) end

    it("learns, evaluates, predicts, and leaves a model that transformers opens", function()
        job:close()
        job = tokens.new { sentences = 640 }
        local output = succeed { epochs = 14, ["learning-rate"] = 5e-3, ["log-freq"] = 200 }
        assert.matches("dev%.conll: 20 sentences of %d+ words, up to %d+ tokens, 5 tags, entities in IOB2", output)
        local figures = assert(json.read(job.out .. "/eval.json")).dev
        assert.are.equal(1, figures.f1)
        assert.are.equal(1, figures.types.PER.recall)
        assert.is_true(figures.types.LOC.support > 0)
        assert.matches("result     dev: F1 100.00 %", output, 1, true)
        local config = assert(json.read(job.out .. "/model/config.json"))
        assert.are.same({ "BertForTokenClassification" }, config.architectures)
        assert.are.equal("O", config.id2label["4"])
        local first = json.decode(assert(fs.read(job.out .. "/predictions.jsonl")):match "^[^\n]*")
        assert.are.equal(#first.words, #first.tags)
        assert.are.equal(#first.words, #first.scores)
        -- The trained model on another file, whose sentence is longer than a window.
        local words = {}
        for i = 1, 12 do words[i] = '"w20", "w6", "w8"' end
        local list = table.concat(words, ", ")
        assert(fs.write(job.dir .. "/more.jsonl", ('{"words": [%s], "tags": [%s]}\n'):format(list,
            list:gsub("w20", "O"):gsub("w6", "B-PER"):gsub("w8", "I-PER"))))
        output = succeed { ["train-file"] = false, ["dev-file"] = false, ["test-file"] = job.dir .. "/more.jsonl" }
        assert.matches("1 sentence of 36 words.*1 in several windows", output)
        assert.are.equal(12, json.read(job.out .. "/eval.json").test.types.PER.support)
        assert.are.equal(1, json.read(job.out .. "/eval.json").test.f1)
    end)

    it("counts single tags where they are no spans", function()
        for _, path in ipairs { job.train, job.dev } do
            assert(fs.write(path, (fs.read(path):gsub("[BI]%-", "X"):gsub("\tO", "\tN"))))
        end
        local output = succeed { epochs = 1 }
        assert.matches("result     dev: accuracy [%d.]+ %%, macro F1", output)
        assert.is_nil(json.read(job.out .. "/eval.json").dev.precision)
    end)

    it("resumes exactly where a killed run left off", function()
        local function changes(name)
            return { epochs = 4, ["num-steps-per-checkpoint"] = 6, ["output-dir"] = job.dir .. "/" .. name,
                ["report-file"] = job.dir .. "/" .. name .. ".json" }
        end
        succeed(changes "straight")
        local killed = job.dir .. "/killed/checkpoints"
        process.interrupt(job:command(changes "killed"), killed .. "/12", "KILL")
        -- In case the process was faster than the signal: remove what came after.
        for _, step in ipairs { 32, 30, 24, 18 } do
            if fs.exists(killed .. "/" .. step) then assert(fs.remove(killed .. "/" .. step)) end
        end
        assert.matches("resuming from " .. killed .. "/12", succeed(changes "killed"), 1, true)
        same_files(job.dir .. "/straight", job.dir .. "/killed", { "checkpoints/32/model.safetensors",
            "checkpoints/32/optimizer.safetensors", "model/model.safetensors", "predictions.jsonl", "eval.json" })
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
    end)

    it("tells tags that contradict the others, and uses them as they are", function()
        assert(fs.write(job.train, fs.read(job.train) .. "\nw20\tO\nw8\tI-PER\n"))
        local output = succeed { epochs = 1 }
        assert.matches("warning: .*train%.conll:%d+: word 2 of the sentence that begins there is tagged I%-PER, which "
            .. "contradicts the IOB2", (output:gsub("\n%s*", " ")))
    end)

    it("refuses what does not fit, in one line", function()
        refused("nothing to do: give a %-%-train%-file", { ["train-file"] = false, ["dev-file"] = false })
        refused("%-%-dev%-file no%.conll: no such file", { ["dev-file"] = "no.conll" })
        refused("holds no trained model: train first", { ["train-file"] = false })
        refused("%-%-doc%-stride 15, but a window has room for 14 tokens", { ["doc-stride"] = 15 })
        assert(fs.write(job.dir .. "/other.conll", "w7\tB-PER\nw8\tI-ORG\n"))
        refused('other%.conll:1: tag "I%-ORG", of word 2 of the sentence that begins there, is not one of the '
            .. "model's 5", { ["dev-file"] = job.dir .. "/other.conll" })
        assert(fs.write(job.dir .. "/one.conll", "w7\tO\nw8\tO\n"))
        refused('one%.conll: all words have the tag "O", expected at least two', { ["train-file"] = job.dir
            .. "/one.conll" })
        assert(fs.write(job.dir .. "/other.conll", "w7\tB-ORG\nw8\tO\n"))
        succeed { ["max-steps"] = 1, ["dev-file"] = false, ["doc-stride"] = false }
        refused('label "B%-ORG" is not one of the 5 that the run in .*/1 began with: its data were others; choose '
            .. "another %-%-output%-dir", { ["train-file"] = job.dir .. "/other.conll", ["dev-file"] = false })
    end)
end)
