--- A job in which one rank fails in the given way after ten collectives. Run
-- by spec/engine/comm/failure_spec.lua.
--
--     bertlua spec/support/failing_worker.lua WAY RANK TIMEOUT

local comm = require "bertlua.comm"
local fault = require "bertlua.fault"
local launch = require "bertlua.distributed.launch"
local signal = require "posix.signal"
local tensor = require "bertlua.tensor"
local unistd = require "posix.unistd"

local way, who, timeout = arg[1], tonumber(arg[2]), tonumber(arg[3])
local c = comm.open { launch = launch.detect(), timeout = timeout }
local t = tensor.new("f32", { 20000 })

local WAYS = {
    kill = function() signal.kill(unistd.getpid(), signal.SIGKILL) end,
    stop = function() signal.kill(unistd.getpid(), signal.SIGSTOP) end,
    spin = function() while true do unistd.getpid() end end,
    fault = function() fault.raise "step 10: the loss is nan" end,
    exit = function() os.exit(5) end,
    busy = function()
        -- Far longer than the timeout and its grace period, while the others wait.
        c:busy(true)
        for _ = 1, 6 do unistd.sleep(math.ceil(timeout)) end
        c:busy(false)
    end,
    order = function()
        c:barrier()
        c:wait()
    end,
}

-- Before the thread that tells of this process had to run.
if way == "stop-early" and c.rank == who then WAYS.stop() end

for i = 1, 20 do
    c:all_reduce(t)
    c:wait()
    if i == 10 and (c.rank == who or who == -1) then WAYS[way]() end
end
