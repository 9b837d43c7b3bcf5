local tensor = require "bertlua.tensor"
local ops = require "bertlua.ops"
local support = require "spec.support.ops"
local products = require "spec.support.reference_products"
local reference = require "spec.support.reference"

local scoped = support.scoped

describe("softmax", function()
    it("is softmax over the last dimension, also in place", scoped(function()
        support.each_dtype(function(dtype, tolerance)
            for _, dims in ipairs { { 1 }, { 1, 1 }, { 3, 7 }, { 2, 3, 33 }, { 2, 2, 1, 771 }, { 3, 5000 } } do
                local width = dims[#dims]
                local x, values = support.random(dtype, dims, 1, 6)
                local y = support.poisoned(dtype, dims)
                ops.softmax(y, x)
                local expected = {}
                for from = 1, #values, width do
                    local sum = reference.log_sum_exp(values, from, width)
                    for i = from, from + width - 1 do expected[i] = math.exp(values[i] - sum) end
                end
                support.assert_close(y, expected, tolerance + (dtype == "f16" and 2 ^ -11 or 0))
                ops.softmax(x, x)
                support.assert_same(x, y)
            end
        end)
    end))

    it("gives -inf a probability of 0", scoped(function()
        local y = support.poisoned("f32", { 3 })
        ops.softmax(y, tensor.from { -math.huge, 1, 1 })
        assert.are.same({ 0, 0.5, 0.5 }, y:tolist())
    end))
end)

local SHAPES = { { 1 }, { 1, 1 }, { 3, 7 }, { 2, 3, 33 }, { 2, 2, 1, 771 }, { 3, 5000 } }

local function each_shape(body)
    support.each_dtype(function(dtype, tolerance)
        for _, dims in ipairs(SHAPES) do body(dtype, tolerance, dims, dims[#dims]) end
    end)
end

describe("softmax_backward", function()
    it("has the gradient of the formula, also over dy", scoped(function()
        each_shape(function(dtype, tolerance, dims, width)
            local y = support.random(dtype, dims, 1, 3)
            ops.softmax(y, y)
            local dy, dy_values = support.random(dtype, dims, 2)
            local dx = support.poisoned(dtype, dims)
            ops.softmax_backward(dx, dy, y)
            local expected = products.softmax_gradient(dy_values, support.flat(y), width)
            -- Of one column it is 0, a difference of equals. f16 has no more than 24 bits below 1.
            local rest = dtype == "f16" and 2 ^ -11 or 0
            if width > 1 then support.assert_close(dx, expected, tolerance + 1e-5 + rest) end
            ops.softmax_backward(dy, dy, y)
            support.assert_same(dy, dx, "dx over dy")
        end)
    end))
end)

describe("log_softmax", function()
    it("is the logarithm of softmax over the last dimension, also in place", scoped(function()
        each_shape(function(dtype, tolerance, dims, width)
            local x, values = support.random(dtype, dims, 1, 6)
            local y = support.poisoned(dtype, dims)
            ops.log_softmax_forward(y, x)
            support.assert_close(y, products.log_softmax(values, width), tolerance)
            ops.log_softmax_forward(x, x)
            support.assert_same(x, y)
        end)
    end))

    it("does not overflow, and gives -inf the logarithm of 0", scoped(function()
        local y = support.poisoned("f32", { 2, 3 })
        ops.log_softmax_forward(y, tensor.from { { 1e30, -1e30, 1e30 }, { -math.huge, 4, 4 } })
        local half = math.log(0.5)
        local got = y:tolist()
        assert.is_true(math.abs(got[1][1] - half) < 1e-6 and math.abs(got[2][2] - half) < 1e-6)
        assert.is_true(got[1][2] < -1e30)
        assert.are.equal(-math.huge, got[2][1])
    end))

    it("has the gradient of the formula, also over dy", scoped(function()
        each_shape(function(dtype, tolerance, dims, width)
            local y = support.random(dtype, dims, 1, 3)
            ops.log_softmax_forward(y, y)
            local dy, dy_values = support.random(dtype, dims, 2)
            local dx = support.poisoned(dtype, dims)
            ops.log_softmax_backward(dx, dy, y)
            local expected = products.log_softmax_gradient(dy_values, support.flat(y), width)
            if width > 1 then support.assert_close(dx, expected, tolerance + 1e-5) end
            ops.log_softmax_backward(dy, dy, y)
            support.assert_same(dy, dx, "dx over dy")
        end)
    end))

    it("and its gradients agree with differences of the references", scoped(function()
        local _, x = support.random("f32", { 14 }, 1, 2)
        local _, dy = support.random("f32", { 14 }, 2)
        local function log_loss() return reference.dot(products.log_softmax(x, 7), dy) end
        local function loss()
            return reference.dot(reference.map(products.log_softmax(x, 7), function(v) return math.exp(v) end), dy)
        end
        local y = products.log_softmax(x, 7)
        support.assert_gradient(reference.differences(log_loss, x, 1e-5), products.log_softmax_gradient(dy, y, 7),
            1e-8)
        support.assert_gradient(reference.differences(loss, x, 1e-5),
            products.softmax_gradient(dy, reference.map(y, function(v) return math.exp(v) end), 7), 1e-8)
    end))

    it("and the gradients name op, argument, got and expected", scoped(function()
        local y = support.poisoned("f32", { 2, 4 })
        support.assert_rejects("log_softmax: y is f32 [2,4], expected f32 [2,3]", { y }, function()
            ops.log_softmax_forward(y, tensor.new("f32", { 2, 3 }))
        end)
        for _, op in ipairs { "softmax_backward", "log_softmax_backward" } do
            support.assert_rejects(op .. ": dy is f32 [2,3], expected f32 [2,4]", { y }, function()
                ops[op](y, tensor.new("f32", { 2, 3 }), tensor.new("f32", { 2, 4 }))
            end)
        end
    end))
end)
