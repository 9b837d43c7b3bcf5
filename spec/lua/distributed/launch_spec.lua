--- Ranks from the variables of launchers.

local launch = require "bertlua.distributed.launch"

local function detect(variables)
    return launch.detect(function(name) return variables[name] end)
end

local function fault_of(variables)
    local ok, problem = pcall(detect, variables)
    assert.is_false(ok)
    return tostring(problem)
end

local OPEN_MPI = { OMPI_COMM_WORLD_RANK = "5", OMPI_COMM_WORLD_SIZE = "8", OMPI_COMM_WORLD_LOCAL_RANK = "1",
    OMPI_COMM_WORLD_LOCAL_SIZE = "4" }

local function with(base, more)
    local result = {}
    for _, list in ipairs { base, more } do
        for name, value in pairs(list) do result[name] = value end
    end
    return result
end

describe("launch", function()
    it("is one process without a launcher", function()
        local found = detect {}
        assert.are.same({ rank = 0, size = 1, local_rank = 0, local_size = 1 }, found)
    end)

    it("reads Open MPI's variables", function()
        assert.are.same({ source = "Open MPI", rank = 5, size = 8, local_rank = 1, local_size = 4 }, detect(OPEN_MPI))
    end)

    it("reads MPICH's, which Slurm's agree with where srun starts it", function()
        local MPICH = { PMI_RANK = "1", PMI_SIZE = "3", MPI_LOCALRANKID = "1", MPI_LOCALNRANKS = "2" }
        local expected = { source = "MPICH", rank = 1, size = 3, local_rank = 1, local_size = 2 }
        assert.are.same(expected, detect(MPICH))
        assert.are.same(expected, detect(with(MPICH, { SLURM_JOB_ID = "1", SLURM_STEP_ID = "0", SLURM_PROCID = "1",
            SLURM_NTASKS = "3", SLURM_LOCALID = "1" })))
        -- Slurm's daemon on each node, which starts the ranks of mpirun, is no rank of them.
        assert.are.same(expected, detect(with(MPICH, { SLURM_JOB_ID = "1", SLURM_STEP_ID = "0", SLURM_PROCID = "0",
            SLURM_STEP_NUM_TASKS = "2", SLURM_STEP_NUM_NODES = "2", SLURM_LOCALID = "0" })))
    end)

    it("reads Slurm's, including tasks per node", function()
        assert.are.same({ source = "Slurm", rank = 9, size = 11, local_rank = 1, local_size = 3 }, detect {
            SLURM_JOB_ID = "1", SLURM_STEP_ID = "0", SLURM_PROCID = "9", SLURM_NTASKS = "11", SLURM_LOCALID = "1",
            SLURM_NODEID = "2", SLURM_TASKS_PER_NODE = "4(x2),3" })
        assert.are.equal(4, detect { SLURM_PROCID = "0", SLURM_NTASKS = "11", SLURM_LOCALID = "0", SLURM_NODEID = "1",
            SLURM_TASKS_PER_NODE = "4(x2),3" }.local_size)
        assert.are.equal(2, detect { SLURM_PROCID = "1", SLURM_NTASKS = "2", SLURM_LOCALID = "1" }.size)
    end)

    it("reads torchrun's, with the address", function()
        assert.are.same({ source = "torchrun", rank = 2, size = 4, local_rank = 0, local_size = 2,
            master_addr = "10.0.0.7", master_port = 4711 }, detect { RANK = "2", WORLD_SIZE = "4", LOCAL_RANK = "0",
            LOCAL_WORLD_SIZE = "2", MASTER_ADDR = "10.0.0.7", MASTER_PORT = "4711" })
    end)

    it("accepts launchers that agree", function()
        local found = detect(with(OPEN_MPI, { RANK = "5", WORLD_SIZE = "8", LOCAL_RANK = "1" }))
        assert.are.equal(5, found.rank)
    end)

    it("refuses launchers that disagree, naming both", function()
        local message = fault_of(with(OPEN_MPI, { RANK = "4", WORLD_SIZE = "8" }))
        assert.is_truthy(message:find("Open MPI says rank 5 of 8", 1, true), message)
        assert.is_truthy(message:find("torchrun says rank 4 of 8 (RANK and WORLD_SIZE)", 1, true), message)
        message = fault_of(with(OPEN_MPI, { SLURM_PROCID = "5", SLURM_NTASKS = "16" }))
        assert.is_truthy(message:find("Slurm says rank 5 of 16", 1, true), message)
        message = fault_of(with(OPEN_MPI, { RANK = "5", WORLD_SIZE = "8", LOCAL_RANK = "3" }))
        assert.is_truthy(message:find("local rank 1", 1, true) and message:find("local rank 3", 1, true), message)
        message = fault_of { SLURM_PROCID = "0", SLURM_NTASKS = "2", RANK = "1", WORLD_SIZE = "2" }
        assert.is_truthy(message:find("Slurm says rank 0 of 2", 1, true), message)
    end)

    it("does not mistake a batch script or an mpirun daemon for a rank", function()
        -- In a batch script Slurm says "task 0 of 8", but nothing started eight.
        local batch = { SLURM_JOB_ID = "1", SLURM_PROCID = "0", SLURM_NTASKS = "8", SLURM_LOCALID = "0" }
        assert.are.equal(1, detect(batch).size)
        assert.are.equal(5, detect(with(OPEN_MPI, batch)).rank)
        -- mpirun starts one daemon per node with srun; its ranks inherit the daemon's variables.
        local daemon = { SLURM_JOB_ID = "1", SLURM_STEP_ID = "0", SLURM_PROCID = "1", SLURM_NTASKS = "2",
            SLURM_STEP_NUM_TASKS = "2", SLURM_STEP_NUM_NODES = "2" }
        local found = detect(with(OPEN_MPI, daemon))
        assert.are.equal("Open MPI", found.source)
        assert.are.equal(8, found.size)
    end)

    it("refuses the impossible", function()
        assert.is_truthy(fault_of { RANK = "1" }:find("RANK is set and WORLD_SIZE is not", 1, true))
        assert.is_truthy(fault_of { RANK = "4", WORLD_SIZE = "4" }:find("expected a rank below the size", 1, true))
        assert.is_truthy(fault_of { RANK = "x", WORLD_SIZE = "4" }:find("RANK is x, expected a whole number", 1, true))
        assert.is_truthy(fault_of { RANK = "0", WORLD_SIZE = "1", MASTER_PORT = "70000" }:find("MASTER_PORT", 1, true))
    end)
end)
