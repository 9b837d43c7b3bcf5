--- Communicators as Lua sees them, in a single process. Collectives of every kind: spec/engine/comm.

local comm = require "bertlua.comm"
local fault = require "bertlua.fault"

local fails_here = require("spec.support.errors").fails_here

local ALONE = { rank = 0, size = 1, local_rank = 0, local_size = 1 }

describe("comm", function()
    it("of one process is always the same, and needs no MPI", function()
        local own = comm.self()
        assert.are.equal(own, comm.self())
        assert.are.equal(own, comm.current())
        assert.are.equal(own, comm.open { launch = ALONE })
        assert.are.equal("comm: self, rank 0 of 1", tostring(own))
        assert.is_false(comm.in_job())
    end)

    it("is told where this process stands", function()
        fails_here("comm.open: launch is missing", function() comm.open() end)
        fails_here("comm.open: launch is missing", function() comm.open { device = "cpu" } end)
    end)

    it("refuses one process where several were started", function()
        local ok, problem = pcall(comm.open, { kind = "self", launch = { rank = 1, size = 4, source = "Slurm" } })
        assert.is_false(ok)
        assert.is_true(fault.is(problem))
        assert.are.equal("kind self is for one process, but Slurm started 4", problem.message)
    end)

    it("names no rank in a process of its own", function()
        assert.are.equal("the loss is nan", comm.named "the loss is nan")
        assert.is_true(comm.leave("the loss is nan", 1))
    end)

    it("describes the libraries behind the kinds, or says what is missing", function()
        for _, kind in ipairs { "mpi", "nccl" } do
            local name, missing = comm.describe(kind)
            assert.is_string(name or missing)
        end
        local name, message = comm.describe "carrier pigeon"
        assert.is_nil(name)
        assert.is_string(message)
    end)

    it("can be closed twice, and used no more", function()
        local own = comm.self()
        own:close()
        own:close()
        fails_here("comm: it was closed", function() own:barrier() end)
        assert.are_not.equal(own, comm.self())
    end)

    it("keeps a text for the rendezvous short", function()
        fails_here("rendezvous: 256 bytes, expected at most 255",
            function() comm.rendezvous(("x"):rep(256), ALONE) end)
    end)
end)
