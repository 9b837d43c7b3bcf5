--- Whole tensors from state that is divided among the ranks, one parameter at a time, and back.
--
-- Checkpoints hold whole tensors, so that they fit any number of ranks. Besides
-- the state, only one bucket and one parameter are in memory.

local memory = require "bertlua.memory"
local ops = require "bertlua.ops"

local PartitionState = {}
PartitionState.__index = PartitionState

--- @param store an allocated ParameterStore whose partition divides
-- @param comm communicator
function PartitionState.new(store, comm)
    local longest, largest = 0, 0
    for _, bucket in ipairs(store.partition.buckets) do longest = math.max(longest, bucket.count) end
    for _, entry in ipairs(store.list) do largest = math.max(largest, entry.numel) end
    local self = setmetatable({ store = store, partition = store.partition, comm = comm }, PartitionState)
    self.bucket_buffer, self.buffer = memory.buffer(longest * 4), memory.buffer(largest * 4)
    self.gathered = self.bucket_buffer:tensor(0, "f32", { longest })
    self.whole = self.buffer:tensor(0, "f32", { largest })
    return self
end

--- All of a bucket, from every rank. Kept for the next call: parameters come roughly in memory order.
function PartitionState:gather(flat, bucket)
    local gathered = self.gathered:slice(1, 1, bucket.count)
    if self.flat ~= flat or self.bucket ~= bucket then
        self.comm:all_gather(gathered, flat:slice(1, bucket.state + 1, bucket.state + bucket.part))
        self.comm:wait()
        self.flat, self.bucket = flat, bucket
    end
    return gathered
end

local function count_of(entry)
    local count = 1
    for _, d in ipairs(entry.stored_dims) do count = count * d end
    return count
end

--- A parameter's values in a divided state, without padding rows. Every rank must call it, for the same parameters in
-- the same order. Valid until the next call; the state must not change within a series of calls: see restart().
-- @param entry of the store's list
-- @param flat this rank's state: f32 [state_count], or longer
-- @return f32 tensor of the entry's stored_dims
function PartitionState:fetch(entry, flat)
    local count = count_of(entry)
    self.partition:overlaps(entry.offset, count, function(bucket, first, length)
        local gathered = self:gather(flat, bucket)
        local from, to = first - bucket.offset, first - entry.offset
        ops.copy(self.whole:slice(1, to + 1, to + length), gathered:slice(1, from + 1, from + length))
    end)
    return self.whole:slice(1, 1, count):view(entry.stored_dims)
end

--- Forget what was gathered: the state has changed.
function PartitionState:restart()
    self.flat, self.bucket = nil, nil
end

--- Set this rank's part of a parameter's state.
-- @param values contiguous f32 tensor of the entry's stored_dims
function PartitionState:put(entry, flat, values)
    self:restart()
    local source = values:view(-1)
    self.partition:owned(entry.offset, source:numel(), function(first, length, state)
        local from = first - entry.offset
        ops.copy(flat:slice(1, state + 1, state + length), source:slice(1, from + 1, from + length))
    end)
end

--- Rows of the engine's `pieces`: what this rank updates; param_place(flat offset, state offset) -> offset in `param`.
function PartitionState.pieces(store, param_place)
    local rows = {}
    for i, entry in ipairs(store.order) do
        store.partition:owned(entry.offset, entry.numel, function(first, length, state)
            rows[#rows + 1] = { i - 1, state, param_place(first, state), first, length }
        end)
    end
    -- A rank may own nothing but the gaps of a tiny model.
    if #rows == 0 then rows[1] = { 0, 0, 0, 0, 0 } end
    return rows
end

--- Free the memory.
function PartitionState:free()
    self.bucket_buffer:free()
    self.buffer:free()
end

return PartitionState
