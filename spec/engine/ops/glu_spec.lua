local tensor = require "bertlua.tensor"
local ops = require "bertlua.ops"
local products = require "spec.support.reference_products"
local reference = require "spec.support.reference"
local support = require "spec.support.ops"

local scoped = support.scoped
local GATES = { "sigmoid", "gelu", "gelu_tanh", "silu", "relu" }
-- Rows and columns of y: one element, odd widths, whole packs, more columns than one block of the CPU's.
local SHAPES = { { 1, 1 }, { 3, 7 }, { 5, 33 }, { 4, 16 }, { 2, 771 }, { 3, 1024 } }

local function each_case(body)
    support.each_dtype(function(dtype, tolerance)
        for _, gate in ipairs(GATES) do
            for _, shape in ipairs(SHAPES) do body(dtype, tolerance, gate, shape[1], shape[2]) end
        end
    end)
end

describe("glu", function()
    it("multiplies the first half of each row by the gated second", scoped(function()
        each_case(function(dtype, tolerance, gate, rows, width)
            local x, values = support.random(dtype, { rows, 2 * width }, 1, 5)
            local y = support.poisoned(dtype, { rows, width })
            ops.glu_forward(y, x, gate)
            support.assert_close(y, products.glu(values, rows, width, gate), tolerance + 3e-5, gate)
        end)
    end))

    it("has the gradients of the formula, also over x", scoped(function()
        each_case(function(dtype, tolerance, gate, rows, width)
            local x, values = support.random(dtype, { rows, 2 * width }, 1, 5)
            local dy, dy_values = support.random(dtype, { rows, width }, 2)
            local dx = support.poisoned(dtype, { rows, 2 * width })
            ops.glu_backward(dx, dy, x, gate)
            support.assert_close(dx, products.glu_gradient(dy_values, values, rows, width, gate), tolerance + 3e-5,
                gate)
            ops.glu_backward(x, dy, x, gate)
            support.assert_same(x, dx, "dx over x")
        end)
    end))

    it("agrees with differences of the reference", scoped(function()
        for _, gate in ipairs(GATES) do
            local _, x = support.random("f32", { 2 * 14 }, 1, 3)
            local _, dy = support.random("f32", { 2 * 7 }, 2)
            local function loss() return reference.dot(products.glu(x, 2, 7, gate), dy) end
            support.assert_gradient(reference.differences(loss, x, 1e-5), products.glu_gradient(dy, x, 2, 7, gate),
                1e-8)
        end
    end))

    it("reaches its limits far from 0 without NaN, and keeps NaN", scoped(function()
        local inf = math.huge
        local gates = { 100, -100, 1e4, -1e4, 1e19, -1e19, 3e38, -3e38, inf, -inf, 0 / 0 }
        for _, dtype in ipairs { "f32", "bf16", "f16" } do
            local row = {}
            for i = 1, #gates do row[i], row[#gates + i] = 2, gates[i] end
            local x, y = tensor.from({ row }, dtype), support.poisoned(dtype, { 1, #gates })
            local dx, dy = support.poisoned(dtype, { 1, 2 * #gates }), tensor.from({ gates }, dtype):fill(0.5)
            local held = support.flat(x)
            for _, gate in ipairs(GATES) do
                ops.glu_forward(y, x, gate)
                ops.glu_backward(dx, dy, x, gate)
                local expected, slopes = {}, {}
                for i = 1, #gates do
                    local f, slope = products.gate_limits(gate, held[#gates + i])
                    expected[i], slopes[i], slopes[#gates + i] = 2 * f, 0.5 * f, slope
                end
                -- Twice 3e38 overflows.
                for i = 1, #gates do
                    if expected[i] > 3.4e38 then expected[i] = inf end
                end
                support.assert_each(y, expected, 1e-6, ("%s in %s"):format(gate, dtype))
                support.assert_each(dx, slopes, 1e-6, ("%s' in %s"):format(gate, dtype))
            end
        end
    end))

    it("names op, argument, got and expected, and leaves outputs alone", scoped(function()
        local x, y = tensor.new("f32", { 2, 8 }), support.poisoned("f32", { 2, 4 })
        local function rejects(message, ...)
            local arguments, n = { ... }, select("#", ...)
            support.assert_rejects(message, { y }, function() ops.glu_forward(unpack(arguments, 1, n)) end)
        end
        rejects("glu: x is f32 [2,7], expected an even number of columns, value | gate", y, tensor.new("f32", { 2, 7 }),
            "silu")
        rejects("glu: y is f32 [2,4], expected f32 [2,3]", y, tensor.new("f32", { 2, 6 }), "silu")
        rejects("glu: y is f32 [2,4], expected bf16 [2,4]", y, tensor.new("bf16", { 2, 8 }), "silu")
        rejects("activation is swish, expected sigmoid, gelu, gelu_tanh, silu or relu", y, x, "swish")
        support.assert_rejects("glu_backward: dy is f32 [2,8], expected f32 [2,4]", { y }, function()
            ops.glu_backward(tensor.new("f32", { 2, 8 }), x, x, "gelu")
        end)
    end))
end)
