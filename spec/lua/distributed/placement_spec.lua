--- Which cores the processes of a machine get, on machines simulated by files.

local affinity = require "bertlua.affinity"
local fs = require "bertlua.util.fs"
local mpi = require "spec.support.mpi"
local placement = require "bertlua.distributed.placement"
local process = require "spec.support.process"

local mpi_it = mpi.specs(it, pending)

local function range(first, last)
    local list = {}
    for i = first, last do list[#list + 1] = i end
    return list
end

local function write(path, text)
    assert(fs.mkdirs(fs.dirname(path)))
    local file = assert(io.open(path, "wb"))
    file:write(text)
    file:close()
end

--- The files of a machine: nodes as lists of processors, threads(core) as the kernel writes them.
local function machine(nodes, threads)
    local root = process.temporary_folder()
    write(root .. "/node/online", ("0-%d\n"):format(#nodes - 1))
    for i, node in ipairs(nodes) do
        write(("%s/node/node%d/cpulist"):format(root, i - 1), node .. "\n")
        for _, core in ipairs(placement.parse_list(node)) do
            write(("%s/cpu/cpu%d/topology/thread_siblings_list"):format(root, core), threads(core) .. "\n")
        end
    end
    return root
end

local function shares(cores, count, map)
    local list = {}
    for i = 0, count - 1 do list[i + 1] = placement.split(cores, i, count, map) end
    return list
end

describe("placement", function()
    local roots = {}
    teardown(function()
        for _, root in ipairs(roots) do process.run("rm -r " .. process.quote(root)) end
    end)
    local function topology(cores, nodes, threads)
        roots[#roots + 1] = machine(nodes, threads)
        return placement.topology(cores, roots[#roots])
    end

    it("reads the kernel's lists", function()
        assert.are.same({ 0, 1, 2, 3, 8, 10, 11 }, placement.parse_list "0-3,8,10-11\n")
        assert.are.same({}, placement.parse_list(nil))
    end)

    it("keeps a share within one node, and the threads of a core together", function()
        -- Two nodes of four cores; processor c + 8 is the other thread of core c.
        local cores = range(0, 15)
        local map = topology(cores, { "0-3,8-11", "4-7,12-15" }, function(core)
            return ("%d,%d"):format(core % 8, core % 8 + 8)
        end)
        assert.are.same({ node = 1, physical = 5 }, map[13])
        assert.are.same({ { 0, 1, 2, 3, 8, 9, 10, 11 }, { 4, 5, 6, 7, 12, 13, 14, 15 } }, shares(cores, 2, map))
        assert.are.same({ { 0, 1, 8, 9 }, { 2, 3, 10, 11 }, { 4, 5, 12, 13 }, { 6, 7, 14, 15 } },
            shares(cores, 4, map))
        -- Three processes on two nodes: none spans both.
        assert.are.same({ { 0, 1, 8, 9 }, { 2, 3, 10, 11 }, { 4, 5, 6, 7, 12, 13, 14, 15 } }, shares(cores, 3, map))
        -- The cores that a container leaves, on both nodes.
        local few = { 2, 3, 4, 5 }
        assert.are.same({ { 2, 3 }, { 4, 5 } }, shares(few, 2, map))
    end)

    it("hands out whole nodes where there are more nodes than processes", function()
        local cores = range(0, 7)
        local map = topology(cores, { "0-1", "2-3", "4-5", "6-7" }, tostring)
        assert.are.same({ { 0, 1, 2, 3 }, { 4, 5, 6, 7 } }, shares(cores, 2, map))
        assert.are.same({ cores }, shares(cores, 1, map))
    end)

    it("uses every core once as long as there are enough, and shares them evenly otherwise", function()
        local cores = range(0, 23)
        local map = topology(cores, { "0-11", "12-23" }, tostring)
        for count = 1, 24 do
            local used = {}
            for _, share in ipairs(shares(cores, count, map)) do
                assert.is_true(#share >= 1)
                for _, core in ipairs(share) do used[#used + 1] = core end
            end
            table.sort(used)
            assert.are.same(cores, used)
        end
        local crowd, of = shares({ 0, 1 }, 5, placement.topology({ 0, 1 }, "/none")), { 0, 0 }
        for _, share in ipairs(crowd) do
            assert.are.equal(1, #share)
            of[share[1] + 1] = of[share[1] + 1] + 1
        end
        assert.are.same({ 3, 2 }, of)
    end)

    it("gives a process no more threads than a container gives it time, and all of them at least one", function()
        local cores = range(0, 7)
        assert.are.equal(8, placement.threads_within(cores, 2, nil))
        assert.are.equal(2, placement.threads_within(cores, 1, 1.5))
        assert.are.equal(2, placement.threads_within(cores, 2, 3))
        assert.are.equal(1, placement.threads_within(cores, 4, 2))
        assert.are.equal(8, placement.threads_within(cores, 2, 64))
    end)

    it("undoes a binding nobody asked for, up to what the launcher may use", function()
        local root = process.temporary_folder()
        roots[#roots + 1] = root
        write(root .. "/self/status", "Name:\tbertlua\nPPid:\t12\nCpus_allowed_list:\t3\n")
        write(root .. "/12/status", "Name:\tmpirun\nPPid:\t1\nCpus_allowed_list:\t2-5\n")
        local function cores(env)
            return placement.launcher_cores(function(name) return env[name] end, root)
        end
        assert.are.same({ 2, 3, 4, 5 }, cores { OMPI_MCA_orte_bound_at_launch = "1" })
        assert.is_nil(cores { OMPI_MCA_orte_bound_at_launch = "1", OMPI_MCA_hwloc_base_binding_policy = "core" })
        assert.is_nil(cores {})
    end)

    it("binds this process and says so", function()
        local before = affinity.get()
        assert.is_true(#before >= 1)
        affinity.set { before[1] }
        assert.are.same({ before[1] }, affinity.get())
        affinity.set(before)
        assert.are.same(before, affinity.get())
        assert.are.equal("cores 0-2,5", placement.describe { cores = { 0, 1, 2, 5 } })
        assert.are.equal("core 3", placement.describe { cores = { 3 } })
        assert.has_error(function() affinity.set { -1 } end)
    end)

    mpi_it("shares this machine's cores among the ranks of a job", function()
        local script = [[
            local placement = require "bertlua.distributed.placement"
            local launch = require("bertlua.distributed.launch").detect()
            local placed = placement.apply(require("bertlua.comm").open { launch = launch })
            io.write(("share %s of %d\n"):format(table.concat(placed.cores, ","), placed.shared))]]
        local output = mpi.run(2, "-e " .. process.quote(script))
        local seen, cores, n = {}, affinity.get(), 0
        for list, shared in output:gmatch "share (%S+) of (%d+)" do
            n = n + 1
            assert.are.equal("2", shared)
            for _, core in ipairs(placement.parse_list(list)) do
                assert.is_true(#cores < 2 or not seen[core], "two ranks have core " .. core)
                seen[core] = true
            end
        end
        assert.are.equal(2, n, output)
    end)
end)
