local tensor = require "bertlua.tensor"
local ops = require "bertlua.ops"
local support = require "spec.support.ops"
local reference = require "spec.support.reference"

local scoped = support.scoped
local EPS = 1e-5
-- One row, one column, odd widths, more rows than one chunk of partial sums, more chunks than 64.
local SHAPES = { { 1, 1 }, { 3, 1 }, { 1, 7 }, { 3, 33 }, { 5, 771 }, { 70, 16 },
    { support.emulated() and 140 or 2100, 5 } }

local function each_shape(body)
    support.each_dtype(function(dtype, tolerance)
        for _, shape in ipairs(SHAPES) do body(dtype, tolerance, shape[1], shape[2]) end
    end)
end

local function forward(dtype, rows, width, dropout)
    local f = { dims = { rows, width } }
    f.x, f.x_values = support.random(dtype, f.dims, 1, 2, 0.5)
    f.residual, f.residual_values = support.random(dtype, f.dims, 2)
    f.gamma, f.gamma_values = support.random("f32", { width }, 3, 1, 1)
    f.beta, f.beta_values = support.random("f32", { width }, 4)
    f.y, f.z = support.poisoned(dtype, f.dims), support.poisoned(dtype, f.dims)
    f.mean, f.rstd = support.poisoned("f32", { rows }), support.poisoned("f32", { rows })
    ops.layernorm_forward(f.y, f.z, f.mean, f.rstd, f.x, f.residual, f.gamma, f.beta, EPS, dropout)
    return f
end

describe("layernorm_forward", function()
    it("normalises dropout(x) + residual", scoped(function()
        each_shape(function(dtype, tolerance, rows, width)
            local dropout, d = support.dropout(99, 7, 4, 0.2)
            local f = forward(dtype, rows, width, dropout)
            local keep = reference.dropout_keep(rows * width, d.seed, d.step, d.op, d.p)
            support.assert_close(f.z, reference.map(f.x_values, function(x, i)
                return x * keep[i] + f.residual_values[i]
            end), tolerance, "z")
            local z = support.flat(f.z)
            local y, mean, rstd = reference.layernorm(z, rows, width, f.gamma_values, f.beta_values, EPS)
            support.assert_close(f.mean, mean, 4e-6, "mean")
            support.assert_close(f.rstd, rstd, 1e-5, "rstd")
            support.assert_close(f.y, y, tolerance + 2e-5, "y")
        end)
    end))

    it("is plain layer normalisation without residual and dropout", scoped(function()
        each_shape(function(dtype, tolerance, rows, width)
            local f = forward(dtype, rows, width)
            local y, z = support.poisoned(dtype, f.dims), support.poisoned(dtype, f.dims)
            ops.layernorm_forward(y, z, nil, nil, f.x, nil, f.gamma, f.beta, EPS)
            support.assert_same(z, f.x, "z")
            support.assert_close(y, (reference.layernorm(f.x_values, rows, width, f.gamma_values, f.beta_values, EPS)),
                tolerance + 2e-5, "y")
        end)
    end))

    it("gives the same y without z, mean and rstd, and with z over x", scoped(function()
        each_shape(function(dtype, _, rows, width)
            local dropout = support.dropout(99, 7, 4, 0.2)
            local f = forward(dtype, rows, width, dropout)
            local y = support.poisoned(dtype, f.dims)
            ops.layernorm_forward(y, nil, nil, nil, f.x, f.residual, f.gamma, f.beta, EPS, dropout)
            support.assert_same(y, f.y, "y")
            ops.layernorm_forward(y, f.x, nil, nil, f.x, f.residual, f.gamma, f.beta, EPS, dropout)
            support.assert_same(y, f.y, "y")
            support.assert_same(f.x, f.z, "z over x")
        end)
    end))
end)

describe("layernorm_backward", function()
    it("has the gradients of the formula, parameter gradients accumulated", scoped(function()
        each_shape(function(dtype, tolerance, rows, width)
            local dropout, d = support.dropout(5, 6, 7, 0.3)
            local f = forward(dtype, rows, width, dropout)
            local dy, dy_values = support.random(dtype, f.dims, 8)
            local dgamma, dgamma_before = support.random("f32", { width }, 9)
            local dbeta, dbeta_before = support.random("f32", { width }, 10)
            local dx, dresidual = support.poisoned(dtype, f.dims), support.poisoned(dtype, f.dims)
            local sums = support.poisoned("f32", { width })
            ops.layernorm_backward(dx, dresidual, dgamma, dbeta, dy, f.z, f.mean, f.rstd, f.gamma, dropout, sums)
            local dz, gamma_gradient, beta_gradient =
                reference.layernorm_gradient(dy_values, support.flat(f.z), rows, width, f.gamma_values, EPS)
            local keep = reference.dropout_keep(rows * width, d.seed, d.step, d.op, d.p)
            -- With few columns dz is a small difference of large terms.
            local wide = tolerance + (width < 8 and 2e-3 or 2e-5)
            if width > 1 then
                support.assert_close(dresidual, dz, wide, "dresidual")
                local expected = reference.map(dz, function(v, i) return v * keep[i] end)
                support.assert_close(dx, expected, wide, "dx")
                support.assert_close(sums, reference.column_sums(expected, width), wide, "sums")
            end
            support.assert_close(dgamma, reference.map(gamma_gradient, function(v, i)
                return v + dgamma_before[i]
            end), 2e-4, "dgamma")
            support.assert_close(dbeta, reference.map(beta_gradient, function(v, i)
                return v + dbeta_before[i]
            end), 2e-5, "dbeta")

            ops.layernorm_backward(nil, dy, nil, nil, dy, f.z, f.mean, f.rstd, f.gamma, dropout)
            support.assert_same(dy, dresidual, "dresidual over dy")
        end)
    end))

    it("computes each gradient alone, as where the others' parameters are frozen", scoped(function()
        support.each_dtype(function(dtype)
            local f = forward(dtype, 70, 24)
            local dy = support.random(dtype, f.dims, 8)
            local function outputs()
                return { support.poisoned(dtype, f.dims), support.poisoned(dtype, f.dims), tensor.new("f32", { 24 }),
                    tensor.new("f32", { 24 }), support.poisoned("f32", { 24 }) }
            end
            local function backward(list)
                ops.layernorm_backward(list[1], list[2], list[3], list[4], dy, f.z, f.mean, f.rstd, f.gamma, nil,
                    list[5])
            end
            local whole, alone = outputs(), outputs()
            backward(whole)
            for i = 1, 4 do
                local one = {}
                one[i] = alone[i]
                backward(one)
                support.assert_same(alone[i], whole[i])
            end
            backward { alone[1], nil, nil, nil, alone[5] }
            support.assert_same(alone[5], whole[5])
        end)
    end))

    it("has sums of 0 over no rows", scoped(function()
        local none, f32 = tensor.new("f32", { 0, 4 }), tensor.new("f32", { 0 })
        local sums = support.poisoned("f32", { 4 })
        ops.layernorm_backward(none, nil, nil, nil, none, none, f32, f32, tensor.new("f32", { 4 }), nil, sums)
        support.assert_close(sums, { 0, 0, 0, 0 }, 0)
    end))

    it("passes dz to both inputs without dropout", scoped(function()
        local f = forward("f32", 5, 33)
        local dy, dy_values = support.random("f32", f.dims, 8)
        local dx, dresidual = support.poisoned("f32", f.dims), support.poisoned("f32", f.dims)
        ops.layernorm_backward(dx, dresidual, nil, nil, dy, f.z, f.mean, f.rstd, f.gamma)
        local dz = reference.layernorm_gradient(dy_values, support.flat(f.z), 5, 33, f.gamma_values, EPS)
        support.assert_close(dx, dz, 2e-5)
        support.assert_same(dx, dresidual)
    end))

    it("agrees with differences of the reference", scoped(function()
        local rows, width = 2, 9
        local _, z = support.random("f32", { rows * width }, 1, 2)
        local _, gamma = support.random("f32", { width }, 2, 1, 1)
        local _, beta = support.random("f32", { width }, 3)
        local _, dy = support.random("f32", { rows * width }, 4)
        local function loss()
            return reference.dot((reference.layernorm(z, rows, width, gamma, beta, EPS)), dy)
        end
        local dz, dgamma, dbeta = reference.layernorm_gradient(dy, z, rows, width, gamma, EPS)
        support.assert_gradient(reference.differences(loss, z, 1e-5), dz, 1e-8)
        support.assert_gradient(reference.differences(loss, gamma, 1e-5), dgamma, 1e-8)
        support.assert_gradient(reference.differences(loss, beta, 1e-5), dbeta, 1e-8)
    end))

    it("does not depend on the thread count", scoped(function()
        support.assert_threads_agree(function()
            local dropout = support.dropout(5, 6, 7, 0.3)
            local f = forward("bf16", 300, 96, dropout)
            local dy = support.random("bf16", f.dims, 8)
            local dgamma, dbeta = tensor.new("f32", { 96 }), tensor.new("f32", { 96 })
            local dx, dresidual = support.poisoned("bf16", f.dims), support.poisoned("bf16", f.dims)
            local sums = support.poisoned("f32", { 96 })
            ops.layernorm_backward(dx, dresidual, dgamma, dbeta, dy, f.z, f.mean, f.rstd, f.gamma, dropout, sums)
            return { f.y, f.z, f.mean, f.rstd, dx, dresidual, dgamma, dbeta, sums }
        end)
    end))
end)

describe("validation of layernorm", function()
    it("names op, argument, got and expected, and leaves outputs alone", scoped(function()
        local x, vector = tensor.new("f32", { 2, 8 }), tensor.new("f32", { 8 })
        local y, z = support.poisoned("f32", { 2, 8 }), support.poisoned("f32", { 2, 8 })
        local function rejects(message, ...)
            local arguments, n = { ... }, select("#", ...)
            support.assert_rejects(message, { y, z }, function() ops.layernorm_forward(unpack(arguments, 1, n)) end)
        end
        rejects("layernorm: gamma is f32 [5], expected f32 [8]", y, z, nil, nil, x, nil, tensor.new("f32", { 5 }),
            vector, EPS)
        rejects("layernorm: beta is NULL, expected f32 [8]", y, z, nil, nil, x, nil, vector, nil, EPS)
        rejects("layernorm: x is f32 [8], expected f32, bf16 or f16 [T,H]", y, z, nil, nil, vector, nil, vector, vector,
            EPS)
        rejects("layernorm: residual is bf16 [2,8], expected f32 [2,8]", y, z, nil, nil, x,
            tensor.new("bf16", { 2, 8 }), vector, vector, EPS)
        rejects("layernorm: mean is f32 [3], expected f32 [2]", y, z, tensor.new("f32", { 3 }), nil, x, nil, vector,
            vector, EPS)
        rejects("layernorm: eps is -1, expected 0 or more", y, z, nil, nil, x, nil, vector, vector, -1)
        support.assert_rejects("layernorm_backward: rstd is NULL, expected f32 [2]", { y, z }, function()
            ops.layernorm_backward(y, z, nil, nil, x, x, tensor.new("f32", { 2 }), nil, vector)
        end)
        support.assert_rejects("layernorm_backward: sums are given without dx", { y, z }, function()
            ops.layernorm_backward(nil, z, nil, nil, x, x, tensor.new("f32", { 2 }), tensor.new("f32", { 2 }), vector,
                nil, vector)
        end)
        support.assert_rejects("layernorm_backward: z is f32 [8], expected f32 [2,8]", { y, z }, function()
            ops.layernorm_backward(y, z, nil, nil, x, vector, tensor.new("f32", { 2 }), tensor.new("f32", { 2 }),
                vector)
        end)
    end))
end)
