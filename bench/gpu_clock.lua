--- What benchmarks of a GPU share: the GPU, and seconds on it by events around enough calls to last a while.

local context = require "bertlua.context"
local device = require "bertlua.device"
local fault = require "bertlua.fault"

local M = {}

--- Open the GPU; a fault where there is none.
function M.open_gpu()
    local ok, message = pcall(context.open, { device = "cuda" })
    if ok then return end
    -- Another device is no way out here.
    fault.raisef("this measures a GPU: %s", (fault.message(message):gsub("[,;] ?o?r? use %-%-device cpu$", "")))
end

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
