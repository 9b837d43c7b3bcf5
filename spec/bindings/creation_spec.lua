--- bl.zeros, bl.arange, bl.cat ...

local bl = require "bertlua"
local creation = require "bertlua.creation"
local errors = require "spec.support.errors"
local tensor = require "bertlua.tensor"

local function scoped(fn)
    return function() tensor.scope(fn) end
end

describe("bl", function()
    it("has these functions as its own", function()
        for name, f in pairs(creation) do assert.are.equal(f, bl[name], name) end
    end)

    it("makes zeros, ones and what a list says", scoped(function()
        assert.are.same({ { 0, 0 } }, bl.zeros(1, 2):tolist())
        assert.are.same({ 1, 1 }, bl.ones { 2 }:tolist())
        assert.are.equal("bf16", bl.ones(2, 2, "bf16"):dtype_name())
        assert.are.same({ 1, 2 }, bl.from({ 1, 2 }, "i32"):tolist())
    end))

    it("draws the same numbers from the same seed", scoped(function()
        bl.manual_seed(5)
        local first, second, third = bl.randn(100):tolist(), bl.randn(100):tolist(), bl.rand(100)
        bl.manual_seed(5)
        assert.are.same(first, bl.randn(100):tolist())
        assert.are_not.same(first, second)
        bl.randn(100)
        assert.are.same(third:tolist(), bl.rand(100):tolist())
        assert.is_true(third:min() >= 0 and third:max() < 1 and third:max() - third:min() > 0.5)
    end))

    it("counts", scoped(function()
        assert.are.same({ 0, 1, 2, 3 }, bl.arange(4):tolist())
        assert.are.same({ 1, 2, 3, 4 }, bl.arange(1, 5):tolist())
        assert.are.same({ 10, 5 }, bl.arange(10, 0, -5):tolist())
        assert.are.same({ 0, 0.25, 0.5, 0.75 }, bl.arange(0, 1, 0.25):tolist())
        assert.are.same({}, bl.arange(0):tolist())
        assert.are.same({}, bl.arange(3, 1):tolist())
        assert.are.equal("i64", bl.arange(2, "i64"):dtype_name())
        assert.are.same({ 2 ^ 40, 2 ^ 40 + 1 }, bl.arange(2 ^ 40, 2 ^ 40 + 2, "i64"):tolist())
        assert.are.same({ 0, 0.25, 0.5, 0.75, 1 }, bl.linspace(0, 1, 5):tolist())
        assert.are.same({ 3 }, bl.linspace(3, 5, 1):tolist())
        assert.are.equal(2, bl.linspace(1, 2, 7)[7])
        assert.are.same({ { 1, 0 }, { 0, 1 } }, bl.eye(2):tolist())
        assert.are.same({ { 1, 0, 0 }, { 0, 1, 0 } }, bl.eye(2, 3, "i32"):tolist())
        assert.are.equal("f16", bl.eye(2, "f16"):dtype_name())
    end))

    it("puts tensors one after the other", scoped(function()
        local x = bl.arange(6):view(2, 3)
        assert.are.same({ { 0, 1, 2 }, { 3, 4, 5 }, { 9, 9, 9 } }, bl.cat({ x, bl.zeros(1, 3) + 9 }):tolist())
        assert.are.same({ { 0, 1, 2, 7 }, { 3, 4, 5, 8 } }, bl.cat({ x, bl.from { { 7 }, { 8 } } }, 2):tolist())
        assert.are.same({ { 0, 3, 0, 3 }, { 1, 4, 1, 4 }, { 2, 5, 2, 5 } }, bl.cat({ x:t(), x:t() }, 2):tolist())
        assert.are.same({ 1, 2 }, bl.cat({ bl.from({ 1 }, "i8"), bl.from({ 2 }, "i8") }):tolist())
    end))

    it("chooses by a mask", scoped(function()
        local x = bl.from { { 1, -2 }, { -3, 4 } }
        assert.are.same({ { 1, 0 }, { 0, 4 } }, bl.where(x:gt(0), x, 0):tolist())
        assert.are.same({ { 5, -2 }, { -3, 5 } }, bl.where(x:gt(0), 5, x):tolist())
        assert.are.same({ { 1, 2 }, { 2, 1 } }, bl.where(x:gt(0), 1, 2):tolist())
        assert.are.same({ { 7, 0 }, { 8, 0 } },
            bl.where(bl.from({ 1, 0 }, "i8"), bl.from({ { 7 }, { 8 } }, "i32"), 0):tolist())
    end))

    it("says what is wrong at the caller's line", function()
        local x = bl.zeros(2, 3)
        local cases = {
            { "dim 1 is -1", function() return (bl.zeros(-1)) end },
            { "manual_seed: got -1, expected a whole number of 0 or more", function() bl.manual_seed(-1) end },
            { "arange: got a, expected [first,] end [, step] and a dtype", function() return (bl.arange("a", 1)) end },
            { "arange: the step is 0", function() return (bl.arange(0, 1, 0)) end },
            { "arange: got 0 numbers", function() return (bl.arange()) end },
            { "arange: numbers from 0 at steps of 0.5 are not all whole, but the dtype is i32",
                function() return (bl.arange(0, 1, 0.5, "i32")) end },
            { "linspace: count is 0", function() return (bl.linspace(0, 1, 0)) end },
            { "linspace: got nil", function() return (bl.linspace(0, 1)) end },
            { "cat: expected a list of tensors", function() return (bl.cat(x)) end },
            { "cat: number 2 is a number, expected a tensor", function() return (bl.cat { x, 1 }) end },
            { "cat: number 2 is f32 2 cpu, the first is f32 2x3 cpu: all but dimension 1 must agree",
                function() return (bl.cat { x, bl.zeros(2) }) end },
            { "cat: number 2 is f32 2x4 cpu", function() return (bl.cat { x, bl.zeros(2, 4) }) end },
            { "cat: number 2 is i32 2x3 cpu", function() return (bl.cat { x, bl.zeros(2, 3, "i32") }) end },
            { "cat: dimension is 3, the tensors are f32 2x3 cpu", function() return (bl.cat({ x }, 3)) end },
            { "where: the mask is f32 2x3 cpu, expected i8", function() return (bl.where(x, 1, 2)) end },
            { "where: i32 2x3 cpu and f32 2x3 cpu differ in dtype",
                function() return (bl.where(x:gt(0), x, x:to "i32")) end },
        }
        errors.all_fail_here(cases)
    end)
end)
