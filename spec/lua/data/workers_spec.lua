--- Forked workers: none outlives its parent, however the parent ends.

local clock = require "bertlua.util.clock"
local fs = require "bertlua.util.fs"
local process = require "spec.support.process"
local signal = require "posix.signal"

local function wait_until(condition)
    local deadline = clock.monotonic() + 20
    repeat
        local value = condition()
        if value then return value end
        process.run "sleep 0.01"
    until clock.monotonic() > deadline
    return nil
end

--- Whether a process is alive; a zombie is not.
local function lives(pid)
    local state = fs.read(("/proc/%d/stat"):format(pid))
    return state ~= nil and state:match "%) (%a)" ~= "Z"
end

describe("workers", function()
    it("die immediately when their parent is killed", function()
        local base = process.temporary_folder()
        local parent = tonumber((process.run(("%s %s %s/pid >%s/output 2>&1 & echo $!"):format(
            process.quote(process.bertlua), process.quote(process.root .. "/spec/support/waiting_workers.lua"), base,
            base))))
        local pids = {}
        for i = 1, 2 do
            pids[i] = tonumber(wait_until(function() return fs.read(("%s/pid.%d"):format(base, i)) end))
            assert.is_true(lives(pids[i]))
        end
        assert.are.equal(0, signal.kill(parent, signal.SIGKILL))
        local started = clock.monotonic()
        for i = 1, 2 do
            assert.is_true(wait_until(function() return not lives(pids[i]) end))
        end
        -- They would have slept for a minute.
        assert.is_true(clock.monotonic() - started < 40)
        fs.remove(base)
    end)
end)
