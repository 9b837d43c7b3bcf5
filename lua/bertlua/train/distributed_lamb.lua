--- LAMB with moments and master weights divided among the ranks of a job.
--
-- Stage 1 of ZeRO (arXiv 1910.02054) with LAMB's trust ratios of whole tensors:
-- a rank receives the sums of its part of each gradient bucket
-- (gradients.lua), updates its part of the parameters and gathers the others',
-- in bf16 or fp16 where activations have that dtype. Two small sums are taken
-- over the ranks in between: the squared norm of the gradient, and |p|^2 and
-- |u|^2 of every parameter tensor. The parameters equal those of Lamb up to the
-- order and rounding of these sums; a run of one process uses Lamb itself.

local Optimizer = require "bertlua.train.optimizer"
local PartitionState = require "bertlua.train.partition_state"
local memory = require "bertlua.memory"
local optim = require "bertlua.optim"

local DistributedLamb = setmetatable({ __tostring = Optimizer.__tostring }, { __index = Optimizer })
DistributedLamb.__index = DistributedLamb

local function round_up(n, multiple)
    return math.ceil(n / multiple) * multiple
end

--- @param options as in Optimizer.new; comm: communicator; the store's partition divides
function DistributedLamb.new(options)
    local store, comm = options.store, options.comm
    if not (store.partition and store.partition.divide) then
        error("optimizer: DistributedFusedLamb needs a store that was allocated with a partition that divides", 3)
    end
    if not comm or comm.size ~= store.partition.size then
        error("optimizer: DistributedFusedLamb needs the communicator of the store's partition", 3)
    end
    local self = Optimizer.init(DistributedLamb, "DistributedFusedLamb", options, store.partition.state_count)
    self.family, self.comm = "Lamb", comm
    -- The update communicates, so it cannot be recorded as a graph.
    self.communicates = true
    self.gatherer = PartitionState.new(store, comm)
    store.gatherer = self.gatherer
    -- Without a low-precision copy the values themselves are updated in place, at their own offsets.
    local divided, offset = store.divided_count, store.values_count - store.total
    local rows = PartitionState.pieces(store, function(flat, state)
        if flat < divided then return state end
        return flat + offset
    end)
    local tensors = #store.order
    local sums_at = 64
    local pieces_at = sums_at + round_up(tensors * 8, 64)
    self.pieces_buffer = memory.buffer(pieces_at + #rows * 40)
    self.square = self.pieces_buffer:tensor(0, "f32", { 1 })
    self.sums = self.pieces_buffer:tensor(sums_at, "f32", { tensors, 2 })
    self.pieces = self.pieces_buffer:tensor(pieces_at, "i64", { #rows, 5 })
    self.pieces:set(rows)
    local low = store.low and store.low:slice(1, 1, store.trained) or nil
    self.prepared = optim.prepare_partition {
        param = store.master, param_low = low, m = self.m, v = self.v, grad = store.grad, pieces = self.pieces,
        decay = store.decay, lr_scale = store.lr_scale, scalars = self.scalars, sums = self.sums, trust = self.trust,
        beta1 = self.beta1, beta2 = self.beta2, eps = self.epsilon, decayed_only = self.decayed_only,
    }
    return self
end

local function range(t, offset, count)
    local view = t:slice(1, offset + 1, offset + count)
    return view
end

--- Give every rank what the others updated.
function DistributedLamb:gather_parameters()
    local store, comm = self.store, self.comm
    for _, bucket in ipairs(store.partition.buckets) do
        local flat, shift = store.low, 0
        if not bucket.low then flat, shift = store.master, store.values_count - store.total end
        comm:all_gather(range(flat, bucket.offset + shift, bucket.count), range(flat, bucket.own + shift, bucket.part))
    end
    comm:wait()
end

--- The update: norm, moments and parameters of this rank's part, then the parts of the others.
function DistributedLamb:update_parameters()
    local comm, accumulation = self.comm, self.accumulation
    optim.partition_grad_norm(self.square, self.scalars, self.store.grad, self.pieces, accumulation)
    comm:all_reduce(self.square, "sum")
    comm:wait()
    optim.partition_grad_factor(self.scalars, self.square, accumulation, self.max_grad_norm)
    optim.partition_lamb_moments(self.prepared)
    comm:all_reduce(self.sums, "sum")
    comm:wait()
    optim.partition_lamb_apply(self.prepared)
    self:gather_parameters()
    self.gatherer:restart()
end

--- Free the memory. The optimizer must not be used afterwards.
function DistributedLamb:free()
    Optimizer.free(self)
    self.pieces_buffer:free()
    self.gatherer:free()
    self.store.gatherer = nil
end

return DistributedLamb
