--- Gradients of a job of several processes: every bucket of the flat buffer is
-- reduced over the ranks as soon as the backward pass has finished its contents,
-- while the pass continues with the rest.
--
-- A Gradients object watches Tape:backward of the last micro-step: it looks up
-- which node of the tape is the last to add to each bucket, and queues the
-- bucket once that node is done. Ranks must queue the same buckets in the same
-- order, also where a recipe's loss does different things with different
-- batches. So the order is fixed: the parameters that were registered last come
-- first, as the backward pass comes to them first. A bucket waits for those
-- before it; one that no node adds to, and those behind it, are queued by
-- finish(). With a divided optimizer a rank receives only its part of a bucket.

local memory = require "bertlua.memory"
local ops = require "bertlua.ops"

local Gradients = {}
Gradients.__index = Gradients

local LOW = { fp32 = false, bf16 = "bf16" }

local function overlaps(bucket, entry)
    return entry.offset and entry.offset < bucket.offset + bucket.count and bucket.offset < entry.offset + entry.numel
end

--- Numbers of the buckets in the order in which they are queued.
local function order_of(store)
    local order, first = {}, {}
    for b, bucket in ipairs(store.partition.buckets) do
        order[b], first[b] = b, math.huge
        for i, entry in ipairs(store.list) do
            if overlaps(bucket, entry) then
                first[b] = i
                break
            end
        end
    end
    table.sort(order, function(a, b)
        if first[a] ~= first[b] then return first[a] > first[b] end
        return a > b
    end)
    return order
end

--- @param options table of
--   store: an allocated ParameterStore with a partition;
--   comm: communicator (bertlua.comm);
--   dtype: "fp32" (default) or "bf16": what is sent; sums are added in f32 and, with bf16, rounded once more
function Gradients.new(options)
    local store, comm, low = options.store, options.comm, LOW[options.dtype or "fp32"]
    if low == nil then
        error(("gradients: dtype is %s, expected fp32 or bf16"):format(tostring(options.dtype)), 2)
    end
    if not (store and store.partition and store.grad) then
        error("gradients: store must be an allocated ParameterStore with gradients and a partition", 2)
    end
    local self = setmetatable({
        store = store, comm = comm, divide = store.partition.divide, buckets = store.partition.buckets, low = low,
        order = order_of(store), queued = 0, pending = {}, due = {},
    }, Gradients)
    if low then
        self.buffer = memory.buffer(store.trained * 2)
        self.staging = self.buffer:tensor(0, low, { store.trained })
    end
    return self
end

local function range(t, offset, count)
    local view = t:slice(1, offset + 1, offset + count)
    return view
end

local function reduce(self, b)
    local bucket, grad = self.buckets[b], self.staging or self.store.grad
    local whole = range(grad, bucket.offset, bucket.count)
    if self.staging then ops.copy(whole, range(self.store.grad, bucket.offset, bucket.count)) end
    if self.divide then
        self.comm:reduce_scatter(range(grad, bucket.own, bucket.part), whole, "sum")
    else
        self.comm:all_reduce(whole, "sum")
    end
end

--- Queue the reduction of the buckets whose turn it is.
local function advance(self)
    local b = self.order[self.queued + 1]
    while b and not self.pending[b] do
        reduce(self, b)
        self.queued = self.queued + 1
        b = self.order[self.queued + 1]
    end
end

--- Note that node i is among those that add to a parameter's place in the flat buffer.
local function note(self, i, entry)
    for b, bucket in ipairs(self.buckets) do
        -- The walk goes from the last node to the first, and so does this scan.
        if overlaps(bucket, entry) then self.pending[b] = i end
    end
end

--- The walk over the tape begins: find the last node to add to each bucket. Called by Tape:backward.
function Gradients:begin(nodes, count)
    self.queued, self.pending, self.due = 0, {}, {}
    for b in ipairs(self.buckets) do self.pending[b] = 0 end
    for i = count, 1, -1 do
        for field, value in pairs(nodes[i]) do
            if type(value) == "table" then
                if value.is_parameter then
                    note(self, i, value)
                elseif field == "parameters" then
                    for _, entry in ipairs(value) do note(self, i, entry) end
                end
            end
        end
    end
    for b, i in pairs(self.pending) do
        self.due[i] = self.due[i] or {}
        table.insert(self.due[i], b)
    end
end

--- Node i is done. Called by Tape:backward.
function Gradients:passed(i)
    local due = self.due[i]
    if not due then return end
    for _, b in ipairs(due) do self.pending[b] = nil end
    advance(self)
end

--- Queue what is left and wait: then the gradients (or this rank's parts of them) are sums over all ranks.
function Gradients:finish()
    self.pending = {}
    advance(self)
    self.comm:wait()
    if self.staging then
        for _, bucket in ipairs(self.buckets) do
            ops.copy(range(self.store.grad, bucket.own, bucket.part), range(self.staging, bucket.own, bucket.part))
        end
    end
    self.queued, self.due = 0, {}
end

--- Take part in the reduction of a step without having computed it: every rank gets gradients that are not finite, and
-- so skips the update.
function Gradients:spoil()
    ops.fill(self.store.grad, 0 / 0)
    self:finish()
end

--- Free the memory.
function Gradients:free()
    if self.buffer then self.buffer:free() end
end

return Gradients
