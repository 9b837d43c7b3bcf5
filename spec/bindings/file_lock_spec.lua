--- Locks of the kernel on files: who has one, how it ends, and the time that a thread keeps recent.

local file_lock = require "bertlua.file_lock"
local fs = require "bertlua.util.fs"
local posix_time = require "posix.time"
local stat = require "posix.sys.stat"
local unistd = require "posix.unistd"
local utime = require "posix.utime"
local wait = require "posix.sys.wait"

describe("file_lock", function()
    local folder, path
    before_each(function()
        folder = assert(fs.temporary_folder "bertlua-file-lock")
        path = folder .. "/file"
    end)
    after_each(function() assert(fs.remove(folder)) end)

    --- What a forked process is told.
    local function answer_of_another()
        local child = assert(unistd.fork())
        if child == 0 then
            local file, answer = file_lock.take(path)
            if file then file:abandon() end
            unistd._exit(answer == "held" and 1 or answer == "taken" and 2 or 3)
        end
        return ({ "held", "taken", "unsupported" })[select(3, wait.wait(child))]
    end

    it("belongs to one at a time, and is free once released or its process has ended", function()
        local file, answer, new = file_lock.take(path)
        assert.are.same({ "held", true }, { answer, new })
        assert.is_true(file:is_current())
        assert.are.equal("taken", answer_of_another())
        assert.are.same({ false, "taken" }, { file_lock.take(path) })
        file:release()
        file:release()
        assert.is_false(file:is_current())
        assert.is_false(fs.exists(path))
        assert.are.equal("held", answer_of_another())
        file, answer, new = file_lock.take(path)
        assert.are.same({ "held", false }, { answer, new })
        file:abandon()
        assert.is_true(fs.exists(path))
    end)

    it("writes contents in place of the earlier ones", function()
        local file = assert(file_lock.take(path))
        assert(file:write "a longer text")
        assert(file:write "short")
        assert.are.equal("short", fs.read(path))
        file:release()
    end)

    it("sees that the path names another file now, and does not remove that one", function()
        local file = assert(file_lock.take(path))
        os.remove(path)
        assert.is_false(file:is_current())
        assert(fs.write(path, "another"))
        assert.is_false(file:is_current())
        file:release()
        assert.are.equal("another", fs.read(path))
    end)

    it("stays with the process that took it when a forked one gives it up", function()
        local file = assert(file_lock.take(path))
        assert(file:keep(60))
        local child = assert(unistd.fork())
        if child == 0 then
            file:release()
            unistd._exit(0)
        end
        wait.wait(child)
        assert.is_true(file:is_current())
        assert.are.equal("taken", answer_of_another())
        file:release()
    end)

    it("keeps the file's time recent while its process does something else", function()
        local file = assert(file_lock.take(path))
        assert(file:keep(0.01))
        utime.utime(path, 1000, 1000)
        for _ = 1, 500 do
            if stat.stat(path).st_mtime > 1000 then break end
            posix_time.nanosleep { tv_sec = 0, tv_nsec = 1e7 }
        end
        assert.is_true(stat.stat(path).st_mtime > 1000)
        file:release()
    end)

    it("creates claims once, and follows no links", function()
        local file = assert(file_lock.claim(path))
        assert.are.same({ false, "taken" }, { file_lock.claim(path) })
        file:release()
        assert(unistd.link(folder .. "/target", path, true))
        local taken, message = file_lock.take(path)
        assert.is_nil(taken)
        assert.matches("/file: cannot open: ", message, 1, true)
        assert.is_false(fs.exists(folder .. "/target"))
        assert.is_nil((file_lock.take(folder .. "/none/file")))
        assert.is_nil((file_lock.claim(folder .. "/none/file")))
    end)
end)
