--- Buffers (parameters, optimizer state) and arenas (activations of a step).
--
-- Both are released by free() and never by the garbage collector: their tensors
-- are plain views and do not keep the memory.

local ffi = require "ffi"
local bl = require "bertlua.ffi"
local context = require "bertlua.context"
local device = require "bertlua.device"
local ownership = require "bertlua.ownership"
local summary = require "bertlua.summary"
require "bertlua.tensor" -- gives the tensors of a buffer their methods

local C, check, set_shape, shape = bl.lib, bl.check, bl.set_shape, bl.shape
local DTYPE = bl.DTYPE
local ERROR_MEMORY = 2
-- What an arena that cannot grow has beyond what is planned, at most.
local WHOLE_SPARE = 64 * 2 ^ 20
local new_tensor = ffi.typeof "bl_tensor"

local M = {}

local Buffer = {}
Buffer.__index = Buffer

-- What has not been given back: objects to bytes, or for arenas true.
local buffers, arenas = {}, {}

--- Bytes that this process holds through buffers and arenas, counting arenas at their peak.
function M.held()
    local sum = 0
    for _, bytes in pairs(buffers) do sum = sum + bytes end
    for arena in pairs(arenas) do sum = sum + arena:peak() end
    return sum
end

--- Add advice to every out-of-memory error from now on.
-- @param advice function() -> text; nil for none
function M.advise(advice)
    bl.memory_advice = advice
end

--- Allocate a zero-filled buffer on the current device.
-- @param bytes size
function M.buffer(bytes)
    if type(bytes) ~= "number" or bytes < 0 then
        error(("memory: bytes is %s, expected a number of 0 or more"):format(tostring(bytes)), 2)
    end
    local out = ffi.new "bl_buffer *[1]"
    check(ownership.buffer(out, bytes))
    local buffer = setmetatable({ handle = out[0], bytes = bytes }, Buffer)
    buffers[buffer] = bytes
    return buffer
end

local function live(self)
    local handle = self.handle
    if not handle then error("memory: it has already been freed", 3) end
    return handle
end

--- Tensor at a byte offset of the buffer.
-- @param byte_offset a multiple of 64 for tensors that ops read
-- @param dtype "f32", "bf16", "f16", "i32", "i64" or "i8"
-- @param dims list of at most 4 sizes
function Buffer:tensor(byte_offset, dtype, dims)
    local handle = live(self)
    local code = DTYPE[dtype] or bl.dtype(dtype)
    local n = set_shape(dims)
    local t = new_tensor()
    check(C.bl_buffer_tensor(handle, t, byte_offset, code, n, shape))
    return t
end

--- Give the memory back. Tensors of the buffer must not be used afterwards.
function Buffer:free()
    if self.handle then
        C.bl_buffer_free(self.handle)
        self.handle = nil
        buffers[self] = nil
    end
end

function Buffer:__tostring()
    return "Buffer: " .. (self.handle and summary.bytes(self.bytes) or "freed")
end

local Arena = {}
Arena.__index = Arena

-- Address space, at most half of what is left if that is less than `capacity`; returns the status and how much it is.
local function reserve(out, capacity, least)
    local wanted = capacity
    local status = C.bl_arena_create(out, context.handle(), wanted)
    while tonumber(status) == ERROR_MEMORY and wanted > least do
        wanted = math.max(least, math.floor(wanted / 2))
        status = C.bl_arena_create(out, context.handle(), wanted)
    end
    if status == 0 and wanted < capacity and wanted > least then
        C.bl_arena_free(out[0])
        wanted = math.max(least, math.floor(wanted / 2))
        status = C.bl_arena_create(out, context.handle(), wanted)
    end
    return status, wanted
end

-- All of the memory at once: what is planned and an eighth (at most 64 MiB) for gaps, else a quarter of what is free.
local function take_whole(out, capacity, least, planned)
    local wanted = planned and planned + math.min(planned / 8, WHOLE_SPARE)
    if not wanted then
        wanted = (device.memory() or 0) / 4
    end
    wanted = math.min(capacity, math.max(least, math.floor(wanted)))
    return C.bl_arena_create(out, context.handle(), wanted), wanted
end

--- Reserve address space for the activations of a step. Memory is touched only as used, but on a GPU whose driver does
-- not let memory be mapped (field `whole`): there the arena takes its memory at once, and no more than it needs.
-- @param capacity bytes
-- @param least bytes that will do where the system allows no more, as under `ulimit -v` (capacity if left out). The
--   arena then takes at most half of what is left, as others need address space too; its field `capacity` says how much
-- @param planned bytes that will be used at most, if that is known
function M.arena(capacity, least, planned)
    if type(capacity) ~= "number" or capacity <= 0 then
        error(("memory: capacity is %s, expected a number of bytes above 0"):format(tostring(capacity)), 2)
    end
    least = math.min(least or capacity, capacity)
    local out, grow = ffi.new "bl_arena *[1]", ffi.new "bool[1]"
    check(C.bl_arenas_grow(context.handle(), grow))
    local status, got
    if grow[0] then
        status, got = reserve(out, capacity, least)
    else
        status, got = take_whole(out, capacity, least, planned)
    end
    check(status)
    local arena = setmetatable({ handle = out[0], capacity = got, whole = not grow[0] }, Arena)
    arenas[arena] = true
    return arena
end

--- Allocate a tensor; its contents are whatever was there before.
function Arena:tensor(dtype, dims)
    local handle = live(self)
    local code = DTYPE[dtype] or bl.dtype(dtype)
    local n = set_shape(dims)
    local t = new_tensor()
    check(C.bl_arena_tensor(handle, t, code, n, shape))
    return t
end

--- Return one tensor's memory for reuse.
function Arena:release(t)
    if t == nil then error("arena: release got nil, expected a tensor of the arena", 2) end
    check(C.bl_arena_release(live(self), t))
end

--- Drop everything; keeps the peak.
function Arena:reset()
    C.bl_arena_reset(live(self))
end

--- Bytes in use.
function Arena:used()
    return tonumber(C.bl_arena_used(live(self)))
end

--- The most bytes that were in use so far.
function Arena:peak()
    return tonumber(C.bl_arena_peak(live(self)))
end

function Arena:__tostring()
    if not self.handle then return "Arena: freed" end
    return ("Arena: %s in use, peak %s, at most %s"):format(summary.bytes(self:used()), summary.bytes(self:peak()),
        summary.bytes(self.capacity))
end

--- Give the address space back. Tensors of the arena must not be used afterwards.
function Arena:free()
    if self.handle then
        C.bl_arena_free(self.handle)
        self.handle = nil
        arenas[self] = nil
    end
end

return M
