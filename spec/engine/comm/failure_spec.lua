--- A rank that dies, hangs or fails ends the whole job, with one line that names rank and collective.

local mpi = require "spec.support.mpi"
local process = require "spec.support.process"

local mpi_it = mpi.specs(it, pending)

local worker = process.quote(process.root .. "/spec/support/failing_worker.lua")

-- Seconds of silence, and what the whole job may take beyond that, including startup.
local TIMEOUT, MORE = 1.5, 20

--- @param reported what mpirun says of a rank that ended; where it does, Open MPI 5 may end the others before they can
-- @return the one line that the job printed, or nil if mpirun was faster; exit code
local function fail(n, way, rank, reported)
    local output, code, seconds = mpi.run(n, ("%s %s %d %g"):format(worker, way, rank, TIMEOUT))
    local lines = mpi.messages(output)
    if #lines > 0 or not reported or mpi.major < 5 then
        assert.are.equal(1, #lines, output)
    else
        assert.matches(reported, output)
    end
    assert.is_true(seconds < TIMEOUT + MORE, ("the job took %.1f s"):format(seconds))
    assert.is_true(code ~= 0)
    return lines[1], code
end

local function expect(line, ...)
    for _, fragment in ipairs { ... } do assert.is_truthy(line:find(fragment, 1, true), line) end
end

describe("a job of several processes", function()
    for _, case in ipairs { { 2, 1 }, { 4, 2 }, { 2, 0 } } do
        local n, rank = case[1], case[2]
        mpi_it(("ends when rank %d of %d is killed"):format(rank, n), function()
            local line = fail(n, "kill", rank, "on signal 9")
            if line then expect(line, ("rank %d of %d died"):format(rank, n), "collective 1", "all_reduce f32") end
        end)

        mpi_it(("ends when rank %d of %d is stopped"):format(rank, n), function()
            local line, code = fail(n, "stop", rank)
            expect(line, ("rank %d of %d hangs: no sign of life"):format(rank, n), "collective 11, all_reduce")
            assert.are.equal(71, code)
        end)
    end

    -- mpirun lets it go on before it ends it: then it must not say that the others, who have left, are to blame.
    mpi_it("ends with one line when rank 0 is stopped before its watch had to run", function()
        local line, code = fail(2, "stop-early", 0)
        expect(line, "rank 0 of 2 hangs: no sign of life")
        assert.are.equal(71, code)
    end)

    mpi_it("ends when a rank keeps computing and never reaches the collective", function()
        local line, code = fail(3, "spin", 2)
        expect(line, "rank 2 of 3 hangs: it is in collective 10", "the others have waited", "in collective 11")
        assert.are.equal(71, code)
    end)

    mpi_it("ends with the message of the rank that fails", function()
        local line, code = fail(4, "fault", 3)
        assert.are.equal("bertlua: rank 3 of 4: step 10: the loss is nan", line)
        assert.are.equal(1, code)
    end)

    mpi_it("prints once what goes wrong before the processes meet", function()
        local output, code = mpi.run(4, "recipes/pretrain_phase1.lua --no-such-setting 1")
        local lines = mpi.messages(output)
        assert.are.equal(1, #lines, output)
        expect(lines[1], "no-such-setting")
        assert.are.equal(1, code)
    end)

    mpi_it("prints a failure of all ranks once", function()
        local line, code = fail(4, "fault", -1)
        expect(line, "of 4: step 10: the loss is nan")
        assert.are.equal(1, code)
    end)

    mpi_it("waits for a rank that says it is busy", function()
        local output, code = mpi.run(2, worker .. " busy 1 1")
        assert.are.equal(0, code, output)
        assert.are.same({}, mpi.messages(output))
    end)

    mpi_it("ends when a rank leaves early", function()
        local line, code = fail(2, "exit", 1, "Exit code: +5")
        if line then expect(line, "rank 1 of 2 died") end
        assert.is_true(code == 5 or code == 71, "exit code " .. code)
    end)

    mpi_it("ends when the ranks call different collectives", function()
        expect(fail(2, "order", 1), "rank 1 of 2 calls barrier as collective 11", "rank 0 all_reduce")
    end)
end)
