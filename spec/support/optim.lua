--- Shared by the optimizer specs: a flat buffer with segments, scalars, and the comparison with the reference.

local assert = require "luassert"
local tensor = require "bertlua.tensor"
local optim = require "bertlua.optim"
local support = require "spec.support.ops"
local reference = require "spec.support.reference"

local M = {}

local S = optim.SCALARS

-- Segments with gaps between them, one longer than a chunk of work, one of a single element, one all zeros.
M.SEGMENTS = { { 0, 33 }, { 48, 1 }, { 64, 20000 }, { 20080, 771 }, { 20864, 16 } }
M.SIZE = 20880
M.DECAY = { 0.01, 0, 0.01, 0, 0.01 }
M.ZERO_SEGMENT = 5

local function in_segment()
    local inside = {}
    for _, segment in ipairs(M.SEGMENTS) do
        for i = segment[1] + 1, segment[1] + segment[2] do inside[i] = true end
    end
    return inside
end

function M.scalars(values)
    local list = reference.zeros(optim.SCALAR_COUNT)
    list[S.loss_scale], list[S.grad_factor] = 1, 1
    for name, value in pairs(values or {}) do list[S[name]] = value end
    return tensor.from(list)
end

function M.scalar(t, name)
    return t:tolist()[S[name]]
end

function M.model(low)
    local f = { beta1 = 0.9, beta2 = 0.999, eps = 1e-6 }
    f.param = support.random("f32", { M.SIZE }, 1, 0.05)
    f.param:slice(1, 20865, 20880):fill(0)
    f.param_values = support.flat(f.param)
    f.grad = tensor.new("f32", { M.SIZE })
    f.m, f.v = tensor.new("f32", { M.SIZE }), tensor.new("f32", { M.SIZE })
    f.segments = tensor.from(M.SEGMENTS, "i64")
    f.decay = tensor.from(M.DECAY)
    f.scalars = M.scalars()
    f.trust = support.poisoned("f32", { #M.SEGMENTS })
    f.param_low = low and support.poisoned(low, { M.SIZE })
    return f
end

-- A number rounded to f32.
function M.held(x)
    return tensor.from({ x }):item()
end

-- Factors of the learning rate of each segment; 0 keeps a tensor, whose moments go on.
M.LR_SCALE = { 0.5, 1, 0.125, 0, 3 }

--- Five updates against the formula.
-- @param low dtype of the low-precision copy, or nil
-- @param lr_scale list of a factor for each segment, or nil
-- @param decayed_only whether segments without weight decay have no trust ratio
function M.check_updates(kind, low, lr_scale, decayed_only)
    local f = M.model(low)
    f.decayed_only = decayed_only
    f.lr_scale = lr_scale and tensor.from(lr_scale)
    local prepared = optim.prepare(f)
    local state = { m = reference.zeros(M.SIZE), v = reference.zeros(M.SIZE), step = 0 }
    local decay = support.flat(f.decay)
    local inside = in_segment()
    local outside = {}
    for i, value in ipairs(f.param_values) do if not inside[i] then outside[i] = value end end
    for step = 1, 5 do
        local grad, grad_values = support.random("f32", { M.SIZE }, 100 + step, 0.3)
        f.grad:copy_from(grad)
        local lr, factor = M.held(0.004 * step), M.held(0.37)
        local values = f.scalars:tolist()
        values[S.learning_rate], values[S.grad_factor] = lr, factor
        f.scalars:set(values)
        optim[kind .. "_update"](prepared)
        local trust = reference.optimize(f.param_values, grad_values, state, {
            kind = kind, segments = M.SEGMENTS, decay = decay, lr = lr, lr_scale = lr_scale, factor = factor,
            beta1 = M.held(f.beta1), beta2 = M.held(f.beta2), eps = M.held(f.eps),
            decayed_only = decayed_only,
        })
        if kind == "lamb" then support.assert_close(f.trust, trust, 2e-6, "trust") end
        assert.are.equal(step, M.scalar(f.scalars, "step"))
    end
    support.assert_close(f.param, f.param_values, 2e-6, "param")
    support.assert_close(f.m, state.m, 2e-6, "m")
    support.assert_close(f.v, state.v, 2e-6, "v")
    local got = support.flat(f.param)
    for i, value in pairs(outside) do assert.are.equal(value, got[i]) end
    if low then
        local rounded = tensor.new(low, { M.SIZE }):copy_from(f.param)
        local expected, lower = support.flat(rounded), support.flat(f.param_low)
        for i = 1, M.SIZE do
            if inside[i] then assert.are.equal(expected[i], lower[i]) else assert.is_true(lower[i] ~= lower[i]) end
        end
    end
end

--- Parameters, moments and ratios after three updates, as tensors.
local function after(kind, low, lr_scale)
    local f = M.model(low)
    f.lr_scale = lr_scale and tensor.from(lr_scale)
    local prepared = optim.prepare(f)
    for step = 1, 3 do
        f.grad:copy_from((support.random("f32", { M.SIZE }, 100 + step, 0.3)))
        local values = f.scalars:tolist()
        values[S.learning_rate], values[S.grad_factor] = 0.004 * step, 0.37
        f.scalars:set(values)
        optim[kind .. "_update"](prepared)
    end
    return f
end

--- Factors of 1 change no bit.
function M.check_scale_of_one(kind)
    local none, ones = after(kind, "bf16"), after(kind, "bf16", { 1, 1, 1, 1, 1 })
    for _, name in ipairs { "param", "m", "v" } do
        assert.are.same(support.flat(none[name]), support.flat(ones[name]), name)
    end
end

return M
