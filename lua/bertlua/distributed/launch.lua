--- Which process of the job this is, from the variables that launchers set:
-- Open MPI's and MPICH's (mpirun), Slurm's (srun) and torchrun's. bertlua has no
-- launcher of its own.
--
-- If two launchers disagree, a fault names both. Slurm also sets its variables
-- where it starts no ranks: in the batch script, and for the one daemon per node
-- through which mpirun starts its ranks; there they are ignored.

local fault = require "bertlua.fault"

local M = {}

local SOURCES = {
    { name = "Open MPI", rank = "OMPI_COMM_WORLD_RANK", size = "OMPI_COMM_WORLD_SIZE",
        local_rank = "OMPI_COMM_WORLD_LOCAL_RANK", local_size = "OMPI_COMM_WORLD_LOCAL_SIZE" },
    -- Those of Intel MPI, too, and of srun where it starts ranks of MPICH (then Slurm's own say the same).
    { name = "MPICH", rank = "PMI_RANK", size = "PMI_SIZE", local_rank = "MPI_LOCALRANKID",
        local_size = "MPI_LOCALNRANKS" },
    { name = "Slurm", rank = "SLURM_PROCID", size = { "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS" },
        local_rank = "SLURM_LOCALID" },
    { name = "torchrun", rank = "RANK", size = "WORLD_SIZE", local_rank = "LOCAL_RANK",
        local_size = "LOCAL_WORLD_SIZE" },
}
local TORCHRUN = SOURCES[#SOURCES]

local function first_set(env, names)
    for _, name in ipairs(type(names) == "table" and names or { names }) do
        local value = env(name)
        if value and value ~= "" then return name, value end
    end
end

local function whole(name, value)
    local number = value and value:match "^%d+$" and tonumber(value)
    if not number then fault.raisef("%s is %s, expected a whole number", name, tostring(value)) end
    return number
end

local function optional(env, name)
    local found, value = first_set(env, name or {})
    return found and whole(found, value)
end

-- SLURM_TASKS_PER_NODE is like "4(x2),3": the number of tasks on each node in turn.
local function slurm_local_size(env)
    local text = env "SLURM_STEP_TASKS_PER_NODE" or env "SLURM_TASKS_PER_NODE"
    local node = tonumber(env "SLURM_NODEID" or "")
    if not text or not node then return nil end
    for tasks, rest in text:gmatch "(%d+)([^,]*)" do
        local nodes = tonumber(rest:match "x(%d+)") or 1
        if node < nodes then return tonumber(tasks) end
        node = node - nodes
    end
end

local function read(env, source)
    local rank_name, rank = first_set(env, source.rank)
    local size_name, size = first_set(env, source.size)
    if not rank_name and not size_name then return nil end
    if not rank_name or not size_name then
        -- In a batch script Slurm sets the number of tasks without being a launcher.
        if source.name == "Slurm" then return nil end
        fault.raisef("%s is set and %s is not, but %s sets both", rank_name or size_name,
            rank_name and source.size or source.rank, source.name)
    end
    local found = {
        source = source.name, names = rank_name .. " and " .. size_name,
        rank = whole(rank_name, rank), size = whole(size_name, size),
        local_rank = optional(env, source.local_rank), local_size = optional(env, source.local_size),
    }
    if found.size < 1 or found.rank >= found.size then
        fault.raisef("%s is %s and %s is %s, expected a rank below the size", rank_name, rank, size_name, size)
    end
    if source.name == "Slurm" then found.local_size = slurm_local_size(env) end
    return found
end

-- Slurm's variables describe this process only if srun started it as one of the ranks.
local function slurm_counts(env, others)
    local step = env "SLURM_STEP_ID" or env "SLURM_STEPID"
    if env "SLURM_JOB_ID" and not step then return false end
    if not others then return true end
    local tasks, nodes = env "SLURM_STEP_NUM_TASKS", env "SLURM_STEP_NUM_NODES"
    return not (tasks and tasks == nodes)
end

local function check_agreement(a, b)
    for _, field in ipairs { "rank", "size", "local_rank" } do
        if a[field] and b[field] and a[field] ~= b[field] then
            fault.raisef("%s says %s %d of %d (%s), but %s says %s %d of %d (%s): unset the variables of the one that "
                .. "did not start this process", a.source, field == "local_rank" and "local rank" or "rank",
                field == "local_rank" and a.local_rank or a.rank, a.size, a.names, b.source,
                field == "local_rank" and "local rank" or "rank",
                field == "local_rank" and b.local_rank or b.rank, b.size, b.names)
        end
    end
end

-- A job on a single machine needs no address; across machines it must be given.
local function rendezvous(env, launch)
    launch.master_addr = env "MASTER_ADDR"
    if launch.master_addr == "" then launch.master_addr = nil end
    local port = env "MASTER_PORT"
    if port and port ~= "" then
        launch.master_port = whole("MASTER_PORT", port)
        if launch.master_port < 1 or launch.master_port > 65535 then
            fault.raisef("MASTER_PORT is %s, expected 1 to 65535", port)
        end
    end
end

--- Work out the launch.
-- @param env function(name) -> value of the environment variable; default: os.getenv
-- @return { rank, size (1 without a launcher), local_rank, local_size (processes on this machine), source
--   ("Open MPI", "MPICH", "Slurm", "torchrun" or nil), master_addr, master_port (nil where unset) }
function M.detect(env)
    env = env or os.getenv
    local found = {}
    for _, source in ipairs(SOURCES) do
        local launch = read(env, source)
        if launch and (source.name ~= "Slurm"
            or slurm_counts(env, found[1] or read(env, TORCHRUN))) then
            found[#found + 1] = launch
        end
    end
    for i = 2, #found do check_agreement(found[1], found[i]) end
    local launch = { rank = 0, size = 1 }
    for i = #found, 1, -1 do
        for _, field in ipairs { "source", "rank", "size", "local_rank", "local_size" } do
            if found[i][field] ~= nil then launch[field] = found[i][field] end
        end
    end
    launch.local_size = launch.local_size or launch.size
    launch.local_rank = launch.local_rank or launch.rank % launch.local_size
    rendezvous(env, launch)
    return launch
end

return M
