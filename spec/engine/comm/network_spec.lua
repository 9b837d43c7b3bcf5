--- Training on two hosts, with a network between them that delays and loses packets.

local fs = require "bertlua.util.fs"
local mpi = require "spec.support.mpi"
local network = require "spec.support.network"
local pretraining = require "spec.support.pretraining"
local process = require "spec.support.process"

local DELAY_MS, LOSS = 2, 0.01

describe("two hosts", function()
    local missing = mpi.missing or network.missing()
    if missing then
        it("train over a bad network (" .. missing .. ")", function() pending(missing) end)
        return
    end

    local job, hosts
    setup(function()
        job = pretraining.new()
        hosts = network.new(DELAY_MS, LOSS)
    end)
    teardown(function()
        hosts:close()
        job:close()
    end)

    --- Arguments of a run that writes to the folder `name` of the job.
    local function arguments(name, accumulation)
        local command = job:command("pretrain_phase1.lua", { device = "cpu", ["max-steps"] = 3,
            ["output-dir"] = job.dir .. "/" .. name, ["report-file"] = ("%s/%s.json"):format(job.dir, name),
            ["tensorboard-dir"] = "none", ["gradient-merge-steps"] = accumulation })
        return (command:gsub("^%S+ ", ""))
    end

    local function checkpoint(name)
        return assert(fs.read(job.dir .. "/" .. name .. "/custom/phase1/3/model.safetensors"))
    end

    it("train to the same parameters as two processes on one, and to the losses of one process", function()
        local output, code = mpi.run(2, arguments("one_host", 1))
        assert.are.equal(0, code, output)
        output, code = process.run("timeout -k 5 60 "
            .. hosts:on("a", mpi.command(2, arguments("two_hosts", 1), hosts:mpirun_options())) .. " </dev/null")
        assert.are.equal(0, code, output)
        assert.is_true(checkpoint "one_host" == checkpoint "two_hosts", "the parameters differ")

        output, code = process.run_bertlua(arguments("alone", 2))
        assert.are.equal(0, code, output)
        local one, two = job:losses(job.dir .. "/alone.json"), job:losses(job.dir .. "/two_hosts.json")
        for step = 1, 3 do assert.is_near(one[step].loss, two[step].loss, 1e-5) end
    end)

    it("end and name the rank when one of them is cut off", function()
        -- The other host sees silence, as from a machine without power.
        local worker = process.quote(process.root .. "/spec/support/failing_worker.lua")
        local output, code = process.run("timeout -k 5 60 " .. hosts:on("a",
            mpi.command(2, worker .. " stop 1 2", hosts:mpirun_options())) .. " </dev/null")
        local lines = mpi.messages(output)
        assert.are.equal(1, #lines, output)
        assert.is_truthy(lines[1]:find("rank 1 of 2 hangs: no sign of life", 1, true), lines[1])
        assert.is_true(code ~= 0)
    end)

    it("had a network that lost packets", function()
        local carried, lost = hosts:close()
        hosts = network.new(DELAY_MS, LOSS)
        assert.is_true(carried > 100 and lost > 0, ("%s carried, %s lost"):format(tostring(carried), tostring(lost)))
    end)
end)
