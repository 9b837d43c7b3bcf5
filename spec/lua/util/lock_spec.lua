--- One run per folder: who holds the lock, and when it no longer counts.

local fault = require "bertlua.fault"
local file_lock = require "bertlua.file_lock"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local lock = require "bertlua.util.lock"
local posix_time = require "posix.time"
local process = require "spec.support.process"
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
        held:check()
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

    it("believes the kernel, not numbers: a holder counts however long it was silent and wherever it runs", function()
        -- As a process in another container looks: same kernel, a number that means nothing here, a time long ago.
        local file = assert(file_lock.take(folder:gsub("/run$", "") .. "/file"))
        file:release()
        local held = lock.take(folder)
        local owner = json.read(folder .. "/.lock")
        assert.is_true(owner.kernel)
        held:release()
        assert(fs.mkdirs(folder))
        local other = assert(file_lock.take(folder .. "/.lock"))
        owner.pid, owner.namespace, owner.id = 2 ^ 22 + 1, "pid:[1]", "another's"
        assert(other:write(json.encode(owner)))
        local long_ago = os.time() - 86400
        utime.utime(folder .. "/.lock", long_ago, long_ago)
        refused "another run is writing here"
        -- It ended without removing the file: the kernel knows at once.
        other:abandon()
        lock.take(folder):release()
        assert.are.same({}, fs.list(folder))
    end)

    it("takes over at once what a process was killed in the middle of writing, if the kernel knows of it", function()
        local held = lock.take(folder)
        local text = assert(fs.read(folder .. "/.lock"))
        held:release()
        write(text:sub(1, math.floor(#text / 2)))
        lock.take(folder):release()
    end)

    it("gives a process's own earlier run up, which failed and was not released", function()
        local first = lock.take(folder)
        local second = lock.take(folder)
        second:check()
        assert.has_error(function() first:check() end)
        second:release()
    end)

    it("tells a holder that has lost the folder, and leaves the new holder's file alone", function()
        local held = lock.take(folder)
        os.remove(folder .. "/.lock")
        local ok, problem = pcall(held.check, held)
        assert.is_false(ok)
        assert.matches("this run no longer has the folder %(.*/%.lock was removed%): it stops here and writes nothing",
            problem.message)
        write { pid = 17, host = "elsewhere" }
        ok, problem = pcall(held.check, held)
        assert.is_false(ok)
        assert.matches("was taken over by process 17 on elsewhere", problem.message, 1, true)
        held:release()
        assert.are.equal(17, json.read(folder .. "/.lock").pid)
    end)

    it("knows a machine that was started anew, and processes of other namespaces only by their time", function()
        local me = { pid = 2, host = HOST, boot = "b", namespace = "pid:[1]" }
        local function stale(changes, age, free)
            local owner = { pid = unistd.getppid(), host = HOST, boot = "b", namespace = "pid:[1]" }
            for name, value in pairs(changes) do owner[name] = value end
            return lock.is_stale(owner, me, age, free)
        end
        assert.is_false(stale({}, 86400))
        assert.is_false(stale({ namespace = "pid:[2]" }, 60))
        assert.is_true(stale({ namespace = "pid:[2]" }, 16 * 60))
        assert.is_false(stale({ boot = "a" }, 0))
        assert.is_true(stale({ boot = "a" }, 1e9))
        assert.is_false(stale({ kernel = true }, 86400, false))
        assert.is_true(stale({ kernel = true }, 0, true))
        assert.is_false(stale({ kernel = true, boot = "a", host = "elsewhere" }, 0, true))
    end)

    describe("without locks of the file system", function()
        local take = file_lock.take
        before_each(function() file_lock.take = function() return false, "unsupported" end end)
        after_each(function() file_lock.take = take end)

        it("holds by a claim that others see, and leaves none behind", function()
            local held = lock.take(folder)
            held:check()
            assert.are.equal(1, #fs.list(folder))
            local name = fs.list(folder)[1]
            -- The parent of this process stands for a live holder.
            local owner = json.read(folder .. "/" .. name)
            owner.pid, owner.birth = unistd.getppid(), nil
            held:release()
            assert.are.same({}, fs.list(folder))
            assert(fs.write(folder .. "/.lock-a", json.encode(owner)))
            local ok, problem = pcall(lock.take, folder)
            assert.is_false(ok)
            assert.matches("another run is writing here.*remove .*/%.lock%-a", problem.message)
            assert.are.same({ ".lock-a" }, fs.list(folder))
            -- Where the kernel has locks on the same folder (another machine's), claims count as well.
            file_lock.take = take
            assert.is_false((pcall(lock.take, folder)))
            assert.are.same({ ".lock-a" }, fs.list(folder))
            os.remove(folder .. "/.lock-a")
        end)

        it("removes stale claims, and heeds a lock that another machine holds", function()
            assert(fs.mkdirs(folder))
            assert(fs.write(folder .. "/.lock-b", json.encode { pid = 2 ^ 22 + 1, host = HOST }))
            local held = lock.take(folder)
            assert.is_false(fs.exists(folder .. "/.lock-b"))
            os.remove(held.path)
            assert.has_error(function() held:check() end)
            write({ pid = 1, host = "elsewhere" }, 60)
            assert.is_false((pcall(lock.take, folder)))
            assert.are.same({ ".lock" }, fs.list(folder))
        end)
    end)

    for kind, rounds in pairs { [""] = 60, claims = 4 } do
        it("has one holder at a time, and one always, after a stale lock: " .. (kind == "" and "kernel" or kind),
            function()
                local output, code = process.run_bertlua(("spec/faults/lock_race.lua %d 4 %s"):format(rounds, kind))
                assert.are.equal(0, code, output)
                local result = json.decode(output)
                assert.are.same({ rounds, 0, 0 }, { result.rounds, result.double, result.none })
            end)
    end

    it("names a folder that is not writable", function()
        assert.has_error(function() lock.take "/proc/none" end)
    end)
end)
