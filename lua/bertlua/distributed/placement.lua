--- Which cores each process on a machine computes on.
--
-- Launchers bind ranks in different ways or not at all, so the ranks compare
-- what they were given: those with the same set of cores divide it among
-- themselves, and a rank with its own set keeps it. (Open MPI by default binds
-- each of two ranks to a single core: a binding that nobody asked for is undone
-- first.) A share stays within one NUMA node where possible, and consists of
-- whole cores with all their hardware threads. Where a container limits the time
-- of processors, the ranks in it divide that too: they get fewer threads.

local affinity = require "bertlua.affinity"
local process = require "bertlua.process"
local tensor = require "bertlua.tensor"

local M = {}

local function read(path)
    local file = io.open(path)
    if not file then return nil end
    local text = file:read "*a"
    file:close()
    return text
end

--- "0-3,8" as a list of numbers.
function M.parse_list(text)
    local cores = {}
    for first, last in (text or ""):gmatch "(%d+)%-?(%d*)" do
        for core = tonumber(first), tonumber(last ~= "" and last or first) do cores[#cores + 1] = core end
    end
    return cores
end

--- NUMA node and physical core of every processor.
-- @param cores processors to look up
-- @param root default "/sys/devices/system"
-- @return table by processor of { node, physical }: 0 and the processor itself where the kernel does not say
function M.topology(cores, root)
    root = root or "/sys/devices/system"
    local node_of, map = {}, {}
    for _, node in ipairs(M.parse_list(read(root .. "/node/online"))) do
        for _, core in ipairs(M.parse_list(read(("%s/node/node%d/cpulist"):format(root, node)))) do
            node_of[core] = node
        end
    end
    for _, core in ipairs(cores) do
        -- A physical core is named after the first of its hardware threads.
        local siblings = M.parse_list(read(("%s/cpu/cpu%d/topology/thread_siblings_list"):format(root, core)))
        map[core] = { node = node_of[core] or 0, physical = siblings[1] or core }
    end
    return map
end

-- Physical cores as { node, processors }, nodes in order, and how many nodes there are.
local function physical_cores(cores, map)
    local list, by_physical, nodes, seen = {}, {}, 0, {}
    for _, core in ipairs(cores) do
        local at = map[core]
        local unit = by_physical[at.physical]
        if not unit then
            unit = { node = at.node, first = core, processors = {} }
            by_physical[at.physical] = unit
            list[#list + 1] = unit
        end
        unit.processors[#unit.processors + 1] = core
        if not seen[at.node] then seen[at.node], nodes = true, nodes + 1 end
    end
    table.sort(list, function(a, b)
        if a.node ~= b.node then return a.node < b.node end
        return a.first < b.first
    end)
    return list, nodes
end

-- Items index * n / count to (index + 1) * n / count of a list.
local function share(list, index, count)
    local part, first, last = {}, math.floor(index * #list / count), math.floor((index + 1) * #list / count)
    for i = first + 1, last do part[#part + 1] = list[i] end
    return part
end

-- The node's units, and which of the processes share it.
local function within_node(units, nodes, index, count)
    local order, members = {}, {}
    for _, unit in ipairs(units) do
        if not members[unit.node] then
            members[unit.node] = {}
            order[#order + 1] = unit.node
        end
        table.insert(members[unit.node], unit)
    end
    local place = math.floor(index * nodes / count)
    local first = math.ceil(place * count / nodes)
    local last = math.ceil((place + 1) * count / nodes)
    return members[order[place + 1]], index - first, last - first
end

--- The share of one of `count` processes that may run on the same cores.
-- @param cores ascending
-- @param index of the process, from 0
-- @param count processes
-- @param map topology() of the cores
-- @return list of cores, ascending
function M.split(cores, index, count, map)
    local units, nodes = physical_cores(cores, map)
    local n = count
    if count >= nodes then units, index, n = within_node(units, nodes, index, count) end
    local part = n > #units and { units[index % #units + 1] } or share(units, index, n)
    local result = {}
    for _, unit in ipairs(part) do
        for _, core in ipairs(unit.processors) do result[#result + 1] = core end
    end
    table.sort(result)
    return result
end

-- A 31-bit hash of a string, to tell machines apart.
local function hash(text)
    local value = 7
    for i = 1, #text do value = (value * 131 + text:byte(i)) % 2147483647 end
    return value
end

local function machine()
    local name = (read "/proc/sys/kernel/hostname" or "") .. (read "/proc/sys/kernel/random/boot_id" or "")
    return hash(name), hash(name:reverse())
end

-- The index of this process among those that share its machine and cores, how many they are, and how many share its
-- machine and control groups.
local function compare(comm, cores)
    local a, b = machine()
    local own = { a, b, hash(read "/proc/self/cgroup" or ""), hash(table.concat(cores, ",")), #cores }
    local group = 3
    return tensor.scope(function()
        local mine, all = tensor.from(own, "i64"), tensor.new("i64", { #own * comm.size })
        comm:all_gather(all, mine)
        comm:wait()
        local values, index, count, together = all:tolist(), 0, 0, 0
        for r = 0, comm.size - 1 do
            local equal = 0
            while equal < #own and tonumber(values[r * #own + equal + 1]) == own[equal + 1] do equal = equal + 1 end
            if equal >= group then together = together + 1 end
            if equal == #own then
                if r < comm.rank then index = index + 1 end
                count = count + 1
            end
        end
        return index, count, together
    end)
end

--- The launcher's own cores if it bound this process to some of them without being asked to; else nil.
-- @param env function(name) -> value; default: os.getenv
-- @param proc default "/proc"
function M.launcher_cores(env, proc)
    env, proc = env or os.getenv, proc or "/proc"
    -- Open MPI passes the requested policy on to its processes, and none if none was requested.
    if env "OMPI_MCA_orte_bound_at_launch" ~= "1" or env "OMPI_MCA_hwloc_base_binding_policy" then return nil end
    local parent = (read(proc .. "/self/status") or ""):match "PPid:%s*(%d+)"
    local list = parent and (read(("%s/%s/status"):format(proc, parent)) or ""):match "Cpus_allowed_list:%s*(%S+)"
    return list and M.parse_list(list)
end

--- Threads of one of several processes: one per core, or fewer where a container limits the processors' time.
-- @param cores list that it may run on
-- @param together processes that the limit holds for
-- @param quota processors whose time it allows, nil without a limit
function M.threads_within(cores, together, quota)
    return quota and math.min(#cores, math.max(1, math.ceil(quota / together))) or #cores
end

--- Bind this process to its share of the machine's cores; must be called by all ranks, before the trainer's context is
-- opened. A single process is left alone.
-- @param comm communicator
-- @param bind false: only return what its share would be
-- @return { cores, threads (as many, or fewer: threads_within), shared (processes among which the cores were divided) }
function M.apply(comm, bind)
    local cores = affinity.get()
    local quota = process.quota()
    if comm.size == 1 then return { cores = cores, threads = M.threads_within(cores, 1, quota), shared = 1 } end
    local free = bind ~= false and M.launcher_cores()
    if free and #free > #cores then
        affinity.set(free)
        cores = affinity.get()
    end
    local index, count, together = compare(comm, cores)
    if count > 1 then
        cores = M.split(cores, index, count, M.topology(cores))
        if bind ~= false then affinity.set(cores) end
    end
    return { cores = cores, threads = M.threads_within(cores, together, quota), shared = count }
end

--- Threads of a process if not set explicitly: OMP_NUM_THREADS, or what apply() found.
-- @param placed what apply() returned
function M.threads(placed)
    local given = tonumber((os.getenv "OMP_NUM_THREADS" or ""):match "^%d+")
    return given and given > 0 and given or placed.threads
end

--- "cores 0-3" for logs.
function M.describe(placed)
    local cores, parts, i = placed.cores, {}, 1
    while i <= #cores do
        local j = i
        while cores[j + 1] == cores[j] + 1 do j = j + 1 end
        parts[#parts + 1] = j > i and ("%d-%d"):format(cores[i], cores[j]) or ("%d"):format(cores[i])
        i = j + 1
    end
    return (#cores == 1 and "core " or "cores ") .. table.concat(parts, ",")
end

return M
