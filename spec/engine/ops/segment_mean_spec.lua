local ops = require "bertlua.ops"
local support = require "spec.support.ops"
local tensor = require "bertlua.tensor"

local scoped = support.scoped

--- The mean of each segment's rows, in float64, row-major.
local function mean(values, width, segments)
    local y = {}
    for b, segment in ipairs(segments) do
        for h = 1, width do
            local sum = 0
            for row = segment[1], segment[1] + segment[2] - 1 do sum = sum + values[row * width + h] end
            y[(b - 1) * width + h] = segment[2] > 0 and sum / segment[2] or 0
        end
    end
    return y
end

--- The gradient of that.
local function spread(dy, width, segments, rows)
    local dx = {}
    for i = 1, rows * width do dx[i] = 0 end
    for b, segment in ipairs(segments) do
        for row = segment[1], segment[1] + segment[2] - 1 do
            for h = 1, width do dx[row * width + h] = dy[(b - 1) * width + h] / segment[2] end
        end
    end
    return dx
end

describe("segment_mean", function()
    it("is the mean over the rows of each segment, and spreads its gradient over them", scoped(function()
        support.each_dtype(function(dtype, tolerance)
            for _, case in ipairs {
                { 1, 1, { { 0, 1 } } }, { 5, 7, { { 0, 2 }, { 2, 0 }, { 3, 2 } } },
                { 70, 33, { { 1, 64 }, { 66, 3 } } },
                { 12, 771, { { 7, 5 }, { 0, 7 } } }, { 40, 1024, { { 0, 9 }, { 9, 17 }, { 26, 1 } } },
            } do
                local rows, width, list = case[1], case[2], case[3]
                local segments = tensor.from(list, "i32")
                local x, values = support.random(dtype, { rows, width }, 3)
                local y, again = support.poisoned(dtype, { #list, width }), support.poisoned(dtype, { #list, width })
                ops.segment_mean_forward(y, x, segments)
                support.assert_close(y, mean(values, width, list), tolerance, "y")
                ops.segment_mean_forward(again, x, segments)
                support.assert_same(again, y)
                local dy, dy_values = support.random(dtype, { #list, width }, 4)
                local dx = support.poisoned(dtype, { rows, width })
                ops.segment_mean_backward(dx, dy, segments)
                support.assert_close(dx, spread(dy_values, width, list, rows), tolerance, "dx")
            end
        end)
    end))

    it("takes no segments at all", scoped(function()
        local segments, dx = tensor.new("i32", { 0, 2 }), support.poisoned("f32", { 2, 3 })
        ops.segment_mean_forward(tensor.new("f32", { 0, 3 }), tensor.new("f32", { 2, 3 }), segments)
        ops.segment_mean_backward(dx, tensor.new("f32", { 0, 3 }), segments)
        assert.are.same({ { 0, 0, 0 }, { 0, 0, 0 } }, dx:tolist())
    end))

    it("does not depend on the thread count", scoped(function()
        local x = support.random("f32", { 300, 700 }, 3)
        local segments = tensor.from({ { 0, 100 }, { 100, 150 }, { 250, 50 } }, "i32")
        support.assert_threads_agree(function()
            local y, dx = tensor.new("f32", { 3, 700 }), tensor.new("f32", { 300, 700 })
            ops.segment_mean_forward(y, x, segments)
            ops.segment_mean_backward(dx, y, segments)
            return { y, dx }
        end)
    end))

    it("names op, argument, got and expected, and leaves outputs alone", scoped(function()
        local x, y = tensor.new("f32", { 4, 3 }), support.poisoned("f32", { 2, 3 })
        support.assert_rejects("segment_mean: y is f32 [2,3], expected f32 [1,3]", { y }, function()
            ops.segment_mean_forward(y, x, tensor.from({ { 0, 4 } }, "i32"))
        end)
        support.assert_rejects("segments[1] (from 0) is {begin 2, length 3}, expected within 4 rows", { y }, function()
            ops.segment_mean_forward(y, x, tensor.from({ { 0, 2 }, { 2, 3 } }, "i32"))
        end)
        local dx = support.poisoned("f32", { 4, 3 })
        support.assert_rejects("backward: segments[0] and segments[1] (from 0) share row 1", { dx }, function()
            ops.segment_mean_backward(dx, y, tensor.from({ { 0, 2 }, { 1, 2 } }, "i32"))
        end)
    end))
end)
