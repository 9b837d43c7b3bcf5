local tensor = require "bertlua.tensor"
local ops = require "bertlua.ops"
local support = require "spec.support.ops"
local reference = require "spec.support.reference_broadcast"

local scoped = support.scoped
local KINDS = { "sum", "mean", "max", "min" }

-- Shapes and what is left of them: inner, outer, middle and several dimensions, none, all; rows short and long.
local SHAPES = {
    { { 7 }, { 1 } }, { { 5, 33 }, { 5, 1 } }, { { 5, 33 }, { 1, 33 } }, { { 5, 33 }, { 1, 1 } },
    { { 5, 3 }, { 5, 3 } }, { { 40, 3 }, { 40, 1 } }, { { 4, 5, 6 }, { 4, 1, 6 } }, { { 4, 5, 6 }, { 1, 5, 1 } },
    { { 2, 3, 4, 37 }, { 2, 1, 1, 37 } }, { { 2, 3, 4, 37 }, { 1, 3, 1, 1 } }, { { 3, 2500 }, { 3, 1 } },
    { { 1030, 3 }, { 1, 3 } }, { { 3, 1030 }, { 1, 1030 } },
}

local function expected_of(values, shapes, kind)
    local list = reference.groups(values, shapes[1], shapes[2])
    for i, group in ipairs(list) do list[i] = reference.reduce(group, kind) end
    return list
end

describe("reduce_dims", function()
    for _, kind in ipairs(KINDS) do
        it("gives the " .. kind .. " along any dimensions", scoped(function()
            support.each_dtype(function(dtype, tolerance)
                for _, shapes in ipairs(SHAPES) do
                    local x, values = support.random(dtype, shapes[1], 2, 3, 0.5)
                    local expected = expected_of(values, shapes, kind)
                    for _, to in ipairs { dtype, "f32" } do
                        local y = support.poisoned(to, shapes[2])
                        ops.reduce_dims(y, x, kind)
                        support.assert_close(y, expected, to == dtype and tolerance or 4e-6, dtype)
                    end
                end
            end)
        end))

        it("has the gradient of the " .. kind, scoped(function()
            support.each_dtype(function(dtype, tolerance)
                for _, shapes in ipairs(SHAPES) do
                    -- Whole numbers, so that extremes occur several times.
                    local _, values = support.integers(reference.count(shapes[1]), 4, 5)
                    local x, y = tensor.new(dtype, shapes[1]):set(values), tensor.new(dtype, shapes[2])
                    ops.reduce_dims(y, x, kind)
                    local dy, d = support.random(dtype, shapes[2], 3)
                    local dx = support.poisoned(dtype, shapes[1])
                    ops.reduce_dims_backward(dx, dy, x, y, kind)
                    local groups = reference.groups(values, shapes[1], shapes[2])
                    local expected = {}
                    for i, at in ipairs(reference.positions(shapes[2], shapes[1])) do
                        local group, extreme = groups[at], reference.reduce(groups[at], kind)
                        local equal = 0
                        for _, v in ipairs(group) do if v == extreme then equal = equal + 1 end end
                        expected[i] = kind == "sum" and d[at] or kind == "mean" and d[at] / #group
                            or values[i] == extreme and d[at] / equal or 0
                    end
                    support.assert_close(dx, expected, tolerance, dtype)
                    if kind == "sum" or kind == "mean" then
                        local again = support.poisoned(dtype, shapes[1])
                        ops.reduce_dims_backward(again, dy, nil, nil, kind)
                        support.assert_same(again, dx)
                    end
                end
            end)
        end))
    end

    it("reads transposed and sliced tensors", scoped(function()
        support.each_dtype(function(dtype, tolerance)
            local whole = support.random(dtype, { 45, 50 }, 4)
            local x = whole:transpose(1, 2):slice(1, 5, 44)
            local copy = tensor.new(dtype, { 40, 45 })
            ops.copy(copy, x)
            for _, small in ipairs { { 40, 1 }, { 1, 45 }, { 1, 1 } } do
                for _, kind in ipairs(KINDS) do
                    local y = support.poisoned(dtype, small)
                    ops.reduce_dims(y, x, kind)
                    support.assert_close(y, expected_of(support.flat(copy), { { 40, 45 }, small }, kind), tolerance)
                end
            end
        end)
    end))

    it("counts masks", scoped(function()
        local _, bits = support.integers(4 * 300, 2, 1)
        local y = support.poisoned("f32", { 4, 1 })
        ops.reduce_dims(y, tensor.new("i8", { 4, 300 }):set(bits), "sum")
        assert.are.same(expected_of(bits, { { 4, 300 }, { 4, 1 } }, "sum"), support.flat(y))
    end))

    it("sums in f64", scoped(function()
        local n = 2 ^ 17 + 5
        local x = tensor.new("f32", { n, 2 }):fill(0.1)
        local held = x:slice(1, 1, 1):tolist()[1][1]
        local y = support.poisoned("f32", { 1, 2 })
        ops.reduce_dims(y, x, "sum")
        support.assert_close(y, { held * n, held * n }, 1e-7)
        y = support.poisoned("f32", { 1, 1 })
        ops.reduce_dims(y, x, "sum")
        support.assert_close(y, { held * 2 * n }, 1e-7)
    end))

    it("is NaN where an element is, as maximum and minimum, and gives it the gradient", scoped(function()
        local x = tensor.from { { 1, 0 / 0, 3 }, { 4, 5, 6 } }
        for _, kind in ipairs { "max", "min" } do
            local y, dx = support.poisoned("f32", { 2, 1 }), support.poisoned("f32", { 2, 3 })
            ops.reduce_dims(y, x, kind)
            local got = support.flat(y)
            assert.is_true(got[1] ~= got[1])
            assert.are.equal(kind == "max" and 6 or 4, got[2])
            ops.reduce_dims_backward(dx, tensor.from { { 2 }, { 3 } }, x, y, kind)
            assert.are.same({ 0, 2, 0 }, dx:tolist()[1])
            y = support.poisoned("f32", { 1, 3 })
            ops.reduce_dims(y, x, kind)
            got = support.flat(y)
            assert.is_true(got[2] ~= got[2])
            assert.are.equal(kind == "max" and 4 or 1, got[1])
        end
    end))

    it("takes empty tensors: a sum of nothing is 0", scoped(function()
        local y = support.poisoned("f32", { 1, 3 })
        ops.reduce_dims(y, tensor.new("f32", { 0, 3 }), "sum")
        assert.are.same({ { 0, 0, 0 } }, y:tolist())
        ops.reduce_dims(tensor.new("f32", { 0, 1 }), tensor.new("f32", { 0, 3 }), "max")
        support.assert_rejects("max: x is empty along a dimension that is reduced", {}, function()
            ops.reduce_dims(y, tensor.new("f32", { 0, 3 }), "max")
        end)
    end))

    it("does not depend on the thread count", scoped(function()
        local x = support.random("f32", { 1500, 70 }, 3)
        support.assert_threads_agree(function()
            local results = {}
            for i, dims in ipairs { { 1, 70 }, { 1500, 1 }, { 1, 1 } } do
                results[i] = tensor.new("f32", dims)
                ops.reduce_dims(results[i], x, "sum")
            end
            return results
        end)
    end))

    it("names op, argument, got and expected, and leaves outputs alone", scoped(function()
        local x, y = tensor.new("f32", { 2, 3 }), support.poisoned("f32", { 2 })
        support.assert_rejects("sum: y is f32 [2], expected the sizes of x, f32 [2,3], or 1 where it is reduced", { y },
            function() ops.reduce_dims(y, x, "sum") end)
        support.assert_rejects("max: x is i32 [2], expected f32, bf16, f16 or i8 of any shape", { y }, function()
            ops.reduce_dims(y, tensor.new("i32", { 2 }), "max")
        end)
        support.assert_rejects("reduction is norm, expected sum, mean, max or min", { y }, function()
            ops.reduce_dims(y, x, "norm")
        end)
        support.assert_rejects("max: x is NULL", {}, function()
            ops.reduce_dims_backward(x, tensor.new("f32", { 2, 1 }), nil, nil, "max")
        end)
    end))
end)

describe("argmax", function()
    it("is the number of the first of the largest, from 0", scoped(function()
        support.each_dtype(function(dtype)
            for _, shape in ipairs { { 7 }, { 5, 33 }, { 4, 5, 6 }, { 2, 3, 4, 37 }, { 3, 2500 }, { 1030, 3 } } do
                local _, values = support.integers(reference.count(shape), 6, 5)
                local x = tensor.new(dtype, shape):set(values)
                for dim = 1, #shape do
                    local small = { unpack(shape) }
                    small[dim] = 1
                    local expected = {}
                    for i, group in ipairs(reference.groups(values, shape, small)) do
                        local best = 1
                        for k, v in ipairs(group) do if v > group[best] then best = k end end
                        expected[i] = best - 1
                    end
                    local index = support.poisoned("i32", small)
                    ops.argmax(index, x, dim)
                    assert.are.same(expected, support.flat(index))
                end
            end
        end)
    end))

    it("finds the first NaN, and 0 where all are -inf", scoped(function()
        local x = tensor.from { { 1, 0 / 0, 9, 0 / 0 }, { -math.huge, -math.huge, -math.huge, -math.huge } }
        local index = support.poisoned("i32", { 2, 1 })
        ops.argmax(index, x, 2)
        assert.are.same({ { 1 }, { 0 } }, index:tolist())
        index = support.poisoned("i32", { 1, 4 })
        ops.argmax(index, x, 1)
        assert.are.same({ { 0, 0, 0, 0 } }, index:tolist())
        local wide = tensor.new("f32", { 1, 3000 })
        wide:slice(2, 2001, 2001):fill(0 / 0)
        index = support.poisoned("i32", { 1, 1 })
        ops.argmax(index, wide, 2)
        assert.are.equal(2000, index:item())
    end))

    it("reads a transposed tensor", scoped(function()
        local index = support.poisoned("i32", { 3, 1 })
        ops.argmax(index, tensor.from({ { 1, 5, 2 }, { 4, 3, 9 } }):transpose(1, 2), 2)
        assert.are.same({ 1, 0, 1 }, support.flat(index))
    end))

    it("names op, argument, got and expected, and leaves outputs alone", scoped(function()
        local index = support.poisoned("i32", { 2 })
        support.assert_rejects("argmax: index is i32 [2], expected i32 [2,1]", { index }, function()
            ops.argmax(index, tensor.new("f32", { 2, 3 }), 2)
        end)
        support.assert_rejects("argmax: dim (from 0) is 2, x has 2 dimensions", {}, function()
            ops.argmax(index, tensor.new("f32", { 2, 3 }), 3)
        end)
        -- One element, repeated.
        local long = tensor.new("f32", { 1 })
        long.shape[0], long.stride[0] = 2 ^ 31, 0
        index = support.poisoned("i32", { 1 })
        support.assert_rejects("argmax: x has 2147483648 elements along the dimension, expected at most 2147483647",
            { index }, function() ops.argmax(index, long, 1) end)
    end))
end)
