--- Pre-training through the real executable: exact resume, signals, both phases, logs, benchmark.

local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local pretraining = require "spec.support.pretraining"
local process = require "spec.support.process"

local function read(path)
    return assert(fs.read(path))
end

local function same_checkpoint(a, b)
    for _, name in ipairs { "model.safetensors", "optimizer.safetensors", "config.json", "vocab.txt" } do
        assert.is_true(read(a .. "/" .. name) == read(b .. "/" .. name), name .. " differs")
    end
end

describe("pre-training", function()
    local job
    before_each(function() job = pretraining.new() end)
    after_each(function() job:close() end)

    --- Run until `path` is there and send a signal; exit code, output.
    local function run_until(path, signal, changes)
        local output, code = process.interrupt(job:command("pretrain_phase1.lua", changes), path, signal)
        return code, output
    end

    for _, variant in ipairs {
        { name = "fp32, Lamb", changes = {} },
        { name = "amp bf16, Lamb, dynamic loss scale", changes = { amp = "true", ["amp-dtype"] = "bf16",
            ["scale-loss"] = 1024, ["use-dynamic-loss-scaling"] = "true" } },
        { name = "fp32, AdamW, new masks, padded", changes = { optimizer = "AdamW", ["dynamic-masking"] = "true",
            ["pack-sequences"] = "false" } },
    } do
        it("resumes exactly where a killed run left off: " .. variant.name, function()
            local changes = { ["max-steps"] = 20, ["gradient-merge-steps"] = 2, ["num-steps-per-checkpoint"] = 10 }
            for name, value in pairs(variant.changes) do changes[name] = value end
            local function with(more)
                local all = {}
                for name, value in pairs(changes) do all[name] = value end
                for name, value in pairs(more) do all[name] = value end
                return all
            end
            local straight, killed = job.dir .. "/straight", job.dir .. "/killed"
            local code, output = job:run("pretrain_phase1.lua",
                with { ["output-dir"] = straight, ["report-file"] = job.dir .. "/straight.json" })
            assert.are.equal(0, code, output)

            -- Practically endless, so that it cannot end before the signal.
            code = run_until(killed .. "/custom/phase1/10", "KILL",
                with { ["output-dir"] = killed, ["report-file"] = job.dir .. "/killed.json" })
            assert.is_true(code == 137 or code == 0)
            -- In case the process was faster than the signal: remove step 20.
            if fs.exists(killed .. "/custom/phase1/20") then assert(fs.remove(killed .. "/custom/phase1/20")) end
            code, output = job:run("pretrain_phase1.lua", with { ["output-dir"] = killed,
                ["report-file"] = job.dir .. "/killed.json", ["last-step-of-checkpoint"] = "auto" })
            assert.are.equal(0, code, output)
            assert.matches("resuming from " .. killed .. "/custom/phase1/10", output, 1, true)

            same_checkpoint(straight .. "/custom/phase1/20", killed .. "/custom/phase1/20")
            local expected, got = job:losses(job.dir .. "/straight.json"), job:losses(job.dir .. "/killed.json")
            for step = 1, 20 do assert.are.same(expected[step], got[step], "step " .. step) end
            assert.are_not.equal(expected[1].loss, expected[20].loss)
        end)
    end

    it("gives the same bits with DistributedFusedLamb in one process as with Lamb", function()
        for name, changes in pairs { fp32 = {}, amp = { amp = "true", ["amp-dtype"] = "bf16",
            ["use-dynamic-loss-scaling"] = "true" } } do
            for _, optimizer in ipairs { "Lamb", "DistributedFusedLamb" } do
                changes.optimizer, changes["output-dir"] = optimizer, ("%s/%s%s"):format(job.dir, name, optimizer)
                local code, output = job:run("pretrain_phase1.lua", changes)
                assert.are.equal(0, code, output)
            end
            same_checkpoint(("%s/%sLamb/custom/phase1/4"):format(job.dir, name),
                ("%s/%sDistributedFusedLamb/custom/phase1/4"):format(job.dir, name))
        end
    end)

    it("saves, says so and exits with its own code when a signal ends it", function()
        for signal, code in pairs { TERM = 143, INT = 130, USR1 = 138 } do
            local out = job.dir .. "/" .. signal
            local got, log = run_until(out .. "/custom/phase1/2", signal, { ["output-dir"] = out,
                ["max-steps"] = 1000000, ["num-steps-per-checkpoint"] = 2, ["log-freq"] = 100 })
            assert.are.equal(code, got, log)
            local step = log:match("steps +1 to (%d+) of 1000000, ended by SIG" .. signal)
            assert.is_string(step, log)
            assert.is_true(fs.exists(("%s/custom/phase1/%s/progress.json"):format(out, step)))
            assert.are.equal(signal == "INT", log:find("press Ctrl-C again to quit at once", 1, true) ~= nil)
        end
    end)

    it("keeps the newest three checkpoints and one at the end", function()
        local code, output = job:run("pretrain_phase1.lua", { ["max-steps"] = 9, ["num-steps-per-checkpoint"] = 2 })
        assert.are.equal(0, code, output)
        assert.are.same({ "6", "8", "9", "tensorboard" }, fs.list(job.out .. "/custom/phase1"))
    end)

    it("stops after steps_this_run, and knows when all is done", function()
        local code, output = job:run("pretrain_phase1.lua", { ["steps-this-run"] = 3 })
        assert.are.equal(0, code, output)
        assert.are.same({ "3", "tensorboard" }, fs.list(job.out .. "/custom/phase1"))
        code = job:run("pretrain_phase1.lua", { ["steps-this-run"] = 3, ["last-step-of-checkpoint"] = 3 })
        assert.are.equal(0, code)
        code, output = job:run("pretrain_phase1.lua", { ["last-step-of-checkpoint"] = "auto" })
        assert.are.equal(0, code)
        assert.matches("all 4 steps are done", output)
    end)

    it("starts the same with any number of threads", function()
        job:run("pretrain_phase1.lua", { ["max-steps"] = 1, ["output-dir"] = job.dir .. "/one" })
        local one = job:losses()[1].loss
        job:run("pretrain_phase1.lua", { ["max-steps"] = 1, ["output-dir"] = job.dir .. "/two", threads = 2 })
        assert.is_true(math.abs(one - job:losses()[1].loss) < 1e-5)
        job:run("pretrain_phase1.lua", { ["max-steps"] = 1, ["output-dir"] = job.dir .. "/seed", seed = 7 })
        assert.is_true(math.abs(one - job:losses()[1].loss) > 1e-5)
    end)

    it("runs both phases; the second starts from the parameters of the first", function()
        local command = job:command("pretrain.lua", {
            ["input-dir"] = false, ["batch-size"] = false, ["gradient-merge-steps"] = false, ["max-steps"] = false,
            ["max-seq-length"] = false, ["max-predictions-per-seq"] = false, ["num-steps-per-checkpoint"] = false,
            ["learning-rate"] = false, ["last-step-of-checkpoint"] = "auto",
        })
        for phase = 1, 2 do
            command = command .. (" --phase%d-input-dir %s --phase%d-batch-size 4 --phase%d-gradient-merge-steps 1 "
                .. "--phase%d-max-steps 3 --phase%d-max-seq-length 16 --phase%d-max-predictions-per-seq 3"):gsub("%%d",
                phase):gsub("%%s", job.shards)
        end
        local code, output = pretraining.shell(command)
        assert.are.equal(0, code, output)
        assert.matches("start     parameters of " .. job.out .. "/custom/phase1/3", output, 1, true)
        assert.is_true(fs.exists(job.out .. "/custom/phase2/3/model.safetensors"))
        local reports = 0
        for line in io.lines(job.dir .. "/report.json") do
            if json.decode(line:match "^DLLL (.*)$").step == "PARAMETER" then reports = reports + 1 end
        end
        assert.are.equal(2, reports)
        code, output = pretraining.shell(command)
        assert.are.equal(0, code)
        assert.matches("phase1/3: all 3 steps are done.*phase2/3: all 3 steps are done", output)
    end)

    it("measures without writing checkpoints", function()
        local code, output = job:run("pretrain_phase1.lua", { benchmark = "true", ["benchmark-steps"] = 3,
            ["benchmark-warmup-steps"] = 1, ["max-steps"] = false })
        assert.are.equal(0, code, output)
        assert.matches("Benchmark: 3 steps after 1 of warm%-up; 4 sequences per step", output)
        assert.matches("p50 %d", output)
        assert.is_false(fs.exists(job.out))
    end)

    it("evaluates a checkpoint and fills masks with it", function()
        job:run("pretrain_phase1.lua", { ["max-steps"] = 1 })
        local code, output = pretraining.shell(("%s recipes/evaluate_pretraining.lua --checkpoint %s/custom/phase1 "
            .. "--input-dir %s --batch-size 8 --threads 1"):format(pretraining.BINARY, job.out, job.shards))
        assert.are.equal(0, code, output)
        assert.matches("48 samples", output)
        assert.matches("NSP  loss %d", output)
        code, output = pretraining.shell(("%s recipes/fill_mask.lua --checkpoint %s/custom/phase1 --top 2 --threads 1 "
            .. "'w10 [MASK] w20'"):format(pretraining.BINARY, job.out))
        assert.are.equal(0, code, output)
        assert.matches("%S+ %d+%.%d %%, %S+ %d+%.%d %%\n", output)
    end)

    it("keeps the global batch of settings made for more processes", function()
        local code, output = job:run("pretrain_phase1.lua", { ["world-size"] = 2, ["max-steps"] = 1 })
        assert.are.equal(0, code, output)
        assert.matches("update    8 sequences: 4 x 2 micro%-steps", output)
        assert.matches("warning: these settings are for 2 processes", output)
    end)
end)
