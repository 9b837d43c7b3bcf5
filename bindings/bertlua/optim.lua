--- Optimizer calls over flat buffers; formulas in engine/api/optim.h.

local ffi = require "ffi"
local bl = require "bertlua.ffi"
local context = require "bertlua.context"
require "bertlua.tensor"

local C, check, handle = bl.lib, bl.check, context.handle

local M = {}

--- Slots of the scalars tensor, counted from 1 as in tensor:tolist().
M.SCALARS = {
    learning_rate = 1, step = 2, loss_scale = 3, good_steps = 4, overflow = 5, grad_norm = 6, grad_factor = 7,
    skipped = 8,
}
M.SCALAR_COUNT = 8

-- A bl_optim only points at its tensors: this keeps them as long as it lives.
local anchors = setmetatable({}, { __mode = "k" })

local function fill(optim, fields, required, optional, caller)
    local kept = {}
    for _, name in ipairs(required) do
        if fields[name] == nil then error(("optim.%s: %s is missing"):format(caller, name), 3) end
        optim[name], kept[name] = fields[name], fields[name]
    end
    for _, name in ipairs(optional) do
        optim[name], kept[name] = fields[name], fields[name]
    end
    for _, name in ipairs { "beta1", "beta2", "eps" } do
        if type(fields[name]) ~= "number" then
            error(("optim.%s: %s is %s, expected a number"):format(caller, name, tostring(fields[name])), 3)
        end
        optim[name] = fields[name]
    end
    optim.decayed_only = fields.decayed_only and 1 or 0
    anchors[optim] = kept
    return optim
end

--- Bundle what an update works on.
-- @param fields table of the tensors param, m, v, grad, segments, decay, scalars, and optionally param_low,
--   lr_scale and trust; numbers beta1, beta2, eps; decayed_only: true: LAMB's trust ratio is 1 without weight decay
-- @return bl_optim for lamb_update and adamw_update
function M.prepare(fields)
    local optim = fill(ffi.new "bl_optim", fields, { "param", "m", "v", "grad", "segments", "decay", "scalars" },
        { "param_low", "lr_scale", "trust" }, "prepare")
    return optim
end

--- Bundle what an update of a partition works on.
-- @param fields table of the tensors param, m, v, grad, pieces, decay, scalars, sums, and optionally
--   param_low, lr_scale and trust; numbers beta1, beta2, eps; decayed_only as in prepare()
-- @return bl_partition_optim for partition_lamb_moments and partition_lamb_apply
function M.prepare_partition(fields)
    local optim = fill(ffi.new "bl_partition_optim", fields, { "param", "m", "v", "grad", "pieces", "decay", "scalars",
        "sums" }, { "param_low", "lr_scale", "trust" }, "prepare_partition")
    return optim
end

function M.grad_norm(scalars, grad, accumulation, max_norm)
    check(C.bl_grad_norm(handle(), scalars, grad, accumulation, max_norm))
end

function M.lamb_update(prepared)
    check(C.bl_lamb_update(handle(), prepared))
end

function M.adamw_update(prepared)
    check(C.bl_adamw_update(handle(), prepared))
end

function M.loss_scale_update(scalars, growth, backoff, growth_interval, min_scale)
    check(C.bl_loss_scale_update(handle(), scalars, growth, backoff, growth_interval, min_scale))
end

function M.partition_grad_norm(square, scalars, grad, pieces, accumulation)
    check(C.bl_partition_grad_norm(handle(), square, scalars, grad, pieces, accumulation))
end

function M.partition_grad_factor(scalars, square, accumulation, max_norm)
    check(C.bl_partition_grad_factor(handle(), scalars, square, accumulation, max_norm))
end

function M.partition_lamb_moments(prepared)
    check(C.bl_partition_lamb_moments(handle(), prepared))
end

function M.partition_lamb_apply(prepared)
    check(C.bl_partition_lamb_apply(handle(), prepared))
end

return M
