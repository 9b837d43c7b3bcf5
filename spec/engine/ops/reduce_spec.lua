local tensor = require "bertlua.tensor"
local ops = require "bertlua.ops"
local rng = require "bertlua.rng"
local support = require "spec.support.ops"
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

    it("gives 0 to -inf beside numbers", scoped(function()
        local y = support.poisoned("f32", { 3 })
        ops.softmax(y, tensor.from { -math.huge, 1, 1 })
        assert.are.same({ 0, 0.5, 0.5 }, y:tolist())
    end))
end)

describe("reduce", function()
    local FORMULA = {
        sum = function(x) return reference.dot(x, reference.map(x, function() return 1 end)) end,
        max = function(x) return math.max(unpack(x)) end,
        min = function(x) return math.min(unpack(x)) end,
        norm = function(x) return math.sqrt(reference.dot(x, x)) end,
    }
    function FORMULA.mean(x) return FORMULA.sum(x) / #x end

    it("gives sum, mean, max, min and norm of every element", scoped(function()
        support.each_dtype(function(dtype)
            for _, n in ipairs { 1, 7, 33, 1025, 7000 } do
                local x, values = support.random(dtype, { n }, 2, 3, 0.5)
                for name, formula in pairs(FORMULA) do
                    local y = support.poisoned("f32", { 1 })
                    ops.reduce(y, x, name)
                    support.assert_close(y, { formula(values) }, 2e-7, name)
                end
            end
        end)
    end))

    it("accumulates in f64 over many chunks", scoped(function()
        local n = 2 ^ 18 + 5
        local x = tensor.new("f32", { n }):fill(0.1)
        local held = x:slice(1, 1, 1):item()
        local y = support.poisoned("f32", { 1 })
        ops.reduce(y, x, "sum")
        support.assert_close(y, { held * n }, 1e-7)
    end))

    it("hands on NaN", scoped(function()
        for name in pairs(FORMULA) do
            local y = tensor.new("f32", { 1 })
            ops.reduce(y, tensor.from { 1, 0 / 0, 2 }, name)
            assert.is_true(y:item() ~= y:item())
        end
    end))

    it("does not depend on the thread count", scoped(function()
        local x = support.random("f32", { 300001 }, 3)
        support.assert_threads_agree(function()
            local sum, norm = tensor.new("f32", { 1 }), tensor.new("f32", { 1 })
            ops.reduce(sum, x, "sum")
            ops.reduce(norm, x, "norm")
            return { sum, norm }
        end)
    end))

    it("names op, argument, got and expected, and leaves outputs alone", scoped(function()
        local y = support.poisoned("f32", { 1 })
        support.assert_rejects("reduce: x is empty", { y }, function()
            ops.reduce(y, tensor.new("f32", { 0 }), "sum")
        end)
        support.assert_rejects("reduce: x is i32 [3], expected f32, bf16 or f16 of any shape", { y }, function()
            ops.reduce(y, tensor.new("i32", { 3 }), "sum")
        end)
        local wide = support.poisoned("f32", { 2 })
        support.assert_rejects("reduce: y is f32 [2], expected f32 [1]", { wide }, function()
            ops.reduce(wide, tensor.new("f32", { 3 }), "sum")
        end)
    end))
end)

describe("topk", function()
    local function expect(values, from, width, k)
        local order = {}
        for i = 1, width do order[i] = i - 1 end
        table.sort(order, function(a, b)
            local x, y = values[from + a], values[from + b]
            if x ~= y then return x > y end
            return a < b
        end)
        local top = {}
        for i = 1, k do top[i] = values[from + order[i]] end
        return top, { unpack(order, 1, k) }
    end

    it("lists the largest, descending, ties by lower index", scoped(function()
        support.each_dtype(function(dtype)
            for _, case in ipairs { { 1, 1, 1 }, { 3, 7, 7 }, { 2, 33, 5 }, { 4, 771, 20 }, { 2, 3000, 3 } } do
                local rows, width, k = case[1], case[2], case[3]
                local source, values = rng.new(9), {}
                for i = 1, rows * width do values[i] = source:integer(-40, 40) end -- many ties
                local x = tensor.new(dtype, { rows, width }):set(values)
                local top, index = support.poisoned("f32", { rows, k }), support.poisoned("i32", { rows, k })
                ops.topk(top, index, x, k)
                for r = 1, rows do
                    local values_expected, index_expected = expect(values, (r - 1) * width + 1, width, k)
                    assert.are.same(values_expected, top:tolist()[r])
                    assert.are.same(index_expected, index:tolist()[r])
                end
            end
        end)
    end))

    it("puts NaN last", scoped(function()
        local top, index = support.poisoned("f32", { 1, 3 }), support.poisoned("i32", { 1, 3 })
        ops.topk(top, index, tensor.from { { 0 / 0, 1, -math.huge } }, 3)
        assert.are.same({ { 1, 2, 0 } }, index:tolist())
    end))

    it("names op, argument, got and expected, and leaves outputs alone", scoped(function()
        local top, index = support.poisoned("f32", { 2, 3 }), support.poisoned("i32", { 2, 3 })
        support.assert_rejects("topk: k is 6, expected 1 to 5 (columns of x)", { top, index }, function()
            ops.topk(top, index, tensor.new("f32", { 2, 5 }), 6)
        end)
        support.assert_rejects("topk: values is f32 [2,3], expected f32 [2,4]", { top, index }, function()
            ops.topk(top, index, tensor.new("f32", { 2, 5 }), 4)
        end)
        support.assert_rejects("topk: x is f32 [5], expected f32, bf16 or f16 [M,V]", { top, index }, function()
            ops.topk(top, index, tensor.new("f32", { 5 }), 3)
        end)
    end))
end)
