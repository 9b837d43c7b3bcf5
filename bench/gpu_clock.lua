--- What GPU benchmarks share: opening the GPU, random operands, timing with events around enough calls to last a
-- while, and the line about the peer.

local context = require "bertlua.context"
local device = require "bertlua.device"
local fault = require "bertlua.fault"
local ops = require "bertlua.ops"
local tensor = require "bertlua.tensor"

local M = {}

--- Open the GPU; a fault where there is none.
function M.open_gpu()
    local ok, message = pcall(context.open, { device = "cuda" })
    if ok then return end
    -- Another device would not help here.
    fault.raisef("this benchmark needs a GPU: %s", (fault.message(message):gsub("[,;] ?o?r? use %-%-device cpu$", "")))
end

--- A tensor of normal random numbers with mean 0.
function M.random(dtype, dims, stream, std)
    local t = tensor.new(dtype, dims)
    ops.fill_normal(t, 0, std or 1, 1, stream)
    return t
end

--- Seconds per call of fn, from device events around enough back-to-back calls to last `least` seconds.
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

--- Print the peer's version, or that there is none.
-- @tparam ?table other what it printed
function M.name_peer(other)
    if other then
        print("\nPyTorch " .. other.version .. ", " .. other.device)
    else
        print "\nnot compared with PyTorch (use --python PATH with torch for CUDA installed)."
    end
end

return M
