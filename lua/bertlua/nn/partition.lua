--- How the flat buffers of a model are divided: into buckets that are reduced one
-- by one while the backward pass continues, and each bucket into one part per rank
-- if the optimizer's state is divided (stage 1 of ZeRO, arXiv 1910.02054).
--
--     flat     |-------- bucket 1 --------|-------- bucket 2 --------| ...
--               rank 0 | rank 1 | rank 2   rank 0 | rank 1 | rank 2
--
-- A rank's state is its parts, one after the other. This file only counts
-- elements: memory is in parameters.lua, messages are in train/. A shard is
-- something else throughout: a file of samples or text.

local device = require "bertlua.device"

local Partition = {}
Partition.__index = Partition

--- Parts start at a multiple of this many elements: 64 bytes even in a bf16 buffer, whose tensors ops read, and 256 on
-- a GPU.
local function alignment()
    return device.is_host() and 32 or 128
end

local MIB_OF_F32 = 2 ^ 18

--- Create the division; cut() sets the buckets.
-- @param options table of
--   rank (0), size (1): of this process in the job;
--   divide: true for state that is divided over the ranks (false);
--   bucket_mib: MiB of f32 gradients a bucket (25);
--   alignment: elements that parts start at a multiple of (the device's)
function Partition.new(options)
    options = options or {}
    local self = setmetatable({
        rank = options.rank or 0, size = options.size or 1, divide = options.divide or false,
    }, Partition)
    --- What the length of every bucket is a multiple of.
    self.multiple = (options.alignment or alignment()) * (self.divide and self.size or 1)
    local elements = (options.bucket_mib or 25) * MIB_OF_F32
    self.bucket = math.max(1, math.floor(elements / self.multiple)) * self.multiple
    return self
end

--- Divide regions of the flat buffer, from the end of each, as the backward pass gets there first.
-- @param regions list of {offset, count, low}, ascending; counts are multiples of `multiple`
-- @return the list `buckets`, ascending: {offset, count, low; own, part: the range of this rank; state: where that
--   range starts in this rank's state}
function Partition:cut(regions)
    local buckets = {}
    for _, region in ipairs(regions) do
        local count = region.count % self.bucket
        if count == 0 then count = math.min(self.bucket, region.count) end
        local offset, last = region.offset, region.offset + region.count
        while offset < last do
            buckets[#buckets + 1] = { offset = offset, count = count, low = region.low }
            offset, count = offset + count, self.bucket
        end
    end
    local state = 0
    for _, bucket in ipairs(buckets) do
        bucket.part = self.divide and bucket.count / self.size or bucket.count
        bucket.own = bucket.offset + (self.divide and self.rank * bucket.part or 0)
        bucket.state = state
        state = state + bucket.part
    end
    self.buckets, self.state_count = buckets, state
    return buckets
end

--- Call visit(bucket, first, count) for every bucket that overlaps [offset, offset + length) of the flat buffer.
function Partition:overlaps(offset, length, visit)
    for _, bucket in ipairs(self.buckets) do
        local first = math.max(offset, bucket.offset)
        local last = math.min(offset + length, bucket.offset + bucket.count)
        if first < last then visit(bucket, first, last - first) end
    end
end

--- What this rank owns of [offset, offset + length): visit(first, count, state) with `state` the place in its state.
function Partition:owned(offset, length, visit)
    self:overlaps(offset, length, function(bucket)
        local first = math.max(offset, bucket.own)
        local last = math.min(offset + length, bucket.own + bucket.part)
        if first < last then visit(first, last - first, bucket.state + first - bucket.own) end
    end)
end

return Partition
