--- Ops at the widths and counts of real models: rows of many vectors, tables whose indices need two digits of a
-- radix, rows picked hundreds of times, segments that share and span chunks of work.

local tensor = require "bertlua.tensor"
local ops = require "bertlua.ops"
local optim = require "bertlua.optim"
local rng = require "bertlua.rng"
local support = require "spec.support.ops"
local reference = require "spec.support.reference"

local scoped = support.scoped
local EPS = 1e-12

local function sum(a, b)
    return reference.map(a, function(v, i) return v + b[i] end)
end

--- n integers in [0, below): the first quarter of them 0, as filler is.
local function indices(n, below, seed)
    local source, list = rng.new(seed), {}
    for i = 1, n do list[i] = i <= n / 4 and 0 or source:integer(0, below - 1) end
    return tensor.from(list, "i32"), list
end

describe("layernorm of wide rows", function()
    it("is exact to rounding, forward and backward", scoped(function()
        support.each_dtype(function(dtype, tolerance)
            for _, width in ipairs { 512, 768, 1024, 1040, 2056 } do
                local rows, dims = 3, { 3, width }
                local dropout, d = support.dropout(99, 7, 4, 0.2)
                local keep = reference.dropout_keep(rows * width, d.seed, d.step, d.op, d.p)
                local x, x_values = support.random(dtype, dims, 1, 2, 0.5)
                local residual, residual_values = support.random(dtype, dims, 2)
                local gamma, gamma_values = support.random("f32", { width }, 3, 1, 1)
                local beta, beta_values = support.random("f32", { width }, 4)
                local y, z = support.poisoned(dtype, dims), support.poisoned(dtype, dims)
                local mean, rstd = support.poisoned("f32", { rows }), support.poisoned("f32", { rows })
                ops.layernorm_forward(y, z, mean, rstd, x, residual, gamma, beta, EPS, dropout)
                support.assert_close(z, reference.map(x_values, function(v, i)
                    return v * keep[i] + residual_values[i]
                end), tolerance, "z")
                local held = support.flat(z)
                support.assert_close(y, (reference.layernorm(held, rows, width, gamma_values, beta_values, EPS)),
                    tolerance + 2e-5, "y")

                local dy, dy_values = support.random(dtype, dims, 5)
                local dgamma, dbeta = tensor.new("f32", { width }), tensor.new("f32", { width })
                local dx = support.poisoned(dtype, dims)
                ops.layernorm_backward(dx, dy, dgamma, dbeta, dy, z, mean, rstd, gamma, dropout)
                local dz, gamma_gradient, beta_gradient =
                    reference.layernorm_gradient(dy_values, held, rows, width, gamma_values, EPS)
                support.assert_close(dy, dz, tolerance + 2e-5, "dresidual over dy")
                support.assert_close(dx, reference.map(dz, function(v, i) return v * keep[i] end), tolerance + 2e-5,
                    "dx")
                support.assert_close(dgamma, gamma_gradient, 2e-5, "dgamma")
                support.assert_close(dbeta, beta_gradient, 2e-5, "dbeta")
            end
        end)
    end))
end)

describe("embedding_backward of large tables", function()
    local WORDS, PLACES, KINDS, ROWS = 700, 260, 2, 150

    it("adds every row once, frequent ones included", scoped(function()
        for _, dtype in ipairs { "f32", "bf16" } do
            for _, width in ipairs { 136, 7 } do
                local word, word_values = support.random(dtype, { WORDS, width }, 1)
                local position, position_values = support.random(dtype, { PLACES, width }, 2)
                local kind, kind_values = support.random(dtype, { KINDS, width }, 3)
                local ids, ids_list = indices(ROWS, WORDS, 4)
                local positions, positions_list = indices(ROWS, PLACES, 5)
                local types, types_list = indices(ROWS, KINDS, 6)
                local gamma, gamma_values = support.random("f32", { width }, 7, 1, 1)
                local beta = support.random("f32", { width }, 8)
                local y = support.poisoned(dtype, { ROWS, width })
                local mean, rstd = support.poisoned("f32", { ROWS }), support.poisoned("f32", { ROWS })
                ops.embedding_forward(y, mean, rstd, word, position, kind, ids, positions, types, gamma, beta, EPS)
                local dy, dy_values = support.random(dtype, { ROWS, width }, 9)
                local dword, before = support.random("f32", { WORDS, width }, 10)
                local dposition, dkind = tensor.new("f32", { PLACES, width }), tensor.new("f32", { KINDS, width })
                ops.embedding_backward(dword, dposition, dkind, nil, nil, dy, mean, rstd, word, position, kind, ids,
                    positions, types, gamma)
                local z = reference.lookup_sum(width, { word_values, ids_list }, { position_values, positions_list },
                    { kind_values, types_list })
                local dz = reference.layernorm_gradient(dy_values, z, ROWS, width, gamma_values, EPS)
                local tolerance = width < 8 and 2e-3 or 5e-5
                support.assert_close(dword, sum(reference.scatter_add(dz, width, ids_list, WORDS), before), tolerance,
                    "dword")
                support.assert_close(dposition, reference.scatter_add(dz, width, positions_list, PLACES), tolerance,
                    "dposition")
                support.assert_close(dkind, reference.scatter_add(dz, width, types_list, KINDS), tolerance, "dtype")
            end
        end
    end))
end)

describe("gather_backward", function()
    it("adds up rows picked hundreds of times, and writes 0 where none was", scoped(function()
        for _, dtype in ipairs { "f32", "bf16" } do
            for _, case in ipairs { { 400, 264, 280 }, { 300, 7, 270 }, { 5, 40, 800 } } do
                local rows, width, picks = case[1], case[2], case[3]
                local index, list = indices(picks, rows, 2)
                local dy, values = support.random(dtype, { picks, width }, 3)
                local dx, again = support.poisoned(dtype, { rows, width }), support.poisoned(dtype, { rows, width })
                ops.gather_backward(dx, dy, index)
                support.assert_close(dx, reference.scatter_add(values, width, list, rows),
                    support.ROUNDING[dtype] * 1.1 + 4e-6)
                ops.gather_backward(again, dy, index)
                support.assert_same(again, dx)
            end
        end
    end))
end)

describe("cross_entropy over a vocabulary", function()
    it("is exact to rounding in place", scoped(function()
        support.each_dtype(function(dtype, tolerance)
            local rows, width, classes = 3, 10240, 10237
            local logits, values = support.random(dtype, { rows, width }, 5, 8)
            local list = { 10236, -1, 17 }
            local labels = tensor.from(list, "i32")
            local loss, lse = support.poisoned("f32", { 1 }), support.poisoned("f32", { rows })
            ops.cross_entropy_forward(loss, lse, nil, logits, labels, classes)
            local expected, sums, _, gradient = reference.cross_entropy(values, rows, width, list, classes)
            support.assert_close(loss, { expected }, 2e-6, "loss")
            support.assert_close(lse, sums, 2e-6, "lse")
            ops.cross_entropy_backward(logits, logits, labels, lse, tensor.from { 1024 }, classes)
            support.assert_close(logits, reference.map(gradient, function(g) return 1024 * g end), tolerance + 2e-5)
        end)
    end))
end)

describe("updates of many segments", function()
    -- Lengths from 0 up, with and without gaps: several to a chunk of work, and some that span chunks.
    local function layout()
        local source, segments, offset = rng.new(5), {}, 0
        for i = 1, 60 do
            local length = i == 30 and 40000 or i % 7 == 0 and 0 or source:integer(1, 900)
            segments[i] = { offset, length }
            offset = offset + length + (i % 3 == 0 and source:integer(0, 9) or 0)
        end
        return segments, offset + 3
    end

    it("follow the formula", scoped(function()
        local segments, size = layout()
        local decay = {}
        for i = 1, #segments do decay[i] = i % 2 / 64 end
        for _, kind in ipairs { "lamb", "adamw" } do
            local f = { beta1 = 0.875, beta2 = 0.96875, eps = 2 ^ -20, segments = tensor.from(segments, "i64") }
            f.param = support.random("f32", { size }, 1, 0.05)
            local param = support.flat(f.param)
            local grad
            f.grad, grad = support.random("f32", { size }, 2, 0.3)
            f.m, f.v, f.decay = tensor.new("f32", { size }), tensor.new("f32", { size }), tensor.from(decay)
            f.param_low = support.poisoned("bf16", { size })
            local values = reference.zeros(optim.SCALAR_COUNT)
            values[optim.SCALARS.learning_rate], values[optim.SCALARS.grad_factor] = 2 ^ -7, 0.5
            f.scalars = tensor.from(values)
            f.trust = support.poisoned("f32", { #segments })
            optim[kind .. "_update"](optim.prepare(f))
            local state = { m = reference.zeros(size), v = reference.zeros(size), step = 0 }
            local trust = reference.optimize(param, grad, state, {
                kind = kind, segments = segments, decay = decay, lr = 2 ^ -7, factor = 0.5, beta1 = f.beta1,
                beta2 = f.beta2, eps = f.eps,
            })
            support.assert_close(f.param, param, 2e-6, "param")
            support.assert_close(f.m, state.m, 2e-6, "m")
            support.assert_close(f.v, state.v, 2e-6, "v")
            if kind == "lamb" then support.assert_close(f.trust, trust, 2e-6, "trust") end
        end
    end))
end)
