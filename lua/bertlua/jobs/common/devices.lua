--- The device of a job. It is opened before anything else is done or printed, so that an unusable device ends the
-- program with a one-line message and leaves nothing on disk.

local context = require "bertlua.context"
local fault = require "bertlua.fault"
local launch = require "bertlua.distributed.launch"
local plural = require "bertlua.util.plural"
local process = require "bertlua.process"
local settings = require "bertlua.jobs.common.settings"
local term = require "bertlua.util.term"

local M = {}

--- The setting, for jobs with few of their own.
M.setting = settings.shared "device"

-- auto skips a GPU whose driver is too old, but not silently: the GPU was meant to be used.
local warned, told_threads = false, false

local function warn_of_driver()
    if warned then return end
    warned = true
    local _, reason = context.count "cuda"
    local driver = reason and reason:match "the NVIDIA driver is for CUDA .-; install a newer driver"
    if driver then term.warn(driver .. "; running on the CPU") end
end

--- Say that threads will wait for each other, where a user asks for more than the process has processors. It is not
-- refused: products of a CPU may add in another order with another number, so a run may have to keep its own.
-- @param threads of the computation
-- @param given the user's --threads; 0 or nil: OMP_NUM_THREADS decides
function M.warn_of_threads(threads, given)
    local processors = process.processors()
    if told_threads or threads <= processors then return end
    told_threads = true
    local chosen = (os.getenv "OMP_NUM_THREADS" or "") ~= "" and ("OMP_NUM_THREADS is %d"):format(threads)
        or ("OpenMP starts %s"):format(plural.count(threads, "thread"))
    if (given or 0) > 0 then chosen = ("--threads is %d"):format(threads) end
    term.warn(("%s, but this process has %s: that many threads take turns, which is slower"):format(chosen,
        plural.count(processors, "processor")))
end

-- Whether a run's pin() stands.
local pinned = false

--- Pin the threads of a run that trains; to be lifted by unpin().
-- @return whether they are pinned
function M.pin()
    -- Not what a program that runs recipes has pinned itself.
    pinned = pinned or not context.current().pinned
    return context.pin_threads()
end

--- Lift what pin() did: what comes after a run is not bound to one core, nor are the threads and programs it starts.
function M.unpin()
    if pinned then context.unpin_threads() end
    pinned = false
end

--- Open the device that the settings name. An unusable device is the machine's problem, not a bug: a fault.
-- @param values device, threads; precision: tf32 lets the device round its products to that
-- @param joined the process's place in its job (launch.detect() if left out): processes on one machine take its GPUs in
--   turn; where each sees only its own GPU, that is number 0
-- @param threads overrides the settings' threads
-- @return "cpu" or "cuda"
function M.open(values, joined, threads)
    -- A run that failed, where a program goes on after it, has not done so.
    M.unpin()
    joined = joined or launch.detect()
    local name, index = context.choose(values.device), 0
    if name == "cuda" and joined.size > 1 then index = joined.local_rank % math.max(context.count "cuda", 1) end
    local ok, message = pcall(context.open, { device = name, device_index = index, threads = threads or values.threads,
        tf32 = values.precision == "tf32" })
    if not ok then fault.raise(fault.message(message)) end
    -- Of a program that has pinned its threads itself, this one sees one processor alone.
    if joined.rank == 0 and not context.current().pinned then
        M.warn_of_threads(context.threads(), threads or values.threads)
    end
    local left_to_us = values.device == "auto" and os.getenv "BERTLUA_DEVICE" ~= "cpu"
    if left_to_us and name == "cpu" and joined.rank == 0 then warn_of_driver() end
    return name
end

return M
