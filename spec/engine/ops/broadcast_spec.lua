local tensor = require "bertlua.tensor"
local ops = require "bertlua.ops"
local support = require "spec.support.ops"
local reference = require "spec.support.reference_broadcast"

local scoped = support.scoped

local FORMULA = {
    add = function(a, b) return a + b end,
    sub = function(a, b) return a - b end,
    mul = function(a, b) return a * b end,
    div = function(a, b) return a / b end,
    pow = function(a, b) return a ^ b end,
    maximum = function(a, b) return math.max(a, b) end,
    minimum = function(a, b) return math.min(a, b) end,
}
-- 1 to the larger, half to equal ones.
local function share(lead)
    return lead > 0 and 1 or lead < 0 and 0 or 0.5
end

-- Derivatives by a and by b.
local DERIVATIVE = {
    add = { function() return 1 end, function() return 1 end },
    sub = { function() return 1 end, function() return -1 end },
    mul = { function(_, b) return b end, function(a) return a end },
    div = { function(_, b) return 1 / b end, function(a, b) return -a / b / b end },
    pow = { function(a, b) return b * a ^ (b - 1) end, function(a, b) return a ^ b * math.log(a) end },
    maximum = { function(a, b) return share(a - b) end, function(a, b) return share(b - a) end },
    minimum = { function(a, b) return share(b - a) end, function(a, b) return share(a - b) end },
}

-- Pairs of shapes: the same, repeated on either side or on both, single elements, odd widths, more than a block.
local SHAPES = {
    { { 1 }, { 1 } }, { { 7 }, { 7 } }, { { 3, 33 }, { 33 } }, { { 33 }, { 3, 33 } }, { { 5, 1 }, { 5, 9 } },
    { { 4, 1 }, { 1, 6 } }, { { 2, 3, 5 }, { 3, 1 } }, { { 2, 1, 3, 5 }, { 4, 1, 5 } }, { { 3, 1025 }, { 1 } },
    { { 1031, 3 }, { 1031, 3 } }, { { 1100, 3 }, { 3 } }, { {}, { 2, 2 } },
}

-- Random values; those of b away from 0, those of pow's base above it.
local function operands(dtype, shapes, kind)
    local a, a_values = support.random(dtype, shapes[1], 1, 1, kind == "pow" and 2 or 0)
    local b, b_values = support.random(dtype, shapes[2], 2, 1, (kind == "div" or kind == "pow") and 2 or 0)
    return a, b, a_values, b_values
end

describe("binary", function()
    for kind, formula in pairs(FORMULA) do
        it(kind .. " equals the formula on shapes that broadcast", scoped(function()
            support.each_dtype(function(dtype, tolerance)
                for _, shapes in ipairs(SHAPES) do
                    local a, b, a_values, b_values = operands(dtype, shapes, kind)
                    local expected, dims = reference.map2(a_values, shapes[1], b_values, shapes[2], formula)
                    local y = support.poisoned(dtype, dims)
                    ops.binary(y, a, b, kind)
                    support.assert_close(y, expected, tolerance, kind)
                end
            end)
        end))

        it(kind .. " has the gradient of the formula", scoped(function()
            support.each_dtype(function(dtype, tolerance)
                for _, shapes in ipairs(SHAPES) do
                    local a, b, a_values, b_values = operands(dtype, shapes, kind)
                    local dims = reference.broadcast(shapes[1], shapes[2])
                    local dy, d = support.random(dtype, dims, 3)
                    local da, db = support.poisoned(dtype, dims), support.poisoned("f32", dims)
                    ops.binary_backward(da, db, dy, a, b, kind)
                    local by_a, by_b = DERIVATIVE[kind][1], DERIVATIVE[kind][2]
                    support.assert_close(da, (reference.map2(a_values, shapes[1], b_values, shapes[2],
                        function(u, v, i) return d[i] * by_a(u, v) end)), tolerance, "da")
                    support.assert_close(db, (reference.map2(a_values, shapes[1], b_values, shapes[2],
                        function(u, v, i) return d[i] * by_b(u, v) end)), 4e-6, "db")
                    local alone = support.poisoned(dtype, dims)
                    ops.binary_backward(alone, nil, dy, a, b, kind)
                    support.assert_same(alone, da, "da alone")
                end
            end)
        end))
    end

    it("reads transposed and sliced operands", scoped(function()
        support.each_dtype(function(dtype, tolerance)
            local whole = support.random(dtype, { 9, 70, 5 }, 4)
            local a, b = whole:transpose(1, 2):slice(1, 3, 40), whole:transpose(1, 2):slice(1, 20, 57)
            local list = function(t)
                local copy = tensor.new(dtype, t:dims())
                ops.copy(copy, t)
                return support.flat(copy)
            end
            local y = support.poisoned(dtype, { 38, 9, 5 })
            ops.binary(y, a, b, "sub")
            support.assert_close(y, (reference.map2(list(a), a:dims(), list(b), b:dims(), FORMULA.sub)), tolerance)
            local row = whole:select(2):transpose(1, 2):slice(2, 4, 4)
            y = support.poisoned(dtype, { 70, 5, 1 })
            ops.binary(y, whole:select(1):view(70, 5, 1), row, "mul")
            support.assert_close(y, (reference.map2(list(whole:select(1)), { 70, 5, 1 }, list(row), { 5, 1 },
                FORMULA.mul)), tolerance)
        end)
    end))

    it("refuses memory of an operand that lies otherwise", scoped(function()
        local x = tensor.from { { 1, 2 }, { 3, 4 } }
        local before, row, long = x:clone(), tensor.from { 1, 2 }, tensor.from { 1, 2, 3, 4, 5 }
        local words = " is memory of %s, expected memory of its own"
        local function rejects(message, fn) support.assert_rejects(message, {}, fn) end
        rejects("add: y" .. words:format "b" .. ", or all of it", function()
            ops.binary(x, row, x:transpose(1, 2), "add")
        end)
        rejects("sub: y" .. words:format "a", function() ops.binary(x, x[1], before, "sub") end)
        rejects("mul: y" .. words:format "a", function()
            ops.binary(long:slice(1, 2, 5), long:slice(1, 1, 4), tensor.from { 1 }, "mul")
        end)
        rejects("div: da" .. words:format "dy", function() ops.binary_backward(x, nil, x, before, before, "div") end)
        rejects("div: db" .. words:format "b", function() ops.binary_backward(nil, x, before, before, x, "div") end)
        rejects("where: y" .. words:format "a", function() ops.where(x, tensor.new("i8", { 2, 2 }), x[2], row) end)
        local mask = tensor.from({ 1, 0 }, "i8")
        rejects("eq: mask" .. words:format "b", function() ops.compare(mask, mask, mask:slice(1, 2, 2), "eq") end)
        support.assert_same(x, before)
        ops.binary(long:slice(1, 1, 2), long:slice(1, 3, 4), row, "add")
        assert.are.same({ 4, 6, 3, 4, 5 }, long:tolist())
    end))

    it("works in the memory of an operand", scoped(function()
        local a, b = support.random("bf16", { 40, 50 }, 1), support.random("bf16", { 50 }, 2)
        local y = support.poisoned("bf16", { 40, 50 })
        ops.binary(y, a, b, "mul")
        ops.binary(a, a, b, "mul")
        support.assert_same(a, y)
    end))

    it("computes integers exactly, wrapping around", scoped(function()
        for dtype, top in pairs { i32 = 2 ^ 31 - 1, i64 = 2 ^ 53 } do
            local a, b = tensor.from({ { 7, -3 }, { top, 16777217 } }, dtype), tensor.from({ 2, -5 }, dtype)
            local expected = {
                add = { 9, -8, dtype == "i32" and -2 ^ 31 + 1 or top + 2, 16777212 },
                sub = { 5, 2, top - 2, 16777222 }, mul = { 14, 15, dtype == "i32" and -2 or 2 * top, -83886085 },
                maximum = { 7, -3, top, 16777217 }, minimum = { 2, -5, 2, -5 },
            }
            for kind, list in pairs(expected) do
                local y = support.poisoned(dtype, { 2, 2 })
                ops.binary(y, a, b, kind)
                assert.are.same(list, support.flat(y), dtype .. " " .. kind)
            end
        end
    end))

    it("has NaN as the larger and the smaller of NaN and anything", scoped(function()
        local a, b = tensor.from { 0 / 0, 1, 0 / 0, math.huge }, tensor.from { 1, 0 / 0, 0 / 0, 2 }
        for kind, last in pairs { maximum = math.huge, minimum = 2 } do
            local y = support.poisoned("f32", { 4 })
            ops.binary(y, a, b, kind)
            local got = support.flat(y)
            for i = 1, 3 do assert.is_true(got[i] ~= got[i], kind) end
            assert.are.equal(last, got[4])
        end
    end))

    it("shares the gradient of equal operands, and is flat in the power of 0", scoped(function()
        local a, dy = tensor.from { 2, -1, 0 }, tensor.from { 4, 6, 8 }
        local da, db = tensor.new("f32", { 3 }), tensor.new("f32", { 3 })
        for _, kind in ipairs { "maximum", "minimum" } do
            ops.binary_backward(da, db, dy, a, a, kind)
            assert.are.same({ 2, 3, 4 }, da:tolist())
            assert.are.same({ 2, 3, 4 }, db:tolist())
        end
        ops.binary_backward(da, db, dy, tensor.from { 0, 0, 3 }, tensor.from { 2, 0, 0 }, "pow")
        assert.are.same({ 0, 0, 0 }, da:tolist())
        assert.are.same({ 0, 0 }, db:slice(1, 1, 2):tolist())
        assert.is_near(8 * math.log(3), db:tolist()[3], 1e-5)
    end))

    it("takes empty tensors", scoped(function()
        local empty = tensor.new("f32", { 0, 3 })
        ops.binary(empty, tensor.new("f32", { 1, 3 }), tensor.new("f32", { 0, 3 }), "add")
        ops.binary_backward(empty, nil, empty, empty, tensor.new("f32", { 3 }), "mul")
    end))

    it("names op, argument, got and expected, and leaves outputs alone", scoped(function()
        local a, y = tensor.new("f32", { 2, 3 }), support.poisoned("f32", { 2, 3 })
        support.assert_rejects("add: a is f32 [2,3], b is f32 [2]: counted from the last dimension, sizes must be "
            .. "equal or 1; reshape one", { y }, function() ops.binary(y, a, tensor.new("f32", { 2 }), "add") end)
        support.assert_rejects("mul: a is f32 [2,3], b is bf16 [3], expected one dtype; convert one of them", { y },
            function() ops.binary(y, a, tensor.new("bf16", { 3 }), "mul") end)
        support.assert_rejects("sub: y is f32 [2,3], expected f32 [4,2,3]", { y }, function()
            ops.binary(y, a, tensor.new("f32", { 4, 1, 1 }), "sub")
        end)
        local whole = tensor.new("i32", { 2 })
        support.assert_rejects("div: a is i32 [2], expected f32, bf16 or f16 of any shape", { y }, function()
            ops.binary(whole, whole, whole, "div")
        end)
        support.assert_rejects("kind is modulo, expected add, sub, mul, div, pow, maximum, minimum", { y }, function()
            ops.binary(y, a, a, "modulo")
        end)
        support.assert_rejects("mul: da is f32 [3], expected f32 [2,3]", {}, function()
            ops.binary_backward(tensor.new("f32", { 3 }), nil, y, a, a, "mul")
        end)
    end))

    it("does not depend on the thread count", scoped(function()
        local a, b = support.random("f32", { 300, 700 }, 3), support.random("f32", { 700 }, 4)
        support.assert_threads_agree(function()
            local y = tensor.new("f32", { 300, 700 })
            ops.binary(y, a, b, "div")
            return { y }
        end)
    end))
end)

local HOLDS = {
    eq = function(a, b) return a == b end, ne = function(a, b) return a ~= b end,
    lt = function(a, b) return a < b end, le = function(a, b) return a <= b end,
    gt = function(a, b) return a > b end, ge = function(a, b) return a >= b end,
}

describe("compare", function()
    it("gives 1 where it holds and 0 elsewhere, for every dtype", scoped(function()
        for _, dtype in ipairs { "f32", "bf16", "f16", "i32", "i64", "i8" } do
            for _, shapes in ipairs { { { 3, 5 }, { 5 } }, { { 1031 }, { 1031 } }, { { 4, 1 }, { 3 } } } do
                local list = function(dims, seed)
                    local _, values = support.integers(reference.count(dims), 3, seed)
                    for i = 1, #values do values[i] = values[i] - 1 end
                    return tensor.new(dtype, dims):set(values), values
                end
                local a, a_values = list(shapes[1], 1)
                local b, b_values = list(shapes[2], 2)
                for kind, holds in pairs(HOLDS) do
                    local expected, dims = reference.map2(a_values, shapes[1], b_values, shapes[2],
                        function(u, v) return holds(u, v) and 1 or 0 end)
                    local mask = support.poisoned("i8", dims)
                    ops.compare(mask, a, b, kind)
                    assert.are.same(expected, support.flat(mask), dtype .. " " .. kind)
                end
            end
        end
    end))

    it("tells i64 apart that f64 does not", scoped(function()
        local a = tensor.new("i64", { 1 }):set { 2 ^ 53 }
        local b, one = tensor.new("i64", { 1 }), tensor.from({ 1 }, "i64")
        ops.binary(b, a, one, "add")
        local mask = tensor.new("i8", { 1 })
        ops.compare(mask, a, b, "lt")
        assert.are.equal(1, mask:item())
    end))

    it("finds only ne true of NaN", scoped(function()
        local a, b = tensor.from { 0 / 0, 1 }, tensor.from { 0 / 0, 0 / 0 }
        for kind in pairs(HOLDS) do
            local mask = support.poisoned("i8", { 2 })
            ops.compare(mask, a, b, kind)
            local expected = kind == "ne" and 1 or 0
            assert.are.same({ expected, expected }, mask:tolist(), kind)
        end
    end))

    it("names op, argument, got and expected, and leaves outputs alone", scoped(function()
        local a, mask = tensor.new("f32", { 2 }), support.poisoned("i8", { 3 })
        support.assert_rejects("lt: mask is i8 [3], expected i8 [2]", { mask }, function()
            ops.compare(mask, a, a, "lt")
        end)
        support.assert_rejects("kind is like, expected eq, ne, lt, le, gt, ge", { mask }, function()
            ops.compare(mask, a, a, "like")
        end)
    end))
end)

describe("where", function()
    it("takes a where the mask is not 0, else b", scoped(function()
        for _, dtype in ipairs { "f32", "bf16", "f16", "i32", "i64" } do
            for _, shapes in ipairs {
                { { 6, 5 }, { 6, 5 }, { 6, 5 } }, { { 5 }, { 6, 1 }, { 1 } }, { { 6, 1 }, {}, { 5 } },
                { { 1100 }, { 1100 }, { 1100 } },
            } do
                local _, bits = support.integers(reference.count(shapes[1]), 3, 3)
                local mask = tensor.new("i8", shapes[1]):set(bits)
                local a, u = support.random(dtype, shapes[2], 1, 100)
                local b, v = support.random(dtype, shapes[3], 2, 100)
                local inner = reference.broadcast(shapes[2], shapes[3])
                local dims = reference.broadcast(inner, shapes[1])
                local at_m, at_a = reference.positions(shapes[1], dims), reference.positions(shapes[2], dims)
                local at_b, expected = reference.positions(shapes[3], dims), {}
                for i = 1, reference.count(dims) do
                    expected[i] = bits[at_m[i]] ~= 0 and u[at_a[i]] or v[at_b[i]]
                end
                local y = support.poisoned(dtype, dims)
                ops.where(y, mask, a, b)
                assert.are.same(expected, support.flat(y))
            end
        end
    end))

    it("does not let through what it does not take", scoped(function()
        local y = support.poisoned("f32", { 2 })
        ops.where(y, tensor.from({ 1, 0 }, "i8"), tensor.from { 3, 0 / 0 }, tensor.from { 0 / 0, 4 })
        assert.are.same({ 3, 4 }, y:tolist())
    end))

    it("names op, argument, got and expected, and leaves outputs alone", scoped(function()
        local a, y = tensor.new("f32", { 2 }), support.poisoned("f32", { 2 })
        support.assert_rejects("where: mask is i32 [2], expected i8 of any shape", { y }, function()
            ops.where(y, tensor.new("i32", { 2 }), a, a)
        end)
        support.assert_rejects("where: mask is i8 [3], what it chooses from is f32 [2]: counted from the last", { y },
            function() ops.where(y, tensor.new("i8", { 3 }), a, a) end)
    end))
end)
