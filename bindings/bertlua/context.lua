--- The context: which device ops run on, and with how many threads.
--
-- There is one current context. It is opened on first use (the CPU, or what
-- BERTLUA_DEVICE names; all cores or OMP_NUM_THREADS) or by context.open.
-- Contexts live as long as the process, because buffers keep using the one they
-- were made in.

local ffi = require "ffi"
local affinity = require "bertlua.affinity"
local bl = require "bertlua.ffi"

local C, check = bl.lib, bl.check

local M = {}

local DEVICE = { cpu = 0, cuda = 1 }

local Context = {}
Context.__index = Context

-- Opened contexts by settings: opening the same one twice is free.
local opened = {}
local current

--- The device that a name means: "cpu", "cuda", "auto" or nil, as in open; an unknown name as it is.
function M.choose(name)
    local preset = os.getenv "BERTLUA_DEVICE"
    if preset == "" then preset = nil end
    name = name or preset or "cpu"
    if name == "auto" and preset ~= "auto" then name = preset or name end
    if name == "auto" then return M.count "cuda" > 0 and "cuda" or "cpu" end
    return name
end

--- Open a context and make it the current one, after the previous one has finished its work.
-- @param options table of
--   device: "cpu", "cuda", or "auto": cuda where one is found; if left out, BERTLUA_DEVICE or else cpu. A
--   BERTLUA_DEVICE that is set also decides "auto";
--   device_index: which of several (0);
--   threads: number of threads, 0 (default) for OMP_NUM_THREADS or all cores;
--   tf32: whether products of f32 matrices may be computed in TF32, where the device has it (false)
-- @return the context: fields device ("cpu" or "cuda"), device_index, threads, handle
function M.open(options)
    options = options or {}
    local device, threads, index = M.choose(options.device), options.threads or 0, options.device_index or 0
    local code = DEVICE[device]
    if not code then
        local what = device == os.getenv "BERTLUA_DEVICE" and "BERTLUA_DEVICE" or "device"
        error(("context: %s is %s, expected cpu, cuda or auto"):format(what, tostring(device)), 2)
    end
    if type(threads) ~= "number" then error(("context: threads is %s, expected a number"):format(type(threads)), 2) end
    local key = ("%s:%s:%s"):format(device, index, threads)
    local context = opened[key]
    if not context then
        local out = ffi.new "bl_context *[1]"
        check(C.bl_context_create(out, code, index, threads))
        context = setmetatable({ handle = out[0], device = device, device_index = index,
            threads = C.bl_context_threads(out[0]) }, Context)
        opened[key] = context
    end
    check(C.bl_context_allow_tf32(context.handle, options.tf32 or false))
    -- Each has its own queue, and they share tensors.
    if current and current ~= context then check(C.bl_context_synchronize(current.handle)) end
    current = context
    return context
end

--- Number of devices of a kind that can be opened: 0 where there is none or its backend is not built.
-- @return count; the reason where it is 0 for one
function M.count(device)
    local count = ffi.new "int32_t[1]"
    if C.bl_device_count(DEVICE[device] or error("context: device is " .. tostring(device), 2), count) ~= 0 then
        return 0, bl.last_error()
    end
    return count[0]
end

--- What a backend found and what it lacks: driver, devices, libraries.
-- @return list of {state = "ok" or "note", name, detail, fix}; or nil and why there is no backend
function M.report(device)
    local size = 8192
    local text = ffi.new("char[?]", size)
    if C.bl_device_report(DEVICE[device], text, size) ~= 0 then return nil, bl.last_error() end
    local list = {}
    for state, name, detail, fix in ffi.string(text):gmatch "([^\t]*)\t([^\t]*)\t([^\t]*)\t([^\n]*)\n" do
        list[#list + 1] = { state = state, name = name, detail = detail, fix = fix }
    end
    return list
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

--- The context whose ops read a tensor: the current one, or for a host tensor on a GPU context one on the CPU.
-- @param device number of the tensor's device
function M.handle_of(device)
    local context = current or M.open()
    if device ~= 0 or context.device == "cpu" then return context.handle end
    if not M.host then
        M.host = M.open { device = "cpu", threads = context.threads }
        current = context
    end
    return M.host.handle
end

--- One readable line: CPU, cores, vector extensions, oneDNN; or GPU, memory, cuBLASLt.
function M.describe()
    return ffi.string(C.bl_context_describe(M.handle()))
end

--- Number of threads that the current context computes with.
function M.threads()
    return M.current().threads
end

--- "cpu" or "cuda": where the current context computes.
function M.device()
    return M.current().device
end

--- True if the device multiplies matrices of this dtype at least as fast as those in f32: bf16 and f16 on GPUs, bf16
-- on a CPU that was measured to, or that BERTLUA_CPU_BF16=fast says is.
function M.fast_dtype(dtype)
    return C.bl_context_fast_dtype(M.handle(), bl.dtype(dtype))
end

--- Pin each worker thread to a core, if the context uses every core this process may run on.
-- Threads and programs started afterwards inherit the calling thread's core.
-- @return true if they are pinned, now or by an earlier call
function M.pin_threads()
    local context = M.current()
    if not context.pinned then
        local pinned, cores = ffi.new "bool[1]", affinity.get()
        check(C.bl_context_pin_threads(context.handle, pinned))
        context.pinned = pinned[0] and cores or nil
    end
    return context.pinned ~= nil
end

--- Let all threads run again on every core that the process had before pin_threads(). Nothing if they are not pinned.
function M.unpin_threads()
    for _, context in pairs(opened) do
        local cores = context.pinned
        context.pinned = nil
        if cores then affinity.set(cores) end
    end
end

--- Let f32 matrix products round their operands to TF32 where the device has it; elsewhere they stay f32.
-- @param allow true or false (the default)
function M.allow_tf32(allow)
    if type(allow) ~= "boolean" then error(("context: allow is %s, expected a boolean"):format(type(allow)), 2) end
    check(C.bl_context_allow_tf32(M.handle(), allow))
end

local ATTENTION = { auto = 0, native = 1, unfused = 2, cudnn = 3 }

--- Which kernels attention uses from now on; a call that the named one does not support is an error.
-- @param name "auto" (as at first: the fastest that fits), "native", "unfused" or "cudnn"; the CPU has the first two
function M.attention(name)
    local code = ATTENTION[name]
    if not code then
        error(("context: attention is %s, expected auto, native, unfused or cudnn"):format(tostring(name)), 2)
    end
    check(C.bl_context_attention(M.handle(), code))
end

--- Time the algorithms of each matrix product on the GPU at its first use, and keep the fastest in a file. Runs that
-- must agree bit for bit share the file. An error on the CPU.
-- @param path the file, created if missing
-- @param folder of a file for each GPU, driver and library, which `path` begins with and adds to, or which is used
--   alone if path is nil; both nil, as at first: the library's first suggestion, no timing
function M.matmul_choices(path, folder)
    check(C.bl_context_matmul_choices(M.handle(), path, folder))
end

--- Wait until the device has done all work given to it.
function M.synchronize()
    check(C.bl_context_synchronize(M.handle()))
end

function Context:__tostring()
    return ("context: %s, %d threads"):format(self.device, self.threads)
end

return M
