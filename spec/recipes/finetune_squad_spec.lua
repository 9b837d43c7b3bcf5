--- Fine-tuning through the real executable: exact resume, modes, v2.0, outputs, bad input.

local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local process = require "spec.support.process"
local pretraining = require "spec.support.pretraining"
local squad = require "spec.support.squad"

local function read(path)
    return assert(fs.read(path))
end

describe("fine-tuning on SQuAD", function()
    local job
    before_each(function() job = squad.new() end)
    after_each(function() job:close() end)

    local function folder(out)
        return (out or job.out) .. "/custom/squad"
    end

    local function succeed(changes)
        local code, output = job:run(changes)
        assert.are.equal(0, code, output)
        return output
    end

    --- One clear line on standard error.
    local function refused(pattern, changes)
        local code, output = job:run(changes)
        assert.are.equal(1, code, output)
        local line = output:match "bertlua: ([^\n]*)\n$"
        assert.is_string(line, output)
        assert.matches(pattern, line)
        assert.is_nil(output:find "traceback")
    end

    local function kill_at(path, changes)
        process.interrupt(job:command(changes), path, "KILL")
    end

    for _, variant in ipairs {
        { name = "fp32, Lamb", changes = {} },
        { name = "amp, AdamW, accumulation, dynamic loss scale, padded", changes = { amp = "true",
            ["amp-dtype"] = "bf16", optimizer = "AdamW", ["gradient-merge-steps"] = 2,
            ["use-dynamic-loss-scaling"] = "true", ["scale-loss"] = 128, ["pack-sequences"] = "false" } },
    } do
        it("resumes exactly where a killed run left off: " .. variant.name, function()
            local function with(more)
                local all = { epochs = 4, ["train-batch-size"] = 3, ["num-steps-per-checkpoint"] = 4 }
                for _, list in ipairs { variant.changes, more } do
                    for name, value in pairs(list) do all[name] = value end
                end
                return all
            end
            local straight, killed = job.dir .. "/straight", job.dir .. "/killed"
            succeed(with { ["output-dir"] = straight, ["report-file"] = job.dir .. "/straight.json" })
            kill_at(folder(killed) .. "/4", with { ["output-dir"] = killed,
                ["report-file"] = job.dir .. "/killed.json" })
            -- In case the process was faster than the signal: remove what came after step 4.
            for _, name in ipairs(fs.list(folder(killed))) do
                if name ~= "4" then assert(fs.remove(folder(killed) .. "/" .. name)) end
            end
            local output = succeed(with { ["output-dir"] = killed, ["report-file"] = job.dir .. "/killed.json" })
            assert.matches("resuming from " .. folder(killed) .. "/4", output, 1, true)

            local last = tostring(job:records(job.dir .. "/straight.json").summary.steps)
            for _, name in ipairs { last .. "/model.safetensors", last .. "/optimizer.safetensors",
                "model.safetensors", "predictions.json", "nbest_predictions.json", "eval.json" } do
                assert.is_true(read(folder(straight) .. "/" .. name) == read(folder(killed) .. "/" .. name), name)
            end
            local expected = job:records(job.dir .. "/straight.json")
            local got = job:records(job.dir .. "/killed.json")
            for step = 1, tonumber(last) do
                for _, name in ipairs { "step_loss", "grad_norm", "learning_rate", "loss_scale" } do
                    assert.are.equal(expected[step][name], got[step][name], step .. " " .. name)
                end
            end
            assert.are_not.equal(expected[1].step_loss, expected[2].step_loss)
        end)
    end

    it("applies the warm-up", function()
        succeed { ["warmup-proportion"] = 0.5, mode = "train", epochs = 1 }
        local records = job:records()
        for step, rate in pairs { [1] = 0.01 / 3, [2] = 0.02 / 3, [3] = 0.01, [5] = 0.01 / 3, [6] = 0 } do
            assert.is_true(math.abs(records[step].learning_rate - rate) < 1e-9, "step " .. step)
        end
    end)

    it("accumulates micro-steps into the same update", function()
        local config = job:write_config({ hidden_dropout_prob = 0, attention_probs_dropout_prob = 0 }, "dry.json")
        local losses = {}
        for i, sizes in ipairs { { 4, 1 }, { 2, 2 }, { 1, 4 } } do
            succeed { mode = "train", ["output-dir"] = job.dir .. "/" .. i, ["config-file"] = config, epochs = 1,
                ["train-batch-size"] = sizes[1], ["gradient-merge-steps"] = sizes[2] }
            losses[i] = job:records()
        end
        for step = 1, 6 do
            for i = 2, 3 do
                assert.is_true(math.abs(losses[i][step].step_loss - losses[1][step].step_loss) < 1e-5, "step " .. step)
                assert.is_true(math.abs(losses[i][step].grad_norm - losses[1][step].grad_norm) < 1e-4, "step " .. step)
            end
        end
    end)

    it("writes the same files as the reference", function()
        local output = succeed {}
        local names = {}
        for _, name in ipairs(fs.list(folder())) do names[name] = true end
        for _, name in ipairs { "12", "model.safetensors", "config.json", "vocab.txt", "tokenizer_config.json",
            "predictions.json", "nbest_predictions.json", "eval.json", "tensorboard" } do
            assert.is_true(names[name], name)
        end
        assert.is_nil(names["null_odds.json"])
        assert.are.equal("BertForQuestionAnswering", json.read(folder() .. "/config.json").architectures[1])
        local predictions, n_best = json.read(folder() .. "/predictions.json"),
            json.read(folder() .. "/nbest_predictions.json")
        for i = 1, 12 do
            assert.is_string(predictions["q" .. i])
            local sum = 0
            for _, entry in ipairs(n_best["q" .. i]) do sum = sum + entry.probability end
            assert.is_true(math.abs(sum - 1) < 1e-9)
        end
        local result = json.read(folder() .. "/eval.json")
        local summary = job:records().summary
        assert.are.equal(result.f1, summary.f1)
        assert.are.equal(result.exact_match, summary.exact_match)
        assert.matches(("result     EM %.2f, F1 %.2f"):format(result.exact_match, result.f1), output, 1, true)
        assert.matches("training   .* sequences/s", output)
        assert.matches("prediction 24 sequences", output)
    end)

    it("learns the training questions", function()
        -- The answer follows the word repeated from the question.
        local output = succeed { ["predict-file"] = job.train, epochs = 100, optimizer = "AdamW",
            ["learning-rate"] = 1e-3, ["warmup-proportion"] = 0.1, ["log-freq"] = 1000,
            ["config-file"] = job:write_config({ hidden_size = 64, num_attention_heads = 4, initializer_range = 0.1,
                hidden_dropout_prob = 0, attention_probs_dropout_prob = 0 }, "large.json") }
        -- It is 100 for each of 40 seeds; where a run learns only the places of the answers it is 70 at most.
        assert.is_true(job:records().summary.f1 > 80, output)
    end)

    it("trains, predicts and evaluates in separate runs with the same result as in one", function()
        succeed {}
        local whole = read(folder() .. "/nbest_predictions.json")
        assert(fs.remove(job.out))
        succeed { mode = "train" }
        assert.is_false(fs.exists(folder() .. "/predictions.json"))
        succeed { mode = "prediction" }
        assert.is_true(whole == read(folder() .. "/nbest_predictions.json"))
        assert.is_false(fs.exists(folder() .. "/eval.json"))
        -- From the exported folder alone, with its config and vocabulary.
        local elsewhere = job.dir .. "/elsewhere"
        succeed { mode = "eval", ["from-pretrained-params"] = folder(), ["output-dir"] = elsewhere,
            ["config-file"] = false, ["vocab-file"] = false }
        assert.is_true(whole == read(folder(elsewhere) .. "/nbest_predictions.json"))
        -- The reference's flags.
        succeed { ["do-predict"] = "true", ["do-eval"] = "true" }
        assert.is_true(fs.exists(folder() .. "/eval.json"))
        -- All steps are done: nothing is trained again.
        assert.matches("all 12 steps are done", succeed {})
    end)

    it("gives the same answers for padded and packed batches of any size", function()
        succeed {}
        local function probabilities(changes)
            changes.mode = "prediction"
            succeed(changes)
            return json.read(folder() .. "/nbest_predictions.json")
        end
        local packed = probabilities { ["predict-batch-size"] = 5 }
        local padded = probabilities { ["pack-sequences"] = "false", ["predict-batch-size"] = 1 }
        for id, list in pairs(packed) do
            assert.are.equal(#list, #padded[id])
            for i, entry in ipairs(list) do
                assert.is_true(math.abs(entry.probability - padded[id][i].probability) < 1e-5)
            end
        end
    end)

    it("does SQuAD v2.0", function()
        job:close()
        job = squad.new { negative = true }
        local output = succeed { ["version-2-with-negative"] = "true" }
        local odds = json.read(folder() .. "/null_odds.json")
        local result = json.read(folder() .. "/eval.json")
        assert.are.equal(12, result.total)
        assert.are.equal(4, result.NoAns_total)
        assert.is_number(odds.q1)
        assert.matches("4 without: EM", output)
        -- An unreachable threshold makes every answer null, and a very low one none.
        succeed { ["version-2-with-negative"] = "true", mode = "prediction", ["null-score-diff-threshold"] = -1000 }
        for _, answer in pairs(json.read(folder() .. "/predictions.json")) do assert.are.equal("", answer) end
        succeed { ["version-2-with-negative"] = "true", mode = "prediction", ["null-score-diff-threshold"] = 1000 }
        for _, answer in pairs(json.read(folder() .. "/predictions.json")) do assert.are_not.equal("", answer) end
    end)

    it("saves when a signal ends it, and does not predict with a half-trained model", function()
        local log, code = process.interrupt(job:command { epochs = 100000, ["num-steps-per-checkpoint"] = 2,
            ["log-freq"] = 1000 }, folder() .. "/2", "TERM")
        assert.are.equal(143, code, log)
        local step = log:match "steps +1 to (%d+) of %d+, ended by SIGTERM"
        assert.is_string(step, log)
        assert.is_true(fs.exists(("%s/%s/progress.json"):format(folder(), step)), log)
        assert.is_false(fs.exists(folder() .. "/predictions.json"))
    end)

    it("starts from pretrained parameters and says which are missing", function()
        succeed { mode = "train" }
        local output = succeed { mode = "train", ["from-pretrained-params"] = folder(),
            ["output-dir"] = job.dir .. "/next", ["max-steps"] = 1 }
        assert.matches("start     parameters of " .. folder(), output, 1, true)
        -- An encoder without a head is fit for training, not for answering.
        local bare = job.dir .. "/bare"
        local code, text = pretraining.shell(("%s -e '%s' %s %s"):format(pretraining.BINARY, [[
            local bert, checkpoint = require "bertlua.models.bert", require "bertlua.train.checkpoint"
            local config = bert.BertConfig.load("]] .. job.config .. [[")
            local model = bert.BertForPretraining.new(config)
            model.store:allocate { seed = 5 }
            checkpoint.export("]] .. bare .. [[", { store = model.store, config = config, vocab_file = "]] .. job.vocab
            .. [[" })]], bare, job.config))
        assert.are.equal(0, code, text)
        output = succeed { mode = "train", ["from-pretrained-params"] = bare, ["output-dir"] = job.dir .. "/third",
            ["max-steps"] = 1 }
        assert.matches("lacks the head that answers questions (qa_outputs.weight, qa_outputs.bias), which will be "
            .. "newly initialized", output, 1, true)
        refused("qa_outputs", { mode = "prediction", ["from-pretrained-params"] = bare })
    end)

    it("measures training and inference without writing anything", function()
        local output = succeed { mode = "train", benchmark = "true", ["benchmark-steps"] = 3,
            ["benchmark-warmup-steps"] = 1 }
        assert.matches("Benchmark: 3 steps after 1 of warm%-up; 4 sequences per step", output)
        output = succeed { mode = "prediction", benchmark = "true", ["benchmark-steps"] = 30,
            ["benchmark-warmup-steps"] = 2, ["predict-batch-size"] = 2 }
        assert.matches("Benchmark of inference: 30 batches of 2 sequences after 2", output)
        assert.matches("latency       p50 [%d.]+ ms, p90 [%d.]+ ms, p95", output)
        assert.is_false(fs.exists(job.out))
    end)

    it("agrees with an independent evaluator", function()
        local path = job.dir .. "/official"
        assert(fs.write(path, '#!/bin/sh\necho \'{"exact_match": 12.5, "f1": 3.0}\'\n'))
        assert.are.equal(0, os.execute("chmod +x " .. path))
        refused("official: %S+ is [%d.]+, but our own evaluator computed [%d.]+$", { ["eval-script"] = path })
        refused("none%.py: no such file", { ["eval-script"] = job.dir .. "/none.py" })
        assert(fs.write(path, "#!/bin/sh\necho '{}'; echo no module named numpy >&2; exit 3\n"))
        assert.are.equal(0, os.execute("chmod +x " .. path))
        refused("official: failed with exit code 3: {} no module named numpy $", { ["eval-script"] = path })
    end)

    it("refuses bad input in one line", function()
        refused("no such file; leave out the option", { ["train-file"] = job.dir .. "/none.json" })
        refused('got "sing", expected one of', { mode = "sing" })
        assert(fs.write(job.dir .. "/broken.json", '{"data": [\n  {"title": }]}'))
        refused("broken%.json:2:%d+", { ["train-file"] = job.dir .. "/broken.json" })
        assert(fs.write(job.dir .. "/fields.json", '{"data": [{"paragraphs": [{"qas": []}]}]}'))
        refused("data%[0%]%.paragraphs%[0%]%.context", { ["train-file"] = job.dir .. "/fields.json" })
        assert(fs.write(job.dir .. "/negative.json", json.encode(squad.data { negative = true })))
        refused("negative.json: .* this is SQuAD v2.0, .*: set version_2_with_negative$",
            { ["predict-file"] = job.dir .. "/negative.json" })
        refused("max_position_embeddings 32", { ["max-seq-length"] = 64 })
        refused("micro%-steps of 4 sequences take .* %-%-train%-batch%-size %d %-%-gradient%-merge%-steps %d fits",
            { ["activation-memory"] = 0.0002 })
        refused("leaves no room for context", { ["max-query-length"] = 30 })
        assert(fs.write(job.dir .. "/short.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nw6\n"))
        refused("short%.txt has 6 tokens, but .* has vocab_size 200", { ["vocab-file"] = job.dir .. "/short.txt" })
        succeed { mode = "train", ["max-steps"] = 1 }
        refused("its configuration must be that of the parameters", { mode = "prediction",
            ["from-pretrained-params"] = folder(), ["config-file"] = job:write_config({ hidden_size = 32 }, "b.json") })
        refused("already holds checkpoints up to step 1", { mode = "train", ["last-step-of-checkpoint"] = "none" })
    end)
end)
