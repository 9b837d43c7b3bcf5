local tensor = require "bertlua.tensor"
local ops = require "bertlua.ops"
local support = require "spec.support.ops"
local reference = require "spec.support.reference"

local scoped = support.scoped

describe("gather", function()
    it("takes rows and sums gradients back into them", scoped(function()
        support.each_dtype(function(dtype, tolerance)
            for _, shape in ipairs { { 1, 1 }, { 5, 7 }, { 9, 33 }, { 12, 771 } } do
                local rows, width = shape[1], shape[2]
                local index, list = support.integers(7, rows, 2)
                local x, values = support.random(dtype, { rows, width }, 3)
                local y = support.poisoned(dtype, { 7, width })
                ops.gather_forward(y, x, index)
                support.assert_close(y, reference.lookup_sum(width, { values, list }), 0, "y")
                local dy, dy_values = support.random(dtype, { 7, width }, 4)
                local dx = support.poisoned(dtype, { rows, width })
                ops.gather_backward(dx, dy, index)
                support.assert_close(dx, reference.scatter_add(dy_values, width, list, rows), tolerance, "dx")
            end
        end)
    end))

    it("names op, argument, got and expected, and leaves outputs alone", scoped(function()
        local x, y = tensor.new("f32", { 4, 3 }), support.poisoned("f32", { 2, 3 })
        support.assert_rejects("gather: index[1] (from 0) is 4, expected 0 to 3", { y }, function()
            ops.gather_forward(y, x, tensor.from({ 0, 4 }, "i32"))
        end)
        support.assert_rejects("gather: y is f32 [2,3], expected f32 [1,3]", { y }, function()
            ops.gather_forward(y, x, tensor.from({ 0 }, "i32"))
        end)
        support.assert_rejects("gather_backward: index[0] (from 0) is 2, expected 0 to 1", { y }, function()
            ops.gather_backward(y, x, tensor.from({ 2, 0, 0, 0 }, "i32"))
        end)
    end))
end)
