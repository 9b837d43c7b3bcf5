--- Who keeps a tensor's memory: collection of tensors that no scope owns.
--
-- A bl_tensor is a plain struct without room for a reference, so what it looks
-- at stands in a table beside it, with weak keys:
--
--     keeper[t] = true      t is the tensor that was given the memory
--     keeper[t] = other     t looks at memory that `other` stands for
--
-- A view keeps the first tensor, never another view, so chains do not grow. A
-- tensor without an entry (of an arena, a parameter, a batch) keeps nothing and
-- costs nothing but the look into the table when a view of it is made.
--
-- The collector of Lua sees 88 bytes where there are gigabytes, so it is called
-- from here when enough was allocated since it last ran. On a GPU nothing is
-- freed while a graph is recorded, and nothing that a recorded graph may read
-- as long as the graph lives.

local ffi = require "ffi"
local bl = require "bertlua.ffi"
local context = require "bertlua.context"

local C = bl.lib

local M = {}

local keeper = setmetatable({}, { __mode = "k" })

-- Memory that the collector frees: address to { handle, bytes, number }.
local blocks, count = {}, 0
local MEBIBYTE, MEMORY = 2 ^ 20, 2
-- Bytes that are held, and how many may be before the collector is called.
local held, limit = 0, 32 * MEBIBYTE

local paused = false
-- Recorded graphs that live, and the last block that one of them can have seen.
local graphs, seen = 0, 0
-- Blocks to be freed once recording has ended, or no graph is left; calls {free, handle} that wait for its end.
local parked, delayed = {}, {}

--- Note that a tensor was given memory of its own.
function M.mark(t)
    keeper[t] = true
end

--- Note that `view`, a tensor or a pointer, looks at memory of `t`; the memory then lives as long as the view.
-- @return view
function M.look(view, t)
    local owner = keeper[t]
    if owner then keeper[view] = type(owner) == "boolean" and t or owner end
    return view
end

--- Note that `view` looks at a host array that the collector owns.
-- @return view
function M.keep(view, array)
    keeper[view] = array
    return view
end

local function address_of(t)
    return tonumber(ffi.cast("uintptr_t", t.data))
end

local function free(block)
    C.bl_buffer_free(block.handle)
    held = held - block.bytes
end

-- The finalizer of a tensor that was given to the collector.
local function finalize(t)
    local address = address_of(t)
    local block = blocks[address]
    blocks[address] = nil
    if paused or graphs > 0 and block.number <= seen then
        parked[#parked + 1] = block
    else
        free(block)
    end
end

--- A finalizer for ffi.gc that calls free(handle), though never while a device records.
function M.finalizer(free_handle)
    return function(handle)
        if paused then delayed[#delayed + 1] = { free_handle, handle } else free_handle(handle) end
    end
end

--- Give a buffer to the collector: it is freed when nothing refers to the tensor and to views of it.
-- @param t the tensor that was marked when it got the memory; it begins where the buffer begins
-- @param handle bl_buffer
-- @param bytes size of the buffer
function M.give(t, handle, bytes)
    count = count + 1
    blocks[address_of(t)] = { handle = handle, bytes = bytes, number = count }
    held = held + bytes
    ffi.gc(t, finalize)
    if held > limit then M.collect() end
end

--- Free what nothing refers to. Views of a tensor are dropped in one pass and its memory in the next.
-- @param passes 1 if left out
function M.collect(passes)
    if paused then return end
    for _ = 1, passes or 1 do collectgarbage() end
    -- A pass takes time in proportion to Lua's own heap, so a large one is searched less often.
    limit = held + math.max(32 * MEBIBYTE, held / 2, collectgarbage "count" * 1024 / 2)
end

--- Create a buffer on the current device. If there is no memory, the collector runs and it is tried once more.
-- @param out bl_buffer *[1]
-- @return status
function M.buffer(out, bytes)
    local status = C.bl_buffer_create(out, context.handle(), bytes)
    if status == MEMORY and held > 0 and not paused then
        M.collect(2)
        status = C.bl_buffer_create(out, context.handle(), bytes)
    end
    return status
end

--- Bytes of tensors that belong to the collector.
function M.held()
    return held
end

local function free_parked()
    local list, calls = parked, delayed
    parked, delayed = {}, {}
    for i = 1, #calls do calls[i][1](calls[i][2]) end
    for i = 1, #list do
        if graphs > 0 and list[i].number <= seen then parked[#parked + 1] = list[i] else free(list[i]) end
    end
end

--- A device begins to record: from now on nothing may be freed.
function M.pause()
    paused = true
end

--- The recording has ended.
-- @param recorded true if it made a graph, which may read every tensor that exists now
function M.resume(recorded)
    paused = false
    if recorded then graphs, seen = graphs + 1, count end
    free_parked()
end

--- A recorded graph was freed.
function M.forget_graph()
    graphs = graphs - 1
    if graphs == 0 then free_parked() end
end

return M
