--- Work that overlaps: events, pinned host memory, copies that do not wait, graphs.
--
-- The contracts are those of engine/api/device.h and graph.h. On the CPU
-- everything has happened when a call returns and there are no graphs, so code
-- written for an asynchronous device needs no second path.

local ffi = require "ffi"
local bl = require "bertlua.ffi"
local context = require "bertlua.context"
local ownership = require "bertlua.ownership"
require "bertlua.tensor" -- gives tensors their methods

local C, check, handle = bl.lib, bl.check, context.handle
local set_shape, shape = bl.set_shape, bl.shape
local new_tensor = ffi.typeof "bl_tensor"
local finalize_event, finalize_pinned = ownership.finalizer(C.bl_event_free), ownership.finalizer(C.bl_pinned_free)

local M = {}

local STREAM = { compute = 0, copy = 1 }
local UNSUPPORTED, DEVICE_FAILED = 5, 7

local function stream_code(name)
    local code = STREAM[name or "compute"]
    if not code then error(("device: stream is %s, expected compute or copy"):format(tostring(name)), 3) end
    return code
end

--- Whether ops of the current context read host memory: then nothing needs to be copied to them.
function M.is_host()
    return context.device() == "cpu"
end

local Event = {}
Event.__index = Event

--- A mark in a queue of work; until it is recorded it counts as reached.
-- @param timed true if seconds_to() will be asked
-- @param collected true: the garbage collector gives it back; else free() does
function M.event(timed, collected)
    local out = ffi.new "bl_event *[1]"
    check(C.bl_event_create(out, handle(), timed or false))
    local event = collected and ffi.gc(out[0], finalize_event) or out[0]
    return setmetatable({ handle = event, done = ffi.new "bool[1]" }, Event)
end

--- Place the mark behind all work queued so far on a stream: "compute" (default) or "copy".
function Event:record(stream)
    check(C.bl_event_record(self.handle, stream_code(stream)))
    return self
end

--- Hold back what is queued on a stream from now on until the mark is reached.
function Event:hold(stream)
    check(C.bl_event_wait(self.handle, stream_code(stream)))
end

--- Wait until the mark is reached.
function Event:wait()
    check(C.bl_event_synchronize(self.handle))
end

--- Whether the mark is reached; never waits.
function Event:is_reached()
    check(C.bl_event_query(self.handle, self.done))
    return self.done[0]
end

--- Seconds on the device from this timed event to a later one.
function Event:seconds_to(later)
    local seconds = ffi.new "double[1]"
    check(C.bl_event_elapsed(self.handle, later.handle, seconds))
    return seconds[0]
end

--- Free the event; nothing may wait for it any more.
function Event:free()
    if self.handle then C.bl_event_free(ffi.gc(self.handle, nil)) end
    self.handle = nil
end

local Pinned = {}
Pinned.__index = Pinned

--- Zero-filled host memory that the device reads and writes without staging.
-- @param bytes size
-- @param collected true: the garbage collector gives it back with this object; else free() does
function M.pinned(bytes, collected)
    if type(bytes) ~= "number" or bytes < 0 then
        error(("device: bytes is %s, expected a number of 0 or more"):format(tostring(bytes)), 2)
    end
    local out = ffi.new "bl_pinned *[1]"
    check(C.bl_pinned_create(out, handle(), bytes))
    local pinned = collected and ffi.gc(out[0], finalize_pinned) or out[0]
    return setmetatable({ handle = pinned, bytes = bytes, data = C.bl_pinned_data(pinned) }, Pinned)
end

--- CPU tensor at a byte offset of the memory.
function Pinned:tensor(byte_offset, dtype, dims)
    local code = bl.DTYPE[dtype] or bl.dtype(dtype)
    local n = set_shape(dims)
    local t = new_tensor()
    check(C.bl_tensor_wrap(t, ffi.cast("char *", self.data) + byte_offset, code, n, shape))
    if byte_offset < 0 or byte_offset + t:numel() * tonumber(C.bl_dtype_size(code)) > self.bytes then
        error(("device: %s at byte %d does not fit into %d bytes of pinned memory"):format(t:describe(), byte_offset,
            self.bytes), 2)
    end
    return t
end

--- Free the memory. Tensors that look at it must not be used afterwards.
function Pinned:free()
    if self.handle then C.bl_pinned_free(ffi.gc(self.handle, nil)) end
    self.handle, self.data = nil, nil
end

local function bytes_of(t)
    return t:numel() * tonumber(C.bl_dtype_size(t.dtype))
end

--- Queue a copy of a pinned CPU tensor's elements to a tensor of the device.
function M.upload(dst, pinned, stream)
    check(C.bl_upload_async(handle(), dst, pinned.data, bytes_of(pinned), stream_code(stream)))
end

--- Queue a copy of a device tensor's elements to a pinned CPU tensor.
function M.download(pinned, src, stream)
    if bytes_of(pinned) ~= bytes_of(src) then
        error(("download: %s into %s"):format(src:describe(), pinned:describe()), 2)
    end
    check(C.bl_download_async(handle(), pinned.data, src, bytes_of(src), stream_code(stream)))
end

--- View of `block` that matches a CPU tensor's view of `pinned`: both hold the same bytes at the same offsets.
-- @param t contiguous CPU tensor inside the tensor `pinned`
-- @param pinned i32 CPU tensor
-- @param block i32 tensor of the device, at least as long
function M.mirror(t, pinned, block)
    local offset = ffi.cast("char *", t.data) - ffi.cast("char *", pinned.data)
    if offset < 0 or offset + bytes_of(t) > bytes_of(pinned) then
        error("mirror: the tensor lies outside the pinned memory", 2)
    end
    local view = new_tensor(t)
    view.data = ffi.cast("char *", block.data) + offset
    view.device, view.device_index = block.device, block.device_index
    return view
end

--- Bytes of device memory that are free, and in total; nil where the system does not say.
function M.memory()
    local free, total = ffi.new "uint64_t[1]", ffi.new "uint64_t[1]"
    if C.bl_device_memory(handle(), free, total) ~= 0 or total[0] == 0 then return nil end
    return tonumber(free[0]), tonumber(total[0])
end

local STEP_SHAPE = { "rows", "picked", "sequences", "max_length", "hidden", "intermediate", "classes", "parameters",
    "tensors", "activations", "heads", "dropout" }

--- What a training step takes on the device in addition to tensors, in bytes; 0 on the CPU.
-- @param step the fields of bl_step_shape (engine/api/device.h); dtype by name
-- @return scratch: the most that an op asks for; slack: memory behind an arena of `activations` bytes beyond these; nil
--   and the reason if attention is set to kernels that do not support it
function M.step_workspace(step)
    local native = ffi.new "bl_step_shape"
    for _, name in ipairs(STEP_SHAPE) do
        local value = step[name]
        if type(value) ~= "number" then
            error(("device: %s of a step is a %s, expected a number"):format(name, type(value)), 2)
        end
        native[name] = value
    end
    native.dtype = bl.dtype(step.dtype)
    local scratch, slack = ffi.new "uint64_t[1]", ffi.new "uint64_t[1]"
    local status = C.bl_step_workspace(handle(), native, scratch, slack)
    if status == UNSUPPORTED then return nil, bl.last_error() end
    check(status)
    return tonumber(scratch[0]), tonumber(slack[0])
end

--- Allocate scratch memory now, so that ops which need no more find it. Does nothing on the CPU.
function M.reserve_scratch(bytes)
    check(C.bl_reserve_scratch(handle(), bytes))
end

local Graph = {}
Graph.__index = Graph

--- Record the ops that run() calls, without running them. A device that fails meanwhile is raised.
-- @return graph; or nil, message where the device has no graphs or the recording failed (then nothing ran either)
function M.record(run)
    local out = ffi.new "bl_graph *[1]"
    -- From before the recording begins until after its end, the collector must not free what belongs to the device. It
    -- stands still, and if run() sets it going, what it collects waits in `ownership`.
    collectgarbage "stop"
    ownership.pause()
    local status = C.bl_graph_begin(handle())
    local begun, ok, message = status == 0, false, nil
    if begun then
        ok, message = pcall(run)
        status = C.bl_graph_end(ok and out or nil, handle())
    end
    local failure = status ~= 0 and bl.last_error()
    collectgarbage "restart"
    ownership.resume(ok and status == 0)
    if status == DEVICE_FAILED then check(status) end
    if begun and not ok then
        -- A device that failed, or memory that ran out, would fail again without a recording.
        if type(message) == "table" then error(message, 0) end
        return nil, message
    end
    if failure then return nil, failure, not begun and status == UNSUPPORTED end
    return setmetatable({ handle = out[0] }, Graph)
end

--- Queue the recorded ops.
function Graph:launch()
    check(C.bl_graph_launch(self.handle))
end

--- Free the recording.
function Graph:free()
    if self.handle then
        C.bl_graph_free(self.handle)
        ownership.forget_graph()
    end
    self.handle = nil
end

return M
