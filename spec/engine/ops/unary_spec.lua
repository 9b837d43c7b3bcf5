local tensor = require "bertlua.tensor"
local ops = require "bertlua.ops"
local support = require "spec.support.ops"
local products = require "spec.support.reference_products"
local reference = require "spec.support.reference"

local scoped = support.scoped
local SIZES = { 1, 7, 33, 1025, 9 * 1024 + 771 }

local exp, log, sqrt, abs, pi = math.exp, math.log, math.sqrt, math.abs, math.pi

local function sigmoid(x)
    return 1 / (1 + exp(-x))
end

local function inner(x)
    return 2 * sqrt(2 / pi) * (x + 0.044715 * x ^ 3)
end

-- Per kind: f, its derivative by x, the number a, and which x are meant.
local KINDS = {
    neg = { function(x) return -x end, function() return -1 end },
    exp = { exp, exp },
    log = { log, function(x) return 1 / x end, domain = "positive" },
    sqrt = { sqrt, function(x) return 0.5 / sqrt(x) end, domain = "positive" },
    abs = { abs, function(x) return x > 0 and 1 or x < 0 and -1 or 0 end },
    relu = { function(x) return math.max(x, 0) end, function(x) return x > 0 and 1 or 0 end },
    silu = {
        function(x) return x * sigmoid(x) end,
        function(x) return sigmoid(x) * (1 + x * (1 - sigmoid(x))) end,
    },
    gelu_tanh = {
        function(x) return x * sigmoid(inner(x)) end,
        function(x)
            local s = sigmoid(inner(x))
            return s + x * s * (1 - s) * 2 * sqrt(2 / pi) * (1 + 3 * 0.044715 * x * x)
        end,
    },
    sigmoid = { sigmoid, function(x) return sigmoid(x) * (1 - sigmoid(x)) end },
    exponential = { function(x) return 1.5 ^ x end, function(x) return 1.5 ^ x * log(1.5) end, a = 1.5 },
    reciprocal = { function(x) return -3 / x end, function(x) return 3 / x / x end, a = -3, domain = "apart from 0" },
    clamp_min = { function(x) return math.max(x, 0.25) end, function(x) return x >= 0.25 and 1 or 0 end, a = 0.25 },
    clamp_max = { function(x) return math.min(x, 0.25) end, function(x) return x <= 0.25 and 1 or 0 end, a = 0.25 },
}
-- The derivative as a function of the output, for kinds whose backward pass reads that.
local BY_OUTPUT = {
    exp = function(y) return y end, sqrt = function(y) return 0.5 / y end,
    relu = function(y) return y > 0 and 1 or 0 end, sigmoid = function(y) return y * (1 - y) end,
    exponential = function(y) return y * log(1.5) end,
}
-- Powers with kernels of their own, and others.
for _, p in ipairs { 2, 3, 0.5, -1, 2.5, 0, 1 } do
    KINDS["pow " .. p] = {
        function(x) return x ^ p end, function(x) return p == 0 and 0 or p * x ^ (p - 1) end, a = p,
        domain = p % 1 == 0 and p >= 0 and "all" or "positive",
    }
end

local function values_of(kind, n)
    local values = {}
    for i = 1, n do
        local x = 5 * math.sin(1.7 * i)
        if kind.domain == "positive" then x = abs(x) + 0.01 end
        if kind.domain == "apart from 0" then x = x + (x < 0 and -0.5 or 0.5) end
        values[i] = x
    end
    if not kind.domain then values[1] = 0 end
    return values
end

describe("unary", function()
    for name, kind in pairs(KINDS) do
        local op = name:match "^%a[%a_]*"

        it(name .. " equals the formula", scoped(function()
            support.each_dtype(function(dtype, tolerance)
                for _, n in ipairs(SIZES) do
                    local x = tensor.from(values_of(kind, n), dtype)
                    local y = support.poisoned(dtype, { n })
                    ops.unary_forward(y, x, op, kind.a)
                    support.assert_close(y, reference.map(support.flat(x), kind[1]), tolerance, dtype)
                    ops.unary_forward(x, x, op, kind.a)
                    support.assert_same(x, y, "in place")
                end
            end)
        end))

        it(name .. " has the gradient of the formula", scoped(function()
            for _, at in ipairs { 0.3, 1.7, 4.2 } do
                local slope = (kind[1](at + 1e-6) - kind[1](at - 1e-6)) / 2e-6
                assert.is_near(slope, kind[2](at), 1e-6 * (1 + abs(slope)))
                if BY_OUTPUT[op] then assert.is_near(kind[2](at), BY_OUTPUT[op](kind[1](at)), 1e-9) end
            end
            support.each_dtype(function(dtype, tolerance)
                for _, n in ipairs(SIZES) do
                    local x = tensor.from(values_of(kind, n), dtype)
                    local dy, dy_values = support.random(dtype, { n }, 7)
                    local y, dx = tensor.new(dtype, { n }), support.poisoned(dtype, { n })
                    ops.unary_forward(y, x, op, kind.a)
                    ops.unary_backward(dx, dy, x, y, op, kind.a)
                    local derivative, at = kind[2], support.flat(x)
                    if BY_OUTPUT[op] then derivative, at = BY_OUTPUT[op], support.flat(y) end
                    support.assert_close(dx, reference.map(dy_values, function(d, i) return d * derivative(at[i]) end),
                        tolerance, dtype)
                    ops.unary_backward(dy, dy, x, y, op, kind.a)
                    support.assert_same(dy, dx, "in place")
                end
            end)
        end))
    end

    it("reads only what the kind needs", scoped(function()
        local x, dy = tensor.from { 0.5, 2 }, tensor.from { 1, 1 }
        for _, kind in ipairs { "exp", "sqrt", "relu", "sigmoid" } do
            ops.unary_backward(tensor.new("f32", { 2 }), dy, nil, x, kind)
            support.assert_rejects(kind .. ": y is NULL, expected f32 [2]", {}, function()
                ops.unary_backward(tensor.new("f32", { 2 }), dy, x, nil, kind)
            end)
        end
        ops.unary_backward(tensor.new("f32", { 2 }), dy, nil, nil, "neg")
        support.assert_rejects("log: x is NULL, expected f32 [2]", {}, function()
            ops.unary_backward(tensor.new("f32", { 2 }), dy, nil, x, "log")
        end)
    end))

    -- As PyTorch has them.
    it("keeps NaN, and gives the limits at 0 and infinity", scoped(function()
        local inf, nan = math.huge, 0 / 0
        local expected = {
            neg = { nan, -inf, inf, 0 }, exp = { nan, inf, 0, 1 }, log = { nan, inf, nan, -inf },
            sqrt = { nan, inf, nan, 0 }, abs = { nan, inf, inf, 0 }, relu = { nan, inf, 0, 0 },
            sigmoid = { nan, 1, 0, 0.5 }, silu = { nan, inf, nan, 0 }, gelu_tanh = { nan, inf, nan, 0 },
            reciprocal = { nan, 0, 0, inf }, clamp_min = { nan, inf, 2, 2 }, clamp_max = { nan, 2, -inf, 0 },
            pow = { nan, inf, inf, 0 }, exponential = { nan, inf, 0, 1 },
        }
        for kind, list in pairs(expected) do
            local y = support.poisoned("f32", { 4 })
            ops.unary_forward(y, tensor.from { nan, inf, -inf, 0 }, kind, 2)
            for i, value in ipairs(support.flat(y)) do
                local same = value == list[i] or value ~= value and list[i] ~= list[i]
                assert.is_true(same, ("%s, element %d: %g, expected %g"):format(kind, i, value, list[i]))
            end
        end
    end))

    it("is flat where 0 ^ x is 0 or 1, as in PyTorch", scoped(function()
        for _, dtype in ipairs { "f32", "bf16", "f16" } do
            local x, y = tensor.from({ 0, 0.5, 2, -1 }, dtype), support.poisoned(dtype, { 4 })
            ops.unary_forward(y, x, "exponential", 0)
            assert.are.same({ 1, 0, 0, math.huge }, support.flat(y))
            local dx = support.poisoned(dtype, { 4 })
            ops.unary_backward(dx, tensor.from({ 1, 2, 3, 4 }, dtype), nil, y, "exponential", 0)
            assert.are.same({ 0, 0, 0, -math.huge }, support.flat(dx))
        end
    end))

    it("goes to the limits of sigmoid, SiLU and GELU and their derivatives far from 0", scoped(function()
        local inf = math.huge
        local far = { 100, -100, 1e4, -1e4, 1e19, -1e19, 3e38, -3e38, inf, -inf, 0 / 0 }
        for _, dtype in ipairs { "f32", "bf16", "f16" } do
            local x, y = tensor.from(far, dtype), support.poisoned(dtype, { #far })
            local dy, dx = tensor.from(far, dtype):fill(2), support.poisoned(dtype, { #far })
            for _, kind in ipairs { "sigmoid", "silu", "gelu_tanh" } do
                local expected, slopes = {}, {}
                for i, at in ipairs(support.flat(x)) do
                    local f, slope = products.gate_limits(kind, at)
                    expected[i], slopes[i] = f, 2 * slope
                end
                ops.unary_forward(y, x, kind)
                support.assert_each(y, expected, 1e-6, ("%s in %s"):format(kind, dtype))
                ops.unary_backward(dx, dy, x, y, kind)
                support.assert_each(dx, slopes, 1e-6, ("%s' in %s"):format(kind, dtype))
            end
        end
    end))

    it("meets the limits of sigmoid, SiLU and GELU without a step", scoped(function()
        local list = {}
        for _, at in ipairs { 9.9, 10.02, 10.03, 10.04, 15.9, 16.1, 87, 87.6, 87.8, 88.1, 89, 103, 105 } do
            list[#list + 1], list[#list + 2] = at, -at
        end
        local x, y = tensor.from(list), support.poisoned("f32", { #list })
        local dy, dx = tensor.from(list):fill(1), support.poisoned("f32", { #list })
        for _, kind in ipairs { "sigmoid", "silu", "gelu_tanh" } do
            local f, slope = unpack(products.GATES[kind])
            ops.unary_forward(y, x, kind)
            ops.unary_backward(dx, dy, x, y, kind)
            for i, at in ipairs(support.flat(x)) do
                local got, derivative = y:tolist()[i], dx:tolist()[i]
                assert.is_near(f(at), got, 1e-6 * abs(f(at)) + (at < -20 and 1e-35 or 1e-7), kind .. " of " .. at)
                assert.is_near(slope(at), derivative, 1e-6, kind .. "' at " .. at)
            end
        end
    end))

    it("has 0 as the gradient of abs and relu at 0, and dy as that of clamps at their limit", scoped(function()
        local zero, dy, dx = tensor.from { 0 }, tensor.from { 5 }, tensor.new("f32", { 1 })
        for kind, expected in pairs { abs = 0, relu = 0, clamp_min = 5, clamp_max = 5 } do
            ops.unary_backward(dx, dy, zero, zero, kind, 0)
            assert.are.equal(expected, dx:item(), kind)
        end
    end))

    it("takes the log of subnormal numbers", scoped(function()
        local x = tensor.from { 2 ^ -149, 2 ^ -130, 2 ^ -126, 3.4e38 }
        local y = support.poisoned("f32", { 4 })
        ops.unary_forward(y, x, "log")
        support.assert_close(y, reference.map(support.flat(x), log), 2e-7)
    end))

    it("names op, argument, got and expected, and leaves outputs alone", scoped(function()
        local x, y = tensor.new("f32", { 2, 3 }), support.poisoned("f32", { 6 })
        support.assert_rejects("silu: y is f32 [6], expected f32 [2,3]", { y }, function()
            ops.unary_forward(y, x, "silu")
        end)
        support.assert_rejects("kind is sine, expected neg, exp", { y }, function() ops.unary_forward(y, x, "sine") end)
        support.assert_rejects("pow: a is nil, expected a number", { y }, function() ops.unary_forward(y, x, "pow") end)
        support.assert_rejects("exp: x is i32 [2], expected f32, bf16 or f16 of any shape", { y }, function()
            ops.unary_forward(y, tensor.new("i32", { 2 }), "exp")
        end)
        support.assert_rejects("exp: x is f32 [3,2] with strides [1,3], expected contiguous; copy it first", { y },
            function() ops.unary_forward(y, x:transpose(1, 2), "exp") end)
        support.assert_rejects("affine: y is f32 [6], expected f32 [2,3]", { y }, function()
            ops.affine(y, x, 1, 1)
        end)
    end))
end)

describe("affine", function()
    it("is a * x + b, rounded once", scoped(function()
        support.each_dtype(function(dtype, tolerance)
            for _, n in ipairs(SIZES) do
                local x, values = support.random(dtype, { n }, 5)
                local y = support.poisoned(dtype, { n })
                ops.affine(y, x, -1.5, 0.75)
                support.assert_close(y, reference.map(values, function(v) return -1.5 * v + 0.75 end), tolerance)
                ops.affine(y, x, 3, 0)
                support.assert_close(y, reference.map(values, function(v) return 3 * v end), tolerance)
            end
        end)
    end))
end)
