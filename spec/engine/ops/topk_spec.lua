local tensor = require "bertlua.tensor"
local ops = require "bertlua.ops"
local rng = require "bertlua.rng"
local support = require "spec.support.ops"

local scoped = support.scoped

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
