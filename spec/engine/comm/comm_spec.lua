--- Communicators of every kind: spec/support/comm_worker.lua says what they must do. NCCL: spec/cuda/comm_spec.lua.

local fs = require "bertlua.util.fs"
local mpi = require "spec.support.mpi"
local process = require "spec.support.process"

local mpi_it = mpi.specs(it, pending)

local worker = process.quote(process.root .. "/spec/support/comm_worker.lua")

local OPEN = [[require("bertlua.comm").open { launch = require("bertlua.distributed.launch").detect()%s }]]

local function all_right(output, n, kind)
    for rank = 0, n - 1 do
        local line = ("rank %d of %d: %s is right"):format(rank, n, kind)
        assert.is_truthy(output:find(line, 1, true), output)
    end
end

describe("communicator", function()
    it("of one process", function()
        local output, code = process.run_bertlua(worker .. " self")
        all_right(output, 1, "self")
        assert.are.equal(0, code)
    end)

    for n = 1, 4 do
        mpi_it(("over MPI, %d %s"):format(n, n == 1 and "process" or "processes"), function()
            local output, code = mpi.run(n, worker .. " mpi")
            all_right(output, n, "mpi")
            assert.are.equal(0, code)
        end)
    end

    mpi_it("sums to the same bits on every run and every rank", function()
        local script = [[
            local tensor = require "bertlua.tensor"
            local c = require("bertlua.comm").open { launch = require("bertlua.distributed.launch").detect() }
            local t = tensor.new("f32", { 5000 })
            require("bertlua.ops").fill_normal(t, 0, 1, 7, c.rank)
            c:all_reduce(t)
            c:wait()
            local words = require("bertlua.array").wrap(t)
            local sum = 0
            for i = 0, 4999 do sum = (sum * 31 + words[i] * 2 ^ 23) % 4294967296 end
            io.write(("bits %.3f\n"):format(sum))]]
        local first
        for _ = 1, 2 do
            local output = mpi.run(3, "-e " .. process.quote(script))
            local n = 0
            for bits in output:gmatch "bits (%S+)" do
                first, n = first or bits, n + 1
                assert.are.equal(first, bits)
            end
            assert.are.equal(3, n, output)
        end
    end)

    it("says what to install where a plug-in is missing", function()
        local output, code = process.run("env OMPI_COMM_WORLD_RANK=0 OMPI_COMM_WORLD_SIZE=2 " .. process.quote(
            process.bertlua) .. " -e " .. process.quote(OPEN:format ', library = "/none/libbertlua-mpi.so"'))
        assert.is_truthy(output:find("apt-get install libopenmpi-dev openmpi-bin", 1, true), output)
        assert.are.equal(71, code)
    end)

    it("says what to install where a plug-in lacks its MPI", function()
        local folder = assert(fs.temporary_folder "bertlua-plug-in-")
        local command = "cd %s && ${CC:-cc} -shared -o libgone.so -x c /dev/null && "
            .. "${CC:-cc} -shared -Wl,--no-as-needed -o plug-in.so -x c /dev/null -x none libgone.so && rm libgone.so"
        assert.are.equal(0, os.execute(command:format(process.quote(folder))))
        local script = OPEN:format((", library = %q"):format(folder .. "/plug-in.so"))
        local output, code = process.run("env OMPI_COMM_WORLD_RANK=0 OMPI_COMM_WORLD_SIZE=2 " .. process.quote(
            process.bertlua) .. " -e " .. process.quote(script))
        fs.remove(folder)
        assert.is_truthy(output:find("libgone.so", 1, true), output)
        assert.is_truthy(output:find("built with: apt-get install openmpi-bin", 1, true), output)
        assert.are.equal(71, code)
    end)

    mpi_it("notices that MPI did not start the processes", function()
        local output, code = process.run("env RANK=0 WORLD_SIZE=2 " .. process.quote(process.bertlua)
            .. " -e " .. process.quote(OPEN:format ""))
        assert.is_truthy(output:find("MPI says this is rank 0 of 1, the launch variables say rank 0 of 2", 1, true),
            output)
        assert.are.equal(71, code)
    end)
end)
