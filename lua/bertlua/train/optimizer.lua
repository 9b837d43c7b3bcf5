--- Optimizer: clipping, loss scaling and LAMB or AdamW over a ParameterStore.
--
-- step() is three calls on the device and reads nothing back: the gradient's
-- norm (with the check for inf and NaN), the update, the loss scale. State that
-- changes from step to step is in `scalars`, on the device; `m`, `v` and
-- `scalars` are all that a checkpoint needs to resume exactly.

local fault = require "bertlua.fault"
local memory = require "bertlua.memory"
local ops = require "bertlua.ops"
local options_of = require "bertlua.util.options"
local optim = require "bertlua.optim"
local summary = require "bertlua.summary"

local Optimizer = {}
Optimizer.__index = Optimizer

local OPTIONS = { "kind", "comm", "store", "beta1", "beta2", "epsilon", "weight_decay", "weight_decay_of", "lr_scale",
    "max_grad_norm", "accumulation", "loss_scale", "dynamic", "always_adapt" }

local UPDATES = { Lamb = "lamb_update", AdamW = "adamw_update" }
-- Kinds that have their own files, with the same methods.
local OTHERS = { DistributedFusedLamb = "bertlua.train.distributed_lamb" }

-- Dynamic loss scaling as in the reference: double after 2000 good steps, halve on one overflow.
local GROWTH, BACKOFF, GROWTH_INTERVAL, MIN_SCALE = 2, 0.5, 2000, 1

-- Updates in a row that may overflow with a loss scale that cannot adapt.
local PATIENCE = 10

local function positive(name, value)
    if type(value) ~= "number" or value ~= value or value <= 0 or value == math.huge then
        fault.raisef("optimizer: %s is %s, expected a positive number", name, tostring(value))
    end
end

--- Make an optimizer.
-- @param options table of
--   kind: "Lamb" (default), "AdamW" or "DistributedFusedLamb";
--   comm: communicator; for DistributedFusedLamb;
--   store: an allocated ParameterStore;
--   beta1 (0.9), beta2 (0.999), epsilon (1e-6), weight_decay (0.01);
--   weight_decay_of: function(name) -> weight decay of one parameter, or nil for weight_decay (biases, LayerNorm: 0);
--   lr_scale: function(name) -> what the learning rate of one parameter is multiplied by, or nil for 1;
--   max_grad_norm: clip to this global norm (1.0), 0 for no clipping;
--   accumulation: micro-steps whose gradients were summed (1);
--   loss_scale: initial loss scale (1); dynamic: adapt it (false);
--   always_adapt: LAMB's trust ratio for every tensor (true), or for those with weight decay alone
function Optimizer.new(options)
    if type(options) == "table" and (options.lr or options.learning_rate) then
        error("optimizer: the learning rate is no option, optimizer:step(learning_rate) takes it", 2)
    end
    options = options_of.check("optimizer", options, OPTIONS, 2)
    local store = options.store
    if not (store and store.grad) then
        error("optimizer: store must be an allocated ParameterStore with gradients, got " .. type(store), 2)
    end
    local kind = options.kind or "Lamb"
    if OTHERS[kind] then
        local other = require(OTHERS[kind]).new(options)
        return other
    end
    if not UPDATES[kind] then
        fault.raisef("optimizer: kind is %s, expected Lamb, AdamW or DistributedFusedLamb", tostring(kind))
    end
    local self = Optimizer.init(Optimizer, kind, options, store.trained)
    self.update = optim[UPDATES[kind]]
    local low = store.low and store.low:slice(1, 1, store.trained) or nil
    self.prepared = optim.prepare {
        param = store.value:slice(1, 1, store.trained), param_low = low, m = self.m, v = self.v, grad = store.grad,
        segments = store.segments, decay = store.decay, lr_scale = store.lr_scale, scalars = self.scalars,
        trust = self.trust, beta1 = self.beta1, beta2 = self.beta2, eps = self.epsilon,
        decayed_only = self.decayed_only,
    }
    return self
end

--- What every kind has: settings, moments of `count` elements, scalars.
function Optimizer.init(class, kind, options, count)
    local store = options.store
    local self = setmetatable({
        kind = kind,
        --- Kinds of one family can resume from each other's checkpoints.
        family = kind,
        store = store,
        beta1 = options.beta1 or 0.9,
        beta2 = options.beta2 or 0.999,
        epsilon = options.epsilon or 1e-6,
        weight_decay = options.weight_decay or 0.01,
        max_grad_norm = options.max_grad_norm or 1.0,
        accumulation = options.accumulation or 1,
        dynamic = options.dynamic or false,
        decayed_only = options.always_adapt == false,
        overflows = 0,
    }, class)
    positive("loss_scale", options.loss_scale or 1)
    positive("epsilon", self.epsilon)
    store:set_decay(self.weight_decay, options.weight_decay_of)
    if options.lr_scale then store:set_lr_scale(options.lr_scale) end
    self.state_count = count
    self.m_buffer, self.v_buffer = memory.buffer(count * 4), memory.buffer(count * 4)
    self.m = self.m_buffer:tensor(0, "f32", { count })
    self.v = self.v_buffer:tensor(0, "f32", { count })
    local tensors, slots = #store.order, optim.SCALAR_COUNT
    self.scalars_buffer = memory.buffer(64 + tensors * 4)
    self.scalars = self.scalars_buffer:tensor(0, "f32", { slots })
    self.trust = self.scalars_buffer:tensor(64, "f32", { tensors })
    self.learning_rate = self.scalars:slice(1, optim.SCALARS.learning_rate, optim.SCALARS.learning_rate)
    self.loss_scale_tensor = self.scalars:slice(1, optim.SCALARS.loss_scale, optim.SCALARS.loss_scale)
    ops.fill(self.loss_scale_tensor, options.loss_scale or 1)
    return self
end

--- Update the parameters from the gradients of `accumulation` micro-steps, each scaled by the loss scale.
-- An update whose gradients hold an inf or NaN is skipped.
-- @param learning_rate of this step
function Optimizer:step(learning_rate)
    if type(learning_rate) ~= "number" then
        error(("optimizer: step got %s, expected the learning rate"):format(tostring(learning_rate)), 2)
    end
    self:set_learning_rate(learning_rate)
    self:apply()
end

--- Set the learning rate of the next update.
function Optimizer:set_learning_rate(learning_rate)
    ops.fill(self.learning_rate, learning_rate)
end

--- The update. Everything that changes from step to step is read from `scalars`, so it can be recorded and replayed.
function Optimizer:apply()
    self:update_parameters()
    if self.dynamic then
        optim.loss_scale_update(self.scalars, GROWTH, BACKOFF, GROWTH_INTERVAL, MIN_SCALE)
    end
end

--- The update alone: norm, moments, parameters.
function Optimizer:update_parameters()
    optim.grad_norm(self.scalars, self.store.grad, self.accumulation, self.max_grad_norm)
    self.update(self.prepared)
end

local function is_finite(x)
    return x == x and x ~= math.huge and x ~= -math.huge
end

--- What a step did.
-- @param scalars the scalars after it as a list; if left out the current ones are read, which waits for the device
-- @return table of grad_norm (unscaled, before clipping), loss_scale, step (updates made), skipped (updates
--   skipped so far), overflow (true if the last one was), learning_rate
function Optimizer:stats(scalars)
    local slot = optim.SCALARS
    scalars = scalars or self.scalars:tolist()
    return {
        grad_norm = scalars[slot.grad_norm],
        loss_scale = scalars[slot.loss_scale],
        step = scalars[slot.step],
        skipped = scalars[slot.skipped],
        overflow = scalars[slot.overflow] ~= 0,
        learning_rate = scalars[slot.learning_rate],
    }
end

--- Name of the first parameter whose gradient (or else value) holds an inf or NaN, and which of the two; or nil.
function Optimizer:find_non_finite()
    local buffer = memory.buffer(64)
    local norm = buffer:tensor(0, "f32", { 1 })
    local name, what
    for _, field in ipairs { "grad", "compute" } do
        for _, entry in ipairs(self.store.list) do
            if entry[field] then ops.reduce(norm, entry[field], "norm") end
            if entry[field] and not is_finite(norm:item()) then
                name, what = entry.name, field == "grad" and "gradient" or "value"
                break
            end
        end
        if name then break end
    end
    buffer:free()
    return name, what
end

--- Stop a run that cannot recover, with one line that names the step and the tensor: the dynamic loss scale
-- overflows at its floor of 1, or updates overflow PATIENCE times in a row at a fixed scale.
-- @param step number of the step, for the message
-- @param scalars as in stats()
-- @param find function() -> name, what of the tensor to name; find_non_finite() if left out, for which the gradients
--   must still be those of the step
-- @return stats(scalars)
function Optimizer:check(step, scalars, find)
    local stats = self:stats(scalars)
    if not stats.overflow then
        self.overflows, self.at_floor = 0, false
        return stats
    end
    self.overflows = self.overflows + 1
    local hopeless = self.dynamic and self.at_floor or not self.dynamic and self.overflows >= PATIENCE
    self.at_floor = stats.loss_scale <= MIN_SCALE
    if hopeless then
        local name, what = (find or self.find_non_finite)(self)
        local where = name and ("the %s of %s holds an inf or NaN"):format(what, name) or "the gradient overflows"
        if self.dynamic then
            fault.raisef("step %d: %s, even with the loss scale at its floor of %g; lower the learning rate, or use "
                .. "bf16 or fp32", step, where, MIN_SCALE)
        end
        fault.raisef("step %d: %s, and %d updates in a row were skipped at loss scale %g; lower the learning rate or "
            .. "the loss scale", step, where, self.overflows, stats.loss_scale)
    end
    return stats
end

--- Free the memory. The optimizer must not be used afterwards.
function Optimizer:free()
    for _, name in ipairs { "m_buffer", "v_buffer", "scalars_buffer" } do self[name]:free() end
end

--- Bytes of optimizer state.
function Optimizer:bytes()
    return 2 * self.state_count * 4
end

--- Its settings and how far it is. Reads a few scalars from the device.
function Optimizer:__tostring()
    local scalars = self.m_buffer.handle and self.scalars:tolist()
    if not scalars then return self.kind .. ": its memory was freed" end
    local slot = optim.SCALARS
    return ("%s: beta1 %g, beta2 %g, epsilon %g, weight decay %g\n  gradients clipped to %s, loss scale %g%s\n"
        .. "  %d updates%s, learning rate %g; moments take %s"):format(self.kind, self.beta1, self.beta2, self.epsilon,
        self.weight_decay, self.max_grad_norm > 0 and ("%g"):format(self.max_grad_norm) or "nothing",
        scalars[slot.loss_scale], self.dynamic and " (adapts)" or "", scalars[slot.step],
        scalars[slot.skipped] > 0 and (", %d skipped for inf or NaN"):format(scalars[slot.skipped]) or "",
        scalars[slot.learning_rate], summary.bytes(self:bytes()))
end

return Optimizer
