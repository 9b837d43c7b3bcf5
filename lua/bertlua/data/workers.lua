--- A pool of forked processes that divide numbered tasks among themselves and
-- report their progress to the parent. A task must give the same result in any
-- process, and only numbers come back. Nothing here depends on the job itself.
-- @module bertlua.data.workers

local fault = require "bertlua.fault"
local poll = require "posix.poll"
local signal = require "bertlua.signal"
local posix_signal = require "posix.signal"
local unistd = require "posix.unistd"
local wait = require "posix.sys.wait"

local workers = {}

-- How often the parent checks for Ctrl-C while no worker reports.
local POLL_MILLISECONDS = 200

--- Write a whole string to a pipe; where die_with does not work, SIGPIPE ends the worker when the parent has died.
local function send(pipe, text)
    local done = 0
    while done < #text do
        local written, message = unistd.write(pipe, text:sub(done + 1))
        if not written then error("worker: cannot write to its pipe: " .. tostring(message), 0) end
        done = done + written
    end
end

--- What one worker does: its share of the tasks, with one line per progress report and result.
local function work(pipe, first, stride, tasks, run)
    local good, problem = pcall(function()
        for task = first, tasks, stride do
            local last = 0
            local result = run(task, function(amount)
                -- A line per tenth of a second of work or so is enough.
                if amount - last >= 65536 then
                    send(pipe, ("progress %d\n"):format(amount - last))
                    last = amount
                end
            end)
            local fields = {}
            for name, value in pairs(result) do fields[#fields + 1] = ("%s=%.17g"):format(name, value) end
            send(pipe, ("result %d %s\n"):format(task, table.concat(fields, " ")))
        end
    end)
    if not good then
        local kind = fault.is(problem) and "fault" or "defect"
        send(pipe, kind .. " " .. (tostring(problem):gsub("%s*\n%s*", "; ")) .. "\n")
    end
    send(pipe, "end\n")
end

--- Start one worker.
-- @return {pid, pipe, number}
local function start(number, count, tasks, run, others)
    local reader, writer = unistd.pipe()
    if not reader then fault.raise("cannot create a pipe for worker " .. number .. ": " .. tostring(writer)) end
    io.stdout:flush()
    io.stderr:flush()
    local parent = unistd.getpid()
    local pid, message = unistd.fork()
    if not pid then fault.raise("cannot start worker " .. number .. ": " .. tostring(message)) end
    if pid == 0 then
        signal.die_with(parent)
        unistd.close(reader)
        for _, other in ipairs(others) do unistd.close(other.pipe) end
        posix_signal.signal(posix_signal.SIGTERM, posix_signal.SIG_DFL)
        posix_signal.signal(posix_signal.SIGINT, posix_signal.SIG_IGN)
        local good = pcall(work, writer, number, count, tasks, run)
        -- Not os.exit: a worker must not flush the parent's buffers or run its finalizers.
        unistd._exit(good and 0 or 1)
    end
    unistd.close(writer)
    return { pid = pid, pipe = reader, number = number, rest = "" }
end

local function reap(worker)
    unistd.close(worker.pipe)
    local _, how, code = wait.wait(worker.pid)
    worker.gone = true
    return how, code
end

local function stop_all(list)
    for _, worker in ipairs(list) do
        if not worker.gone then
            posix_signal.kill(worker.pid, posix_signal.SIGTERM)
            reap(worker)
        end
    end
end

local function parse_result(text)
    local task, fields = text:match("^(%d+) ?(.*)$")
    local result = {}
    for name, value in fields:gmatch("([%w_]+)=(%S+)") do result[name] = tonumber(value) end
    return tonumber(task), result
end

--- Process what a worker wrote.
local function take_lines(worker, text, results, on_progress)
    worker.rest = worker.rest .. text
    local consumed = 1
    for line, stop in worker.rest:gmatch("([^\n]*)\n()") do
        consumed = stop
        local kind, value = line:match("^(%S+) ?(.*)$")
        if kind == "progress" then
            if on_progress then on_progress(tonumber(value)) end
        elseif kind == "result" then
            local task, result = parse_result(value)
            results[task] = result
        elseif kind == "fault" or kind == "defect" then
            worker.problem, worker.kind = value, kind
        elseif kind == "end" then
            worker.ended = true
        end
    end
    worker.rest = worker.rest:sub(consumed)
end

--- What went wrong in a finished worker, or nil.
local function complaint(worker, how, code)
    if worker.problem then return worker.problem end
    if worker.ended and how == "exited" and code == 0 then return nil end
    if how == "killed" then
        local hint = code == posix_signal.SIGKILL and " (out of memory? use fewer workers or more shards)" or ""
        return ("worker %d was killed by signal %d%s"):format(worker.number, code, hint)
    end
    return ("worker %d exited early with code %s"):format(worker.number, tostring(code))
end

--- Poll all pipes once; a worker's fault or death ends the whole pool.
local function collect(list, results, on_progress)
    local watched = {}
    for _, worker in ipairs(list) do
        if not worker.gone then watched[worker.pipe] = { events = { IN = true } } end
    end
    poll.poll(watched, POLL_MILLISECONDS)
    for _, worker in ipairs(list) do
        local seen = not worker.gone and watched[worker.pipe]
        local events = seen and seen.revents or {}
        if events.IN or events.HUP then
            local text = unistd.read(worker.pipe, 65536)
            if text and text ~= "" then
                take_lines(worker, text, results, on_progress)
            elseif text == "" then
                local problem = complaint(worker, reap(worker))
                if problem then
                    if worker.kind == "defect" then error(problem, 0) end
                    fault.raise(problem)
                end
            end
        end
    end
end

local function any_alive(list)
    for _, worker in ipairs(list) do
        if not worker.gone then return true end
    end
    return false
end

--- Run tasks 1..tasks.
-- @tparam number count processes; 1 runs in this process
-- @tparam number tasks
-- @tparam function run run(task, report) -> table of numbers; report(amount) reports how much of the task is done
-- @tparam function on_progress called with each additional amount, or nil
-- @tparam function on_stop called with the pids of the workers if the job is aborted, or nil
-- @return list of the results by task
function workers.run(count, tasks, run, on_progress, on_stop)
    local results = {}
    if count <= 1 then
        for task = 1, tasks do
            local last = 0
            results[task] = run(task, function(amount)
                if on_progress then on_progress(amount - last) end
                last = amount
            end)
        end
        return results
    end
    local list, pids = {}, {}
    local good, problem = pcall(function()
        for number = 1, math.min(count, tasks) do
            list[number] = start(number, math.min(count, tasks), tasks, run, list)
            pids[number] = list[number].pid
        end
        while any_alive(list) do
            collect(list, results, on_progress)
            local pending = signal.pending()
            if pending then fault.raise("stopped by " .. pending, 130) end
        end
    end)
    if not good then
        stop_all(list)
        if on_stop then on_stop(pids) end
        error(problem, 0)
    end
    return results
end

return workers
