--- Runs as processes of the same executable, one after another or several at once.
--
-- A fault, or a crash, of one leaves the others as they are. When a signal asks this process to end, all of them are
-- told to and waited for; they die with it when it is killed.

local fault = require "bertlua.fault"
local posix_signal = require "posix.signal"
local posix_time = require "posix.time"
local fcntl = require "posix.fcntl"
local signal = require "bertlua.signal"
local stdlib = require "posix.stdlib"
local unistd = require "posix.unistd"
local wait = require "posix.sys.wait"

local M = {}

-- How often children are looked at: what starts when one ends waits no longer.
local POLL_NANOSECONDS = 50 * 1000 * 1000
local NOT_STARTED = 127

--- In the process just forked: become the program. Never returns.
local function become(command, log, environment, parent)
    signal.die_with(parent)
    for name, value in pairs(environment or {}) do stdlib.setenv(name, value, true) end
    if log then
        local file = fcntl.open(log, fcntl.O_WRONLY + fcntl.O_CREAT + fcntl.O_APPEND, tonumber("644", 8))
        local nothing = fcntl.open("/dev/null", fcntl.O_RDONLY)
        if not file or not nothing then unistd._exit(NOT_STARTED) end
        unistd.dup2(nothing, 0)
        unistd.dup2(file, 1)
        unistd.dup2(file, 2)
    end
    local arguments = { [0] = command[1] }
    for i = 2, #command do arguments[i - 1] = command[i] end
    unistd.execp(command[1], arguments)
    unistd._exit(NOT_STARTED)
end

local function start(job)
    io.stdout:flush()
    io.stderr:flush()
    local parent = unistd.getpid()
    local pid, message = unistd.fork()
    if not pid then fault.raisef("cannot start %s: %s", job.name, tostring(message)) end
    if pid == 0 then become(job.command, job.log, job.environment, parent) end
    return pid
end

--- How a process ended, for people; nil if well.
local function problem_of(how, code)
    if how == "exited" and code == 0 then return nil end
    if how == "exited" then return ("exit code %d"):format(code) end
    return ("ended by signal %d"):format(code)
end

--- Run jobs.
-- @param jobs list of {name; command: list of words; log: file for its output, or nil for this process's; environment:
--   variables, or nil}
-- @param options at_once: processes at a time (1); started(job); ended(job, problem, stopped): problem nil or text,
--   stopped whether all of them were told to end; prepare(job, slot): called before the start with the number, from 1,
--   of the place that it takes among those at once
-- @return name of the signal that ended it, or nil
function M.run(jobs, options)
    local at_once, running, slots, next_job, stopped = options.at_once or 1, {}, {}, 1, nil
    signal.trap()
    local count = 0
    while next_job <= #jobs and not stopped or count > 0 do
        while count < at_once and next_job <= #jobs and not stopped do
            local job, slot = jobs[next_job], 1
            while slots[slot] do slot = slot + 1 end
            if options.prepare then options.prepare(job, slot) end
            if options.started then options.started(job) end
            running[start(job)], slots[slot], job.slot = job, true, slot
            next_job, count = next_job + 1, count + 1
        end
        for pid, job in pairs(running) do
            local found, how, code = wait.wait(pid, wait.WNOHANG)
            if found ~= 0 then
                running[pid], slots[job.slot], count = nil, nil, count - 1
                if options.ended then options.ended(job, problem_of(how, code), stopped ~= nil) end
            end
        end
        if not stopped and signal.pending() then
            stopped = signal.pending()
            -- A second SIGINT would end a process that the terminal has already sent one, before it has saved.
            for pid in pairs(running) do posix_signal.kill(pid, posix_signal.SIGTERM) end
        end
        if count > 0 then posix_time.nanosleep { tv_sec = 0, tv_nsec = POLL_NANOSECONDS } end
    end
    signal.untrap()
    return stopped
end

return M
