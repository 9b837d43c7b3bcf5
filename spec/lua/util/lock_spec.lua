--- One run per folder: who holds the lock, and when it no longer counts.

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local lock = require "bertlua.util.lock"
local posix_time = require "posix.time"
local unistd = require "posix.unistd"
local utime = require "posix.utime"
local utsname = require "posix.sys.utsname"

local HOST = utsname.uname().nodename

describe("lock", function()
    local folder
    before_each(function() folder = assert(fs.temporary_folder "bertlua-lock") .. "/run" end)
    after_each(function() assert(fs.remove(fs.dirname(folder))) end)

    local function write(owner, age)
        assert(fs.mkdirs(folder))
        assert(fs.write(folder .. "/.lock", type(owner) == "string" and owner or json.encode(owner)))
        local time = os.time() - (age or 0)
        utime.utime(folder .. "/.lock", time, time)
    end

    local function refused(pattern)
        local ok, problem = pcall(lock.take, folder)
        assert.is_false(ok)
        assert.is_true(fault.is(problem), tostring(problem))
        assert.matches(pattern, problem.message)
        assert.is_true(fs.exists(folder .. "/.lock"))
    end

    it("says who holds the folder, and disappears on release", function()
        local held = lock.take(folder)
        local owner = json.read(folder .. "/.lock")
        assert.are.same({ unistd.getpid(), HOST }, { owner.pid, owner.host })
        held:touch()
        held:release()
        held:release()
        assert.are.same({}, fs.list(folder))
    end)

    it("refuses a folder that a live process holds", function()
        -- Our parent lives as long as we do.
        write { pid = unistd.getppid(), host = HOST }
        refused("another run is writing here %(process " .. unistd.getppid() .. " on " .. HOST:gsub("%p", "%%%0"))
    end)

    it("takes over from a process that is gone, or whose number is another's now", function()
        local pipe = io.popen "echo $$"
        local gone = tonumber(pipe:read "*l")
        pipe:close()
        for _, owner in ipairs { { pid = gone, host = HOST }, { pid = unistd.getppid(), host = HOST, birth = 1 },
            { pid = unistd.getpid(), host = HOST } } do
            write(owner)
            local held = lock.take(folder)
            assert.are.equal(unistd.getpid(), json.read(folder .. "/.lock").pid)
            held:release()
        end
    end)

    it("takes over from a zombie", function()
        local child = assert(unistd.fork())
        if child == 0 then unistd._exit(0) end
        local state
        for _ = 1, 1000 do
            state = assert(fs.read(("/proc/%d/stat"):format(child))):match "^.*%) (%a)"
            if state == "Z" then break end
            posix_time.nanosleep { tv_sec = 0, tv_nsec = 1e6 }
        end
        assert.are.equal("Z", state)
        write { pid = child, host = HOST }
        lock.take(folder):release()
        require("posix.sys.wait").wait(child)
    end)

    it("trusts another machine for 15 minutes after the last touch", function()
        write({ pid = 1, host = "elsewhere" }, 14 * 60)
        refused "process 1 on elsewhere"
        write({ pid = 1, host = "elsewhere" }, 16 * 60)
        lock.take(folder):release()
    end)

    it("takes over at once when the same batch job comes back on another machine", function()
        local owner = { pid = 1, host = "elsewhere", job = "77" }
        assert.is_true(lock.is_stale(owner, { pid = 2, host = HOST, job = "77" }, 0))
        assert.is_false(lock.is_stale(owner, { pid = 2, host = HOST, job = "78" }, 0))
        assert.is_false(lock.is_stale(owner, { pid = 2, host = HOST }, 0))
    end)

    it("gives a half-written lock one minute", function()
        write "{"
        refused "process unknown on an unknown machine"
        write("{", 61)
        lock.take(folder):release()
    end)

    it("names a folder that is not writable", function()
        assert.has_error(function() lock.take "/proc/none" end)
    end)
end)
