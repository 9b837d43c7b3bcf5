--- The context: which device ops run on, and with how many threads.
--
-- There is one current context. It is opened on first use (CPU, all cores or
-- OMP_NUM_THREADS) or by context.open. Contexts live as long as the process,
-- because buffers keep using the one they were made in.

local ffi = require "ffi"
local bl = require "bertlua.ffi"

local C, check = bl.lib, bl.check

local M = {}

local DEVICE = { cpu = 0, cuda = 1 }

local Context = {}
Context.__index = Context

-- Opened contexts by settings: opening the same one twice is free.
local opened = {}
local current

--- Open a context and make it the current one.
-- @param options table of
--   device: "cpu" (default);
--   threads: number of threads, 0 (default) for OMP_NUM_THREADS or all cores
-- @return the context: fields device, threads, handle
function M.open(options)
    options = options or {}
    local device, threads = options.device or "cpu", options.threads or 0
    local code = DEVICE[device]
    if not code then error(("context: device is %s, expected cpu"):format(tostring(device)), 2) end
    if type(threads) ~= "number" then error(("context: threads is %s, expected a number"):format(type(threads)), 2) end
    local key = device .. ":" .. threads
    local context = opened[key]
    if not context then
        local out = ffi.new "bl_context *[1]"
        check(C.bl_context_create(out, code, 0, threads))
        context = setmetatable({ handle = out[0], device = device, threads = C.bl_context_threads(out[0]) }, Context)
        opened[key] = context
    end
    current = context
    return context
end

--- The current context.
function M.current()
    return current or M.open()
end

--- The current context as the engine's pointer.
function M.handle()
    local context = current or M.open()
    return context.handle
end

--- One line for people: CPU, cores, vector extensions, oneDNN.
function M.describe()
    return ffi.string(C.bl_context_describe(M.handle()))
end

function M.threads()
    return M.current().threads
end

function M.device()
    return M.current().device
end

--- True if the device multiplies matrices of this dtype in hardware.
function M.fast_dtype(dtype)
    return C.bl_context_fast_dtype(M.handle(), bl.dtype(dtype))
end

--- Pin each worker thread to a core, if the context uses every core this process may run on.
-- Threads started afterwards inherit the calling thread's core.
-- @return true if they are pinned, now or by an earlier call
function M.pin_threads()
    local context = M.current()
    if not context.pinned then
        local pinned = ffi.new "bool[1]"
        check(C.bl_context_pin_threads(context.handle, pinned))
        context.pinned = pinned[0]
    end
    return context.pinned
end

--- Wait until the device has done all work given to it.
function M.synchronize()
    check(C.bl_context_synchronize(M.handle()))
end

function Context:__tostring()
    return ("context: %s, %d threads"):format(self.device, self.threads)
end

return M
