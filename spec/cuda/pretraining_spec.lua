--- Pre-training on a GPU through the real executable: the CPU's losses, the same bits each time, graphs included.

local context = require "bertlua.context"
local fs = require "bertlua.util.fs"
local pretraining = require "spec.support.pretraining"

if context.device() ~= "cuda" then return end

describe("pre-training on a GPU", function()
    local job
    before_each(function() job = pretraining.new() end)
    after_each(function() job:close() end)

    --- Run on a device; returns the losses by step and the output.
    local function run(device, name, changes)
        local report = job.dir .. "/" .. name .. ".json"
        local all = { ["max-steps"] = 5, ["gradient-merge-steps"] = 2, device = device, ["report-file"] = report,
            ["output-dir"] = job.dir .. "/" .. name }
        for key, value in pairs(changes or {}) do all[key] = value end
        local code, output = job:run("pretrain_phase1.lua", all)
        assert.are.equal(0, code, output)
        return job:losses(report), output
    end

    local function assert_losses(expected, actual, limit)
        for step = 1, 5 do
            local difference = math.abs(expected[step].loss - actual[step].loss)
            assert.is_true(difference <= limit,
                ("step %d: loss %.6f, expected %.6f"):format(step, actual[step].loss, expected[step].loss))
        end
    end

    for _, variant in ipairs {
        { name = "fp32, packed", limit = 1e-3, changes = {} },
        { name = "fp32, padded, AdamW", limit = 1e-3, changes = { ["pack-sequences"] = "false", optimizer = "AdamW" } },
        { name = "bf16", limit = 2e-2, changes = { amp = "true", ["amp-dtype"] = "bf16" } },
    } do
        it("follows the CPU with the same dropout: " .. variant.name, function()
            assert_losses(run("cpu", "cpu", variant.changes), (run("cuda", "cuda", variant.changes)), variant.limit)
        end)
    end

    it("ends in the same bits eagerly and from graphs, and when it is resumed", function()
        -- Without graphs, other products are timed.
        local function changed(changes)
            changes["pack-sequences"], changes["matmul-choices"] = "false", "none"
            return changes
        end
        local eager = run("cuda", "eager", changed { ["cuda-graph"] = "false" })
        local replayed, output = run("cuda", "replayed", changed { ["cuda-graph"] = "true" })
        assert_losses(eager, replayed, 0)
        assert.is_nil(output:match "could not be recorded as a graph", output)
        local model = "/custom/phase1/5/model.safetensors"
        local bytes = assert(fs.read(job.dir .. "/eager" .. model))
        assert.is_true(bytes == fs.read(job.dir .. "/replayed" .. model), "graphs change the parameters")
        local code, text = job:run("pretrain_phase1.lua", changed { ["max-steps"] = 5, ["gradient-merge-steps"] = 2,
            device = "cuda", ["output-dir"] = job.dir .. "/resumed", ["steps-this-run"] = 3 })
        assert.are.equal(0, code, text)
        run("cuda", "resumed", changed { ["last-step-of-checkpoint"] = "auto" })
        assert.is_true(bytes == fs.read(job.dir .. "/resumed" .. model), "resuming changes the parameters")
    end)

    it("keeps the timed products beside the checkpoints, repeats them when it is resumed, and shares them", function()
        local cache = job.dir .. "/cache"
        local function start(name, changes)
            local all = { ["max-steps"] = 5, device = "cuda", ["output-dir"] = job.dir .. "/" .. name }
            for key, value in pairs(changes) do all[key] = value end
            local code, output = job:run("pretrain_phase1.lua", all, ("XDG_CACHE_HOME=%s "):format(cache))
            assert.are.equal(0, code, output)
            return assert(fs.read(("%s/%s/custom/phase1/5/model.safetensors"):format(job.dir, name)))
        end
        local own = job.dir .. "/%s/custom/phase1/matmul_choices.txt"
        local once = start("once", {})
        local choices = assert(fs.read(own:format "once"))
        local shared = fs.join(cache .. "/bertlua", assert(fs.list(cache .. "/bertlua"))[1])
        assert.are.equal(choices, fs.read(shared))
        -- A run with the same choices, stopped, and resumed when the shared file is gone.
        assert(fs.mkdirs(job.dir .. "/parts/custom/phase1"))
        assert(fs.write(own:format "parts", choices))
        job:run("pretrain_phase1.lua", { ["max-steps"] = 5, device = "cuda", ["output-dir"] = job.dir .. "/parts",
            ["steps-this-run"] = 3 }, ("XDG_CACHE_HOME=%s "):format(cache))
        assert(fs.remove(cache))
        local parts = start("parts", { ["last-step-of-checkpoint"] = "auto" })
        assert.is_true(once == parts, "resuming changes the parameters")
        assert.are.equal(choices, fs.read(own:format "parts"))
        assert.are.equal(nil, fs.read(shared))
    end)

    it("takes the library's first suggestion where that is asked for", function()
        run("cuda", "first", { ["matmul-choices"] = "none" })
        assert.is_false(fs.is_file(job.dir .. "/first/custom/phase1/matmul_choices.txt"))
    end)
end)
