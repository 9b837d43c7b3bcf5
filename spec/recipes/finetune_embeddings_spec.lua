--- Sentence embeddings through the real executable: data, losses, figures, exact resume, several processes, bad input.

local Encoder = require "bertlua.encoder"
local embeddings = require "spec.support.embeddings"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local mpi = require "spec.support.mpi"
local process = require "spec.support.process"
local sentence_transformers = require "bertlua.weights.sentence_transformers"

describe("fine-tuning on sentence embeddings", function()
    local job
    before_each(function() job = embeddings.new() end)
    after_each(function() job:close() end)

    local function succeed(...) return job:succeed(...) end

    local function refused(...) job:refused(...) end

    local function same_files(...) job.same_files(...) end

    local function first_prediction()
        return json.decode(assert(fs.read(job.out .. "/predictions.jsonl")):match "^[^\n]*")
    end

    it("learns from pairs, evaluates, predicts, and leaves a folder of sentence-transformers", function()
        job:close()
        job = embeddings.new { pairs = 320 }
        local changes = { epochs = 32, ["learning-rate"] = 5e-3, ["log-freq"] = 200, pooling = "cls",
            normalize = "true", ["max-seq-length"] = 12 }
        local output = succeed(changes)
        assert.matches("dev%.tsv: 10 pairs of up to 5 tokens", output)
        assert.matches("8 groups of 2 sequences: 8 x 1 micro-steps; 40 per epoch", output, 1, true)
        assert.matches("vectors: the first token, of up to 12 tokens, scaled to length 1", output, 1, true)
        local figures = assert(json.read(job.out .. "/eval.json")).dev
        -- By chance it would be 0.29.
        assert.is_true(figures.mrr > 0.7 and figures.recall_at_1 > 0.5, figures.mrr)
        assert.matches("result     dev: MRR [%d.]+ %%, recall at 1", output)
        local first = first_prediction()
        assert.are.equal(first.rank == 1, first.pair == first.best)
        local config = assert(json.read(job.out .. "/model/config.json"))
        assert.are.same({ "BertModel" }, config.architectures)
        assert.are.same({ pooling = "cls", normalize = true, max_length = 12, similarity = "cosine" },
            sentence_transformers.read(job.out .. "/model"))
        -- The same vectors from bl.load, whose defaults are those of the folder.
        for _, path in ipairs { "/model", "/checkpoints/1280" } do
            local model = Encoder.load(job.out .. path)
            assert.are.equal(12, model.limit)
            local vectors, dot = model:embed({ first.text, first.pair }):tolist(), 0
            for h = 1, #vectors[1] do dot = dot + vectors[1][h] * vectors[2][h] end
            model:close()
            assert.is_true(math.abs(dot - first.score) < 1e-5, dot .. " " .. first.score)
        end
        -- The trained model again, from the checkpoint and from its folder: pooling and the rest are known.
        for _, more in ipairs { {}, { ["from-pretrained-params"] = job.out .. "/model", ["config-file"] = false,
            ["vocab-file"] = false } } do
            for name, value in pairs { ["train-file"] = false, ["max-seq-length"] = false } do more[name] = value end
            assert.matches("vectors: the first token, of up to 12 tokens, scaled to length 1", succeed(more), 1, true)
            assert.are.same(figures, assert(json.read(job.out .. "/eval.json")).dev)
        end
    end)

    it("learns from scored pairs, which need no header", function()
        job:close()
        job = embeddings.new { pairs = 320 }
        for _, objective in ipairs { "cosine", "cosent" } do
            local output = succeed(job:of_scores { epochs = 16, ["learning-rate"] = 5e-3, ["log-freq"] = 200,
                objective = objective, ["output-dir"] = job.dir .. "/" .. objective })
            assert.matches("scored%.csv: 320 scored pairs of up to 5 tokens, scores from 0 to 5; no header, columns by "
                .. "number" .. (objective == "cosine" and ", divided by 5\n" or "\n"), (output:gsub("\n +", " ")))
            local figures = assert(json.read(job.dir .. "/" .. objective .. "/eval.json")).dev
            assert.is_true(figures.spearman > 0.3 and figures.pearson > 0.3, objective .. " " .. figures.spearman)
            assert.matches("result     dev: Spearman [%d.]+ %%, Pearson", output)
        end
    end)

    it("takes hard negatives as further candidates, and evaluates while it trains", function()
        assert(fs.write(job.dir .. "/recipe.lua", ([[
            require("bertlua.recipe").run("embeddings", { optimizer = "AdamW", last_step_of_checkpoint = "auto",
                evaluate = { every = 4, keep = "best" } }, "A recipe.")
        ]])))
        local command = job:command { epochs = 1, ["negative-column"] = "not" }
        local code, output = job.shell((command:gsub("recipes/finetune_embeddings%.lua", job.dir .. "/recipe.lua")))
        assert.are.equal(0, code, output)
        assert.matches("train%.tsv: 64 triples of up to 5 tokens", output)
        assert.matches("mrr [%d.]+ %(best so far%), recall_at_1", output)
        assert.matches("checkpoints/%d+ %(mrr [%d.]+ at step %d+%)", (output:gsub("\n +", " ")))
    end)

    it("measures its speed in groups", function()
        assert.matches("Benchmark: 3 steps after 1 of warm%-up; 8 groups of 2 sequences per step %(8 x 1 micro",
            succeed { benchmark = "true", ["benchmark-steps"] = 3, ["benchmark-warmup-steps"] = 1,
                ["dev-file"] = false })
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
        local distance = require("spec.support.checkpoints").distance(job.dir .. "/one/model", job.dir .. "/two/model",
            "model.safetensors", function(name) return name:find "%.key%.bias$" ~= nil end)
        assert.is_true(distance < 1e-4, "distance " .. distance)
    end)

    it("refuses what does not fit, in one line", function()
        refused("%-%-negative%-column and %-%-label%-column are both set", { ["negative-column"] = "not",
            ["label-column"] = "x" })
        refused("objective cosent needs scores", { objective = "cosent" })
        refused("objective multiple_negatives takes no scores", job:of_scores { objective = "multiple_negatives" })
        refused("train%.tsv: 64 pairs, but %-%-train%-batch%-size is 65", { ["train-batch-size"] = 65 })
        refused("train%-batch%-size 1: a pair alone", { ["train-batch-size"] = 1 })
        refused("scores go from 0 to 5, but %-%-max%-score is 4", job:of_scores { ["max-score"] = 4 })
        refused("holds no trained model: train first", { ["train-file"] = false })
        sentence_transformers.write(job.dir, { pooling = "mean", normalize = false, max_length = 8, hidden = 16 })
        assert(fs.write(job.dir .. "/1_Pooling/config.json", '{"pooling_mode_max_tokens": true}'))
        assert.are.equal(0, (job:run { epochs = 1, ["dev-file"] = false }))
        assert(fs.copy(job.out .. "/model/model.safetensors", job.dir .. "/model.safetensors"))
        refused("1_Pooling/config%.json: pooling max_tokens is not implemented, only mean or cls; %-%-pooling mean",
            { ["from-pretrained-params"] = job.dir, ["output-dir"] = job.dir .. "/other" })
    end)
end)
