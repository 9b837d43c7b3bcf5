local tensor = require "bertlua.tensor"
local ops = require "bertlua.ops"
local products = require "spec.support.reference_products"
local reference = require "spec.support.reference"
local support = require "spec.support.ops"

local scoped = support.scoped
local EPS = 1e-5
-- One row, one column, odd widths, whole packs, more rows than one chunk of partial sums, more chunks than 64.
local SHAPES = { { 1, 1 }, { 3, 1 }, { 1, 7 }, { 3, 33 }, { 5, 771 }, { 3, 1024 }, { 2, 1040 }, { 70, 16 },
    { support.emulated() and 140 or 2100, 5 } }

local function each_shape(body)
    support.each_dtype(function(dtype, tolerance)
        for _, shape in ipairs(SHAPES) do body(dtype, tolerance, shape[1], shape[2]) end
    end)
end

local function forward(dtype, rows, width)
    local f = { dims = { rows, width } }
    f.x, f.x_values = support.random(dtype, f.dims, 1, 2, 0.5)
    f.gamma, f.gamma_values = support.random("f32", { width }, 3, 1, 1)
    f.y, f.rstd = support.poisoned(dtype, f.dims), support.poisoned("f32", { rows })
    ops.rmsnorm_forward(f.y, f.rstd, f.x, f.gamma, EPS)
    return f
end

describe("rmsnorm_forward", function()
    it("divides rows by their root mean square, also in place and without rstd", scoped(function()
        each_shape(function(dtype, tolerance, rows, width)
            local f = forward(dtype, rows, width)
            local y, rstd = products.rmsnorm(f.x_values, rows, width, f.gamma_values, EPS)
            support.assert_close(f.y, y, tolerance, "y")
            support.assert_close(f.rstd, rstd, 4e-6, "rstd")
            ops.rmsnorm_forward(f.x, nil, f.x, f.gamma, EPS)
            support.assert_same(f.x, f.y, "in place")
        end)
    end))
end)

describe("rmsnorm_backward", function()
    it("has the gradients of the formula, dgamma accumulated, and dx may lie over dy", scoped(function()
        each_shape(function(dtype, tolerance, rows, width)
            local f = forward(dtype, rows, width)
            local dy, dy_values = support.random(dtype, f.dims, 8)
            local dgamma, before = support.random("f32", { width }, 9)
            local dx = support.poisoned(dtype, f.dims)
            ops.rmsnorm_backward(dx, dgamma, dy, f.x, f.rstd, f.gamma)
            local expected, gamma_gradient =
                products.rmsnorm_gradient(dy_values, f.x_values, rows, width, f.gamma_values, EPS)
            -- With one column dx is a small difference of large terms.
            if width > 1 then support.assert_close(dx, expected, tolerance + 2e-5, "dx") end
            support.assert_close(dgamma, reference.map(gamma_gradient, function(v, i) return v + before[i] end), 5e-5,
                "dgamma")
            ops.rmsnorm_backward(dy, nil, dy, f.x, f.rstd, f.gamma)
            support.assert_same(dy, dx, "dx over dy")
        end)
    end))

    it("leaves dx out where it is not wanted", scoped(function()
        local f = forward("f32", 5, 33)
        local dy = support.random("f32", f.dims, 8)
        local alone, both = tensor.new("f32", { 33 }), tensor.new("f32", { 33 })
        ops.rmsnorm_backward(nil, alone, dy, f.x, f.rstd, f.gamma)
        ops.rmsnorm_backward(support.poisoned("f32", f.dims), both, dy, f.x, f.rstd, f.gamma)
        support.assert_same(alone, both)
        assert.is_true(alone:tolist()[1] ~= 0)
    end))

    it("agrees with differences of the reference", scoped(function()
        local rows, width = 2, 9
        local _, x = support.random("f32", { rows * width }, 1, 2)
        local _, gamma = support.random("f32", { width }, 2, 1, 1)
        local _, dy = support.random("f32", { rows * width }, 4)
        local function loss() return reference.dot((products.rmsnorm(x, rows, width, gamma, EPS)), dy) end
        local dx, dgamma = products.rmsnorm_gradient(dy, x, rows, width, gamma, EPS)
        support.assert_gradient(reference.differences(loss, x, 1e-5), dx, 1e-8)
        support.assert_gradient(reference.differences(loss, gamma, 1e-5), dgamma, 1e-8)
    end))

    it("does not depend on the thread count", scoped(function()
        support.assert_threads_agree(function()
            local f = forward("bf16", 300, 96)
            local dy, dgamma = support.random("bf16", f.dims, 8), tensor.new("f32", { 96 })
            local dx = support.poisoned("bf16", f.dims)
            ops.rmsnorm_backward(dx, dgamma, dy, f.x, f.rstd, f.gamma)
            return { f.y, f.rstd, dx, dgamma }
        end)
    end))
end)

describe("validation of rmsnorm", function()
    it("names op, argument, got and expected, and leaves outputs alone", scoped(function()
        local x, gamma = tensor.new("f32", { 2, 8 }), tensor.new("f32", { 8 })
        local y = support.poisoned("f32", { 2, 8 })
        local function rejects(message, ...)
            local arguments, n = { ... }, select("#", ...)
            support.assert_rejects(message, { y }, function() ops.rmsnorm_forward(unpack(arguments, 1, n)) end)
        end
        rejects("rmsnorm: gamma is f32 [5], expected f32 [8]", y, nil, x, tensor.new("f32", { 5 }), EPS)
        rejects("rmsnorm: gamma is bf16 [8], expected f32 [8]", y, nil, x, tensor.new("bf16", { 8 }), EPS)
        rejects("rmsnorm: x is f32 [8], expected f32, bf16 or f16 [T,H]", y, nil, gamma, gamma, EPS)
        rejects("rmsnorm: x has 0 columns, expected 1 or more", y, nil, tensor.new("f32", { 2, 0 }), gamma, EPS)
        rejects("rmsnorm: rstd is f32 [3], expected f32 [2]", y, tensor.new("f32", { 3 }), x, gamma, EPS)
        rejects("rmsnorm: eps is -1, expected 0 or more", y, nil, x, gamma, -1)
        support.assert_rejects("rmsnorm_backward: rstd is NULL, expected f32 [2]", { y }, function()
            ops.rmsnorm_backward(y, nil, x, x, nil, gamma)
        end)
        support.assert_rejects("rmsnorm_backward: dy is bf16 [2,8], expected f32 [2,8]", { y }, function()
            ops.rmsnorm_backward(y, nil, tensor.new("bf16", { 2, 8 }), x, tensor.new("f32", { 2 }), gamma)
        end)
    end))
end)
