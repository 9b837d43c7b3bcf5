local tensor = require "bertlua.tensor"
local ops = require "bertlua.ops"
local support = require "spec.support.ops"
local reference = require "spec.support.reference"

local scoped = support.scoped
local SIZES = { 1, 7, 33, 1024, 1025, 3 * 1024 + 771 }

-- Values that reach every branch: both tails, around 0, subnormal.
local function spread(n)
    local values = {}
    for i = 1, n do values[i] = (i % 2 == 0 and 1 or -1) * 10 ^ (-6 + 7.2 * (i * 0.618 % 1)) end
    values[1] = 0
    return values
end

-- error: of the computation in f32, relative; one rounding to the dtype comes on top.
local function check_unary(forward, formula, error)
    support.each_dtype(function(dtype)
        local tolerance = support.ROUNDING[dtype] + error
        for _, n in ipairs(SIZES) do
            local x = tensor.from(spread(n), dtype)
            local y = support.poisoned(dtype, { n })
            forward(y, x)
            local expected = reference.map(support.flat(x), formula)
            local got = support.flat(y)
            for i = 1, n do
                local limit = tolerance * math.abs(expected[i]) + (dtype == "f16" and 2 ^ -24 or 1e-37)
                assert.is_true(math.abs(got[i] - expected[i]) <= limit,
                    ("%s element %d: %.9g, expected %.9g"):format(dtype, i, got[i], expected[i]))
            end
            forward(x, x)
            support.assert_same(x, y, "in place")
        end
    end)
end

local function check_gradient(backward, saved_of, formula)
    support.each_dtype(function(dtype, tolerance)
        for _, n in ipairs(SIZES) do
            local saved = tensor.from(saved_of(n), dtype)
            local dy, dy_values = support.random(dtype, { n }, 7)
            local dx = support.poisoned(dtype, { n })
            backward(dx, dy, saved)
            local at = support.flat(saved)
            support.assert_close(dx, reference.map(dy_values, function(d, i) return d * formula(at[i]) end), tolerance)
            backward(dy, dy, saved)
            support.assert_same(dy, dx, "in place")
        end
    end)
end

describe("gelu", function()
    it("equals x times the normal distribution function", scoped(function()
        check_unary(ops.gelu_forward, reference.gelu, 8e-7)
    end))

    it("has the gradient of the formula", scoped(function()
        check_gradient(ops.gelu_backward, spread, reference.gelu_derivative)
        for _, x in ipairs { -5, -1.3, -0.2, 0, 0.4, 2.2 } do
            local slope = (reference.gelu(x + 1e-5) - reference.gelu(x - 1e-5)) / 2e-5
            assert.is_near(slope, reference.gelu_derivative(x), 1e-8)
        end
    end))

    it("keeps NaN and the limits", scoped(function()
        local y = support.poisoned("f32", { 3 })
        ops.gelu_forward(y, tensor.from({ 0 / 0, math.huge, 300 }))
        local got = y:tolist()
        assert.is_true(got[1] ~= got[1])
        assert.are.equal(math.huge, got[2])
        assert.are.equal(300, got[3])
    end))
end)

describe("tanh", function()
    it("equals the formula", scoped(function()
        check_unary(ops.tanh_forward, reference.tanh, 2.4e-7)
    end))

    it("has the gradient of the formula", scoped(function()
        check_gradient(ops.tanh_backward, function(n)
            return reference.map(spread(n), reference.tanh)
        end, function(y) return 1 - y * y end)
        for _, x in ipairs { -3, -0.5, 0, 0.3, 1.7 } do
            local slope = (reference.tanh(x + 1e-5) - reference.tanh(x - 1e-5)) / 2e-5
            assert.is_near(slope, 1 - reference.tanh(x) ^ 2, 1e-8)
        end
    end))

    it("keeps NaN and the limits", scoped(function()
        local y = support.poisoned("f32", { 3 })
        ops.tanh_forward(y, tensor.from { 0 / 0, math.huge, -math.huge })
        local got = y:tolist()
        assert.is_true(got[1] ~= got[1])
        assert.are.equal(1, got[2])
        assert.are.equal(-1, got[3])
    end))
end)

describe("dropout", function()
    it("drops where the Philox reference does and scales the rest", scoped(function()
        support.each_dtype(function(dtype, tolerance)
            for _, n in ipairs(SIZES) do
                local x, values = support.random(dtype, { n }, 3)
                local y = support.poisoned(dtype, { n })
                local dropout, settings = support.dropout(2 ^ 40 + 123, 2 ^ 33 + 5, 17, 0.1)
                ops.dropout_forward(y, x, dropout)
                local keep = reference.dropout_keep(n, settings.seed, settings.step, settings.op, settings.p)
                support.assert_close(y, reference.map(values, function(v, i) return v * keep[i] end), tolerance)
                ops.dropout_backward(x, x, dropout)
                support.assert_same(x, y, "backward in place")
            end
        end)
    end))

    it("drops the expected share", scoped(function()
        local n = 100000
        for _, p in ipairs { 0.1, 0.5, 0.9 } do
            local x = tensor.new("f32", { n }):fill(1)
            ops.dropout_forward(x, x, (support.dropout(1, 2, 3, p)))
            local dropped = 0
            for _, value in ipairs(x:tolist()) do if value == 0 then dropped = dropped + 1 end end
            -- Five standard deviations of the binomial distribution.
            assert.is_near(p, dropped / n, 5 * math.sqrt(p * (1 - p) / n))
        end
    end))

    it("copies without a dropout and with p = 0", scoped(function()
        local x = support.random("bf16", { 70 }, 4)
        local y = support.poisoned("bf16", { 70 })
        ops.dropout_forward(y, x, nil)
        support.assert_same(y, x)
        y:fill(0 / 0)
        ops.dropout_forward(y, x, (support.dropout(1, 2, 3, 0)))
        support.assert_same(y, x)
    end))
end)

describe("axpby", function()
    it("is a * x + b * y", scoped(function()
        support.each_dtype(function(dtype, tolerance)
            for _, n in ipairs(SIZES) do
                local x, x_values = support.random(dtype, { n }, 5)
                local y, y_values = support.random(dtype, { n }, 6)
                ops.axpby(y, x, 0.75, -2)
                support.assert_close(y, reference.map(x_values, function(v, i)
                    return 0.75 * v - 2 * y_values[i]
                end), tolerance)
            end
        end)
    end))

    it("does not read y when b is 0", scoped(function()
        local x, values = support.random("f32", { 40 }, 5)
        local y = support.poisoned("f32", { 40 })
        ops.axpby(y, x, 3, 0)
        support.assert_close(y, reference.map(values, function(v) return 3 * v end), 1e-6)
    end))
end)

describe("validation of elementwise ops", function()
    it("names op, argument, got and expected, and leaves outputs alone", scoped(function()
        local x = tensor.new("f32", { 2, 3 })
        local y = support.poisoned("f32", { 6 })
        local half = support.poisoned("bf16", { 2, 3 })
        local whole = tensor.new("i32", { 2, 3 })
        support.assert_rejects("gelu: y is f32 [6], expected f32 [2,3]", { y }, function() ops.gelu_forward(y, x) end)
        support.assert_rejects("tanh: y is bf16 [2,3], expected f32 [2,3]", { half }, function()
            ops.tanh_forward(half, x)
        end)
        support.assert_rejects("gelu_backward: dy is f32 [6], expected f32 [2,3]", { half }, function()
            ops.gelu_backward(half, y, x)
        end)
        support.assert_rejects("tanh_backward: dx is NULL, expected f32 [2,3]", {}, function()
            ops.tanh_backward(nil, x, x)
        end)
        support.assert_rejects("axpby: x is i32 [2,3], expected f32, bf16 or f16 of any shape", { y }, function()
            ops.axpby(y, whole, 1, 1)
        end)
        support.assert_rejects("dropout: dropout p is 1, expected 0 <= p < 1", { y }, function()
            ops.dropout_forward(y, y, (support.dropout(1, 2, 3, 1)))
        end)
        support.assert_rejects("dropout: dropout state is i64 [3], expected i64 [2]", { y }, function()
            ops.dropout_forward(y, y, ops.dropout(tensor.new("i64", { 3 }), 0.5, 1))
        end)
        local wide = support.poisoned("f32", { 3, 2 }):transpose(1, 2)
        support.assert_rejects("gelu: y is f32 [2,3] with strides [1,2], expected contiguous", {}, function()
            ops.gelu_forward(wide, x)
        end)
    end))
end)
