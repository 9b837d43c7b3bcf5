--- Several processes over NCCL: collectives as spec/engine/comm/comm_spec.lua has them, training as
-- spec/recipes/many_processes_spec.lua has it, on GPUs or on emulated ones.

local context = require "bertlua.context"

if context.device() ~= "cuda" then return end

local checkpoint = require "bertlua.train.checkpoint"
local checkpoints = require "spec.support.checkpoints"
local gpu_ranks = require "spec.support.gpu_ranks"
local pretraining = require "spec.support.pretraining"

local function same_codes(n, codes, output)
    for rank = 1, n do assert.are.equal(0, codes[rank], output) end
end

local function specs_of(n, name, body)
    it(name, function()
        local missing = gpu_ranks.missing(n)
        if missing then pending(missing) end
        body()
    end)
end

describe("communicator over NCCL", function()
    for n = 1, 3 do
        specs_of(n, ("of %d ranks"):format(n), function()
            local output, codes = gpu_ranks.run(n, "spec/support/comm_worker.lua nccl cuda")
            for rank = 0, n - 1 do
                assert.is_truthy(output:find(("rank %d of %d: nccl is right"):format(rank, n), 1, true), output)
            end
            same_codes(n, codes, output)
        end)
    end
end)

describe("training over NCCL", function()
    local job
    setup(function() job = pretraining.new() end)
    teardown(function() job:close() end)

    specs_of(2, "agrees on messages, gradients, updates and state", function()
        local output, codes = gpu_ranks.run(2, "spec/support/ranks_program.lua cuda "
            .. (gpu_ranks.emulated and "brief" or "whole"))
        for _, name in ipairs { "messages", "gradients", "updates", "overflow", "state" } do
            assert.is_truthy(output:find("passed: " .. name, 1, true), output)
        end
        assert.are.equal(not gpu_ranks.emulated, output:find("passed: overlap", 1, true) ~= nil)
        same_codes(2, codes, output)
    end)

    --- Four steps of 6 micro-batches each. The rows of one batch are padded, so that one recording serves all.
    local function train(name, n, changes)
        local options = { device = "cuda", ["max-steps"] = 4, ["gradient-merge-steps"] = 6 / n,
            ["pack-sequences"] = "false", ["output-dir"] = job.dir .. "/" .. name, ["tensorboard-dir"] = "none",
            ["report-file"] = ("%s/%s.json"):format(job.dir, name) }
        for key, value in pairs(changes or {}) do options[key] = value end
        local output, codes = gpu_ranks.run(n, (job:command("pretrain_phase1.lua", options):gsub("^%S+ %S+",
            "spec/support/ranks_graphs.lua")))
        same_codes(n, codes, output)
        return output
    end

    specs_of(2, "makes the updates of one process, with recorded micro-steps", function()
        train("one", 1)
        local one = job:losses(job.dir .. "/one.json")
        for _, case in ipairs { { "Lamb", 2 + 1 }, { "DistributedFusedLamb", 2 } } do
            local optimizer = case[1]
            local output = train(optimizer, 2, { optimizer = optimizer, ["gradient-bucket-mib"] = 0.01 })
            -- Of three micro-steps per rank the last sends and is not recorded; only Lamb's update is.
            assert.is_truthy(output:find(("replays a step: %d"):format(case[2]), 1, true), output)
            local several = job:losses(("%s/%s.json"):format(job.dir, optimizer))
            for step = 1, 4 do assert.is_near(one[step].loss, several[step].loss, 1e-5) end
            local apart, key = checkpoints.distance(job.dir .. "/one/custom/phase1/4",
                ("%s/%s/custom/phase1/4"):format(job.dir, optimizer), "model.safetensors", function(key)
                    -- The gradient of key biases is 0: an update normalises its rounding noise.
                    return key:match "%.key%.bias$"
                end)
            assert.is_true(apart < 2e-5, key)
        end
    end)

    for _, case in ipairs { { "KILL", 71, 137 }, { "TERM", 143, 143 } } do
        specs_of(2, ("ends when SIG%s comes to one rank"):format(case[1]), function()
            local out = job.dir .. "/" .. case[1]
            local steps = out .. "/custom/phase1"
            local output, codes = gpu_ranks.run(2, (job:command("pretrain_phase1.lua", { device = "cuda",
                ["max-steps"] = 100000, ["num-steps-per-checkpoint"] = 2, ["tensorboard-dir"] = "none",
                ["output-dir"] = out, ["comm-timeout"] = 20 }):gsub("^%S+ ", "")),
                { name = case[1], after = steps .. "/4" })
            assert.are.same({ case[2], case[3] }, codes, output)
            local list = checkpoint.steps(steps)
            assert.is_true(checkpoint.verify(("%s/%d"):format(steps, list[#list])))
            if case[1] == "KILL" then
                assert.are.equal(1, select(2, output:gsub("bertlua: rank 1 of 2 died", "")), output)
            else
                assert.are.equal(tonumber(output:match "steps +1 to (%d+) of 100000, ended by SIGTERM"), list[#list])
            end
        end)
    end
end)
