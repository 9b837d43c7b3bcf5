--- Limits of containers, on systems made of files, and in a group of this system's where one can be made.

local fs = require "bertlua.util.fs"
local lfs = require "lfs"
local process = require "bertlua.process"
local programs = require "spec.support.process"

local quote, run, temporary_folder = programs.quote, programs.run, programs.temporary_folder

local GIB = 2 ^ 30

--- A new group of this system's with half a processor and 300 MiB, below those of this process.
-- @return its folders, of each controller; nil where none can be made (no root, read-only, controllers not handed down)
local function make_group()
    local folders = {}
    local function write(folder, name, text)
        local file = io.open(("%s/%s"):format(folder, name), "r+")
        local done = file and file:write(text) and file:flush()
        if file then file:close() end
        return done
    end
    local function make(mount, name, files)
        local folder = ("%s%s/bertlua-spec-%d"):format(mount, name, require("posix.unistd").getpid())
        if not lfs.mkdir(folder) then return false end
        folders[#folders + 1] = folder
        for _, entry in ipairs(files) do
            if not write(folder, entry[1], entry[2]) then return false end
        end
        return true
    end
    local groups = "\n" .. (fs.read "/proc/self/cgroup" or "")
    local cpu, memory = groups:match "\n%d+:cpu[%w,]*:([^\n]*)", groups:match "\n%d+:memory:([^\n]*)"
    local unified = groups:match "\n0::([^\n]*)"
    local bytes, made = ("%d"):format(300 * 2 ^ 20), nil
    if cpu and memory then
        made = make("/sys/fs/cgroup/cpu", cpu, { { "cpu.cfs_period_us", "100000" }, { "cpu.cfs_quota_us", "50000" } })
            and make("/sys/fs/cgroup/memory", memory, { { "memory.limit_in_bytes", bytes } })
    elseif unified then
        made = make("/sys/fs/cgroup", unified, { { "cpu.max", "50000 100000" }, { "memory.max", bytes } })
    end
    if made then return folders end
    for _, folder in ipairs(folders) do lfs.rmdir(folder) end
end

describe("limits of control groups", function()
    local roots = {}
    teardown(function()
        for _, root in ipairs(roots) do run("rm -r " .. quote(root)) end
    end)

    --- A system with 8 GiB, 6 of them free.
    -- @param groups text of /proc/self/cgroup
    -- @param mounts text of /proc/self/mountinfo
    -- @param files {path = text}
    local function system(groups, mounts, files)
        local root = temporary_folder()
        roots[#roots + 1] = root
        local all = { ["/proc/self/cgroup"] = groups, ["/proc/self/mountinfo"] = mounts,
            ["/proc/meminfo"] = "MemTotal:        8388608 kB\nMemFree:  1 kB\nMemAvailable:    6291456 kB\n" }
        for path, text in pairs(files or {}) do all[path] = text end
        for path, text in pairs(all) do
            assert(fs.mkdirs(fs.dirname(root .. path)))
            assert(fs.write(root .. path, text))
        end
        return root
    end

    local function assert_limits(root, quota, left, total)
        assert.are.equal(quota, process.quota(root))
        local got_left, got_total, limited = process.memory_left(root)
        assert.are.same({ left or 6 * GIB, total or 8 * GIB, total ~= nil }, { got_left, got_total, limited })
    end

    local UNIFIED = "20 1 0:1 / / rw - ext4 /dev/root rw\n"
        .. "31 20 0:28 %s /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"

    it("are none where nothing says so", function()
        assert_limits(system("", ""))
        assert_limits(system("0::/user.slice\n", UNIFIED:format "/"))
        assert_limits(system("0::/\n", UNIFIED:format "/", {
            ["/sys/fs/cgroup/cpu.max"] = "max 100000\n", ["/sys/fs/cgroup/memory.max"] = "max\n",
            ["/sys/fs/cgroup/memory.high"] = "max\n", ["/sys/fs/cgroup/memory.current"] = "123\n",
        }))
        local nothing, message = process.memory_left "/no/such"
        assert.is_nil(nothing)
        assert.is_truthy(message:find "/no/such/proc/meminfo")
    end)

    it("are a container's own, in version 2, without what files are cached", function()
        local files = { ["/sys/fs/cgroup/cpu.max"] = "150000 100000\n", ["/sys/fs/cgroup/memory.max"] = 2 * GIB .. "\n",
            ["/sys/fs/cgroup/memory.current"] = 1.5 * GIB .. "\n", ["/sys/fs/cgroup/memory.high"] = "max\n",
            ["/sys/fs/cgroup/memory.stat"] = ("anon 12\ninactive_file %d\nactive_file %d\nslab_reclaimable %d\n"
                .. "slab 99\n"):format(GIB / 2, GIB / 4, GIB / 8) }
        local root = system("0::/\n", UNIFIED:format "/", files)
        assert_limits(root, 1.5, (2 - 1.5 + 0.5 + 0.25 + 0.125) * GIB, 2 * GIB)
        -- Without a namespace the name is the whole one, and the mounted part begins at the container.
        assert_limits(system("0::/docker/ab\n", UNIFIED:format "/docker/ab", files), 1.5, 1.375 * GIB, 2 * GIB)
        -- A group outside the namespace.
        assert_limits(system("0::/../ab\n", UNIFIED:format "/", files), 1.5, 1.375 * GIB, 2 * GIB)
    end)

    it("are the smallest on the way up", function()
        local files = {
            ["/sys/fs/cgroup/a.slice/cpu.max"] = "50000 100000",
            ["/sys/fs/cgroup/a.slice/b c/cpu.max"] = "300000 100000",
            ["/sys/fs/cgroup/a.slice/memory.max"] = 4 * GIB .. "\n",
            ["/sys/fs/cgroup/a.slice/memory.current"] = 3.5 * GIB .. "\n",
            ["/sys/fs/cgroup/a.slice/b c/memory.high"] = 3 * GIB .. "\n",
            ["/sys/fs/cgroup/a.slice/b c/memory.max"] = "max\n",
            ["/sys/fs/cgroup/a.slice/b c/memory.current"] = GIB .. "\n",
            -- Not on the way: the group of another.
            ["/sys/fs/cgroup/a.slice/b/cpu.max"] = "1000 100000", ["/sys/fs/cgroup/a.slice/b/memory.max"] = "4096\n",
        }
        assert_limits(system("0::/a.slice/b c\n", UNIFIED:format "/", files), 0.5, 0.5 * GIB, 3 * GIB)
    end)

    it("are found in version 1, whose controllers have groups of their own", function()
        local mounts = "32 31 0:29 /docker/ab /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
            .. "33 31 0:30 / /sys/fs/cgroup/memory\\040v1 rw - cgroup cgroup rw,memory\n"
            .. "34 31 0:31 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
        local groups = "4:memory:/job/7\n3:cpuset:/\n2:cpu,cpuacct:/docker/ab\n0::/\n"
        local memory = "/sys/fs/cgroup/memory v1"
        local root = system(groups, mounts, {
            ["/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us"] = "250000\n",
            ["/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us"] = "100000\n",
            [memory .. "/memory.limit_in_bytes"] = "9223372036854771712\n",
            [memory .. "/job/memory.limit_in_bytes"] = "9223372036854771712\n",
            [memory .. "/job/7/memory.limit_in_bytes"] = GIB .. "\n",
            [memory .. "/job/7/memory.usage_in_bytes"] = GIB / 2 .. "\n",
            [memory .. "/job/7/memory.stat"] = ("inactive_file 4096\ntotal_inactive_file %d\n"):format(GIB / 4),
        })
        assert_limits(root, 2.5, 0.75 * GIB, GIB)
        assert_limits(system(groups, mounts, { ["/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us"] = "-1\n",
            ["/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us"] = "100000\n" }))
    end)

    it("lower a limit of memory, and say so", function()
        local root = system("0::/\n", UNIFIED:format "/", { ["/sys/fs/cgroup/memory.max"] = 1000 * 2 ^ 20 .. "\n" })
        local bytes, line = process.memory_within(2048 * 2 ^ 20, root)
        assert.are.equal(900 * 2 ^ 20, bytes)
        assert.are.equal("memory_limit is 900 MiB instead of 2048 MiB: this container may use 1000 MiB", line)
        assert.are.same({ 800 * 2 ^ 20 }, { process.memory_within(800 * 2 ^ 20, root) })
        -- A machine's own memory is not a limit that somebody set.
        assert.are.same({ 64 * GIB }, { process.memory_within(64 * GIB, system("", "")) })
    end)

    it("are those of a group of this system", function()
        local folders = make_group()
        if not folders then return pending "no control group can be made here" end
        local enter = {}
        for i, folder in ipairs(folders) do enter[i] = ("echo $$ > %s/cgroup.procs && "):format(quote(folder)) end
        local script = programs.temporary [[
            local context, device = require "bertlua.context", require "bertlua.device"
            local process = require "bertlua.process"
            local left, total, limited = process.memory_left()
            local free, all = device.memory()
            print(process.quota(), process.processors(), context.threads(), total / 2 ^ 20, limited, all == total,
                left > 0 and left < total and math.abs(free - left) < 2 ^ 24)
        ]]
        local line = "env -u OMP_NUM_THREADS -u BERTLUA_DEVICE " .. quote(programs.bertlua) .. " "
        local text = run("sh -c " .. quote(table.concat(enter) .. line .. script))
        local doctor = run("sh -c " .. quote(table.concat(enter) .. line .. "doctor"))
        os.remove(script)
        for _, folder in ipairs(folders) do
            -- The kernel may still count the process that has just ended.
            for _ = 1, 100 do
                if lfs.rmdir(folder) then break end
                run "sleep 0.02"
            end
            assert.is_nil(lfs.attributes(folder))
        end
        assert.are.equal("0.5\t1\t1\t300\ttrue\ttrue\ttrue\n", text)
        assert.is_truthy(doctor:find "\nok +threads +1 of %d+ cores: this container gets the time of 0.5\n", doctor)
        assert.is_truthy(doctor:find "\nnote +memory +0.3 GiB free of the 0.3 GiB that this container may use\n",
            doctor)
    end)
end)
