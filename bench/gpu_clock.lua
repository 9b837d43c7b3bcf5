--- Seconds on the device: events around enough calls to last a while.

local device = require "bertlua.device"

local M = {}

--- Seconds of one call of fn, from device events around enough calls back to back to last `least` seconds.
function M.seconds_of(fn, least)
    local calls = 1
    while true do
        local begin, finish = device.event(true), device.event(true)
        begin:record()
        for _ = 1, calls do fn() end
        finish:record():wait()
        local seconds = begin:seconds_to(finish)
        begin:free()
        finish:free()
        if seconds >= least then return seconds / calls end
        calls = math.max(calls + 1, math.min(10 * calls, math.ceil(1.2 * calls * least / math.max(seconds, 1e-9))))
    end
end

return M
