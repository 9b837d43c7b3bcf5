--- Gradients of a job of several processes: every bucket of the flat buffer is
-- reduced over the ranks as soon as the backward pass has finished its contents,
-- while the pass continues with the rest.
--
-- A Gradients object watches Tape:backward of the last micro-step: it looks up
-- which node of the tape is the last to add to each bucket, and queues the
-- bucket once that node is done. The pass comes from the end of the flat
-- buffer, and so do the buckets; the order is the same on every rank. Buckets
-- that no node adds to are queued by finish(). With a divided optimizer a rank
-- receives only its part of a bucket.

local memory = require "bertlua.memory"
local ops = require "bertlua.ops"

local Gradients = {}
Gradients.__index = Gradients

local LOW = { fp32 = false, bf16 = "bf16" }

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
        queued = {}, due = {}, order = {},
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

--- Queue the reduction of bucket number b, unless that has been done in this step.
function Gradients:reduce(b)
    if self.queued[b] then return end
    self.queued[b] = true
    self.order[#self.order + 1] = b
    local bucket, grad = self.buckets[b], self.staging or self.store.grad
    local whole = range(grad, bucket.offset, bucket.count)
    if self.staging then ops.copy(whole, range(self.store.grad, bucket.offset, bucket.count)) end
    if self.divide then
        self.comm:reduce_scatter(range(grad, bucket.own, bucket.part), whole, "sum")
    else
        self.comm:all_reduce(whole, "sum")
    end
end

--- Note that node i is among those that add to [offset, offset + numel) of the flat buffer.
function Gradients:note(i, entry)
    if not entry.offset then return end
    for b, bucket in ipairs(self.buckets) do
        if entry.offset < bucket.offset + bucket.count and bucket.offset < entry.offset + entry.numel then
            -- The walk goes from the last node to the first, and so does this scan.
            self.last_node[b] = i
        end
    end
end

--- The walk over the tape begins: find the last node to add to each bucket. Called by Tape:backward.
function Gradients:begin(nodes, count)
    self.queued, self.due, self.last_node = {}, {}, {}
    for i = count, 1, -1 do
        for _, value in pairs(nodes[i]) do
            if type(value) == "table" then
                if value.is_parameter then
                    self:note(i, value)
                elseif value.own_parameters and value.parameters then
                    for _, entry in ipairs(value:parameters()) do self:note(i, entry) end
                end
            end
        end
    end
    for b = #self.buckets, 1, -1 do
        local i = self.last_node[b]
        if i then
            self.due[i] = self.due[i] or {}
            table.insert(self.due[i], b)
        end
    end
end

--- Node i is done. Called by Tape:backward.
function Gradients:passed(i)
    local due = self.due[i]
    if not due then return end
    for _, b in ipairs(due) do self:reduce(b) end
end

--- Queue what is left and wait: then the gradients (or this rank's parts of them) are sums over all ranks.
function Gradients:finish()
    for b = #self.buckets, 1, -1 do self:reduce(b) end
    self.comm:wait()
    if self.staging then
        for _, bucket in ipairs(self.buckets) do
            ops.copy(range(self.store.grad, bucket.own, bucket.part), range(self.staging, bucket.own, bucket.part))
        end
    end
    self.queued, self.due, self.last_order, self.order = {}, {}, self.order, {}
end

--- Take part in the reduction of a step without having computed it: every rank gets gradients that are not finite, and
-- so skips the update.
-- @return false in the first step, where the order of the buckets is not known yet
function Gradients:spoil()
    if not self.last_order then return false end
    ops.fill(self.store.grad, 0 / 0)
    for _, b in ipairs(self.last_order) do self:reduce(b) end
    self:finish()
    return true
end

--- Free the memory.
function Gradients:free()
    if self.buffer then self.buffer:free() end
end

return Gradients
