--- x[1], x[{1, 2}], x[{{1, 2}, {}}]: reading and writing.

local bl = require "bertlua"
local errors = require "spec.support.errors"
local tensor = require "bertlua.tensor"

local function scoped(fn)
    return function() tensor.scope(fn) end
end

local function matrix()
    return bl.from { { 1, 2, 3, 4 }, { 5, 6, 7, 8 }, { 9, 10, 11, 12 } }
end

describe("an index", function()
    it("of every dimension reads a number", scoped(function()
        local x = matrix()
        assert.are.equal(7, x[{ 2, 3 }])
        assert.are.equal(7, x[2][3])
        assert.are.equal(12, x[{ -1, -1 }])
        assert.are.equal(3, bl.from({ 1, 2, 3 }, "i64")[3])
        assert.are.equal(0.5, bl.from({ 0.5 }, "bf16")[1])
    end))

    it("of some dimensions is a view", scoped(function()
        local x = matrix()
        assert.are.same({ 5, 6, 7, 8 }, x[2]:tolist())
        assert.are.same({ 9, 10, 11, 12 }, x[-1]:tolist())
        assert.are.same({ { 1, 2, 3, 4 }, { 5, 6, 7, 8 } }, x[{ { 1, 2 }, {} }]:tolist())
        assert.are.same({ 3, 7, 11 }, x[{ {}, 3 }]:tolist())
        assert.are.same({ { 3 }, { 7 }, { 11 } }, x[{ {}, { 3 } }]:tolist())
        assert.are.same({ { 6, 7 }, { 10, 11 } }, x[{ { 2, 3 }, { 2, -2 } }]:tolist())
        assert.are.same(x:tolist(), x[{}]:tolist())
        assert.are.same({ 2, 6, 10 }, x:t()[2]:tolist())
        local y = bl.arange(24):view(2, 3, 4)
        assert.are.same({ { 13, 14 }, { 17, 18 } }, y[{ 2, { 1, 2 }, { 2, 3 } }]:tolist())
        x[2]:fill(0)
        assert.are.equal(0, x[{ 2, 1 }], "it looks at the same elements")
    end))

    it("can be assigned numbers, tensors that broadcast and lists", scoped(function()
        local x = matrix()
        x[1] = 0
        x[{ 2, 2 }] = -6
        x[{ { 2, 3 }, { 3, 4 } }] = bl.from { { 1, 2 }, { 3, 4 } }
        x[{ 3, { 1, 2 } }] = { 7, 8 }
        assert.are.same({ { 0, 0, 0, 0 }, { 5, -6, 1, 2 }, { 7, 8, 3, 4 } }, x:tolist())
        x[{ {}, { 1, 2 } }] = bl.from { 1, 2 }
        x[{ {}, 4 }] = bl.from({ 9 }, "i32")
        assert.are.same({ { 1, 2, 0, 9 }, { 1, 2, 1, 9 }, { 1, 2, 3, 9 } }, x:tolist())
        x[{}] = 1
        assert.are.equal(12, x:sum())
        local v = bl.zeros(3)
        v[2] = 5
        assert.are.same({ 0, 5, 0 }, v:tolist())
    end))

    it("reads what it overwrites first", scoped(function()
        local x = bl.arange(6)
        x[{ { 2, 6 } }] = x[{ { 1, 5 } }]
        assert.are.same({ 0, 0, 1, 2, 3, 4 }, x:tolist())
        local y = bl.from { { 1, 2 }, { 3, 4 } }
        y[{}] = y:t()
        assert.are.same({ { 1, 3 }, { 2, 4 } }, y:tolist())
    end))

    it("may be a mask where a value is assigned", scoped(function()
        local x = bl.from { { 1, -2 }, { -3, 4 } }
        x[x:lt(0)] = 0
        assert.are.same({ { 1, 0 }, { 0, 4 } }, x:tolist())
        x[bl.from({ 1, 0 }, "i8")] = bl.from { { 7 }, { 8 } }
        assert.are.same({ { 7, 0 }, { 8, 4 } }, x:tolist())
        x:t()[{ 1 }] = 5
        assert.are.same({ { 5, 0 }, { 5, 4 } }, x:tolist())
        local ids = bl.from({ 3, 4, 5 }, "i32")
        ids[ids:gt(3)] = -1
        assert.are.same({ 3, -1, -1 }, ids:tolist())
    end))

    it("that is wrong is an error at the caller's line", scoped(function()
        local x = matrix()
        local cases = {
            { "index 4 along dimension 1, expected 1 to 3: the tensor is f32 3x4 cpu", function() return x[4] end },
            { "index 0 along dimension 1", function() return x[0] end },
            { "index 1.5 along dimension 1", function() return x[1.5] end },
            { "index 5 along dimension 2, expected 1 to 4", function() return x[{ 1, 5 }] end },
            { "index 4 along dimension 1", function() x[4] = 0 end },
            { "index has 3 entries, the tensor is f32 3x4 cpu", function() return x[{ 1, 1, 1 }] end },
            { "a range of dimension 1 has 3 entries", function() return x[{ { 1, 2, 3 } }] end },
            { "range {2, 1} along dimension 1 is empty", function() return x[{ { 2, 1 } }] end },
            { "index of dimension 2 is a string", function() return x[{ 1, "a" }] end },
            { "index is a boolean, expected a number or a list", function() return x[true] end },
            { "index is a tensor, expected a number or a list", function() return x[x] end },
            { "got f32 3 cpu, what is assigned to is f32 4 cpu", function() x[1] = bl.zeros(3) end },
            { "got string, expected a number, a tensor or a list", function() x[1] = "a" end },
            { "set: got 2 values, the tensor is f32 4 cpu", function() x[1] = { 1, 2 } end },
            { 'a tensor has no field "foo"', function() x.foo = 1 end },
            { "masked_fill: the mask is f32 3x4 cpu, expected i8", function() x[x] = 1 end },
            { "masked_fill: got string, expected a tensor or a number", function() x[x:gt(1)] = "a" end },
            { "masked_fill: the mask is i8 1x3x4 cpu, the tensor f32 3x4 cpu",
                function() x[x:gt(1):view(1, 3, 4)] = 1 end },
        }
        errors.all_fail_here(cases)
        assert.is_nil(x.foo)
        assert.are.same(matrix():tolist(), x:tolist(), "nothing was written")
    end))
end)
