--- What operators and methods of tensors share: dtypes, broadcasting, numbers, errors. The methods one by one are in
-- tensor_methods_spec.lua, the ops behind them in spec/engine/ops.

local bl = require "bertlua"
local errors = require "spec.support.errors"
local tensor = require "bertlua.tensor"

local function scoped(fn)
    return function() tensor.scope(fn) end
end

describe("arithmetic of tensors", function()
    local function x() return bl.from { { 1, 2, 3 }, { 4, 5, 6 } } end

    it("takes tensors and numbers on either side", scoped(function()
        local y = bl.from { { 10, 20, 30 }, { 40, 50, 60 } }
        assert.are.same({ { 11, 22, 33 }, { 44, 55, 66 } }, (x() + y):tolist())
        assert.are.same({ { 9, 18, 27 }, { 36, 45, 54 } }, (y - x()):tolist())
        assert.are.same({ { 10, 40, 90 }, { 160, 250, 360 } }, (x() * y):tolist())
        assert.are.same({ { 10, 10, 10 }, { 10, 10, 10 } }, (y / x()):tolist())
        assert.are.same({ { 1, 4, 27 }, { 256, 3125, 46656 } }, (x() ^ x()):tolist())
        assert.are.same({ { -1, -2, -3 }, { -4, -5, -6 } }, (-x()):tolist())
        assert.are.same({ { 3, 4, 5 }, { 6, 7, 8 } }, (x() + 2):tolist())
        assert.are.same({ { 3, 4, 5 }, { 6, 7, 8 } }, (2 + x()):tolist())
        assert.are.same({ { -1, 0, 1 }, { 2, 3, 4 } }, (x() - 2):tolist())
        assert.are.same({ { 1, 0, -1 }, { -2, -3, -4 } }, (2 - x()):tolist())
        assert.are.same({ { 2, 4, 6 }, { 8, 10, 12 } }, (x() * 2):tolist())
        assert.are.same({ { 2, 4, 6 }, { 8, 10, 12 } }, (2 * x()):tolist())
        assert.are.same({ { 0.5, 1, 1.5 }, { 2, 2.5, 3 } }, (x() / 2):tolist())
        assert.are.same({ 2, 1, 0.5 }, (2 / bl.from { 1, 2, 4 }):tolist())
        assert.are.same({ { 1, 4, 9 }, { 16, 25, 36 } }, (x() ^ 2):tolist())
        assert.are.same({ { 2, 4, 8 }, { 16, 32, 64 } }, (2 ^ x()):tolist())
    end))

    it("leaves its operands as they are and follows views", scoped(function()
        local a, b = x(), x()
        local c = a + b
        c:fill(0)
        assert.are.same({ { 1, 2, 3 }, { 4, 5, 6 } }, a:tolist())
        assert.are.same({ { 2, 6 }, { 6, 10 } }, (a[{ {}, { 1, 2 } }] + a[{ {}, { 1, 2 } }]:t()):tolist())
        assert.are.same({ 2, 5 }, a[{ {}, 2 }]:abs():tolist())
        assert.are.same({ { 2, 5 }, { 3, 6 }, { 4, 7 } }, (a:t() + 1):tolist())
    end))

    it("broadcasts as numpy does", scoped(function()
        local column, row = bl.from { { 1 }, { 2 } }, bl.from { 10, 20, 30 }
        assert.are.same({ { 11, 21, 31 }, { 12, 22, 32 } }, (column + row):tolist())
        assert.are.same({ { 11, 22, 33 }, { 14, 25, 36 } }, (x() + row):tolist())
        assert.are.same({ 2, 1, 2, 3 }, (bl.zeros(2, 1, 1, 3) + bl.zeros(2, 1)):dims())
        assert.are.same({ 0, 3 }, (bl.zeros(0, 3) + row):dims())
    end))

    it("divides f32 by a number as one division", scoped(function()
        local values = bl.arange(1, 100)
        assert.is_true((values / 3):equal(values / bl.from { 3 }))
    end))

    it("rounds half precision once, and takes numbers as they are", scoped(function()
        for _, dtype in ipairs { "bf16", "f16" } do
            local a = bl.linspace(-2, 2, 41):to(dtype)
            assert.are.equal(dtype, (a + a):dtype_name())
            assert.is_true((a * 0.1):equal((a:float() * 0.1):to(dtype)))
            assert.is_true((a + 0.3):equal((a:float() + 0.3):to(dtype)))
            assert.is_true(a:maximum(0.3):equal(a:float():maximum(0.3):to(dtype)))
            -- 0.1 in f32 is not 0.1 in half precision.
            assert.is_true(a:gt(0.1):equal(a:float():gt(0.1)))
        end
    end))

    it("works on integers where the result is one", scoped(function()
        for _, dtype in ipairs { "i32", "i64" } do
            local a = x():to(dtype)
            assert.are.same({ { 2, 4, 6 }, { 8, 10, 12 } }, (a + a):tolist())
            assert.are.same({ { 9, 8, 7 }, { 6, 5, 4 } }, (10 - a):tolist())
            assert.are.same({ { -1, -2, -3 }, { -4, -5, -6 } }, (-a):tolist())
            assert.are.same({ { 3, 3, 3 }, { 4, 5, 6 } }, a:maximum(3):tolist())
            assert.are.equal(dtype, (a * 2):dtype_name())
            assert.are.equal(21, a:sum())
        end
    end))

    it("belongs to the scope it is done in", function()
        tensor.scope(function(scope)
            local a = bl.ones(3)
            assert.are.equal(1, #scope.buffers)
            local b = a + a -- luacheck: ignore
            assert.are.equal(2, #scope.buffers)
        end)
    end)

    it("names what does not fit at the caller's line", scoped(function()
        local a, i = x(), x():to "i32"
        local cases = {
            { "add: the shapes of f32 2x3 cpu and f32 2x4 cpu do not broadcast",
                function() return (a + bl.zeros(2, 4)) end },
            { "add: f32 2x3 cpu and i32 2x3 cpu differ in dtype; x:to(dtype) converts", function() return (a + i) end },
            { "add: the tensor is i32 2x3 cpu, the number 0.5; x:float() converts", function() return (i + 0.5) end },
            { "mul: the tensor is i32 2x3 cpu, the number 3000000000", function() return (i * 3e9) end },
            { "div: the tensor is i32 2x3 cpu; x:float() converts", function() return (i / 2) end },
            { "pow: the tensor is i32 2x3 cpu; x:float() converts", function() return (i ^ i) end },
            { 'add: the tensor is i8 2x3 cpu; x:to "i32" or x:float() converts', function() return (a:gt(1) + 1) end },
            { "exp: the tensor is i32 2x3 cpu, expected f32, bf16 or f16; x:float() converts",
                function() return (i:exp()) end },
            { "add: got string, expected a tensor or a number", function() return (a + "a") end },
            { "sub: got nil, expected a tensor or a number", function() return (a - nil) end },
            { "mul: got table, expected a tensor or a number", function() return ({} * a) end },
            { "maximum: got string", function() return (a:maximum "a") end },
            { "gt: the shapes of f32 2x3 cpu and f32 7 cpu do not broadcast",
                function() return (a:gt(bl.ones(7))) end },
            { "eq: f32 2x3 cpu and i32 2x3 cpu differ in dtype", function() return (a:eq(i)) end },
            { "sum: dimension is 3, the tensor is f32 2x3 cpu", function() return (a:sum(3)) end },
            { "sum: dimension is 0", function() return (a:sum(0)) end },
            { "max: the tensor is f32 0 cpu, it is empty", function() return (bl.zeros(0):max()) end },
            { "mean: the tensor is i32 2x3 cpu; x:float() converts", function() return (i:mean(1)) end },
            { "matmul: f32 2x3 cpu and f32 2x3 cpu: the last size of the first must be the last but one of the second",
                function() return (a:matmul(a)) end },
            { "matmul: the shapes of f32 2x1x3 cpu and f32 3x3x1 cpu do not broadcast",
                function() return (bl.zeros(2, 1, 3):matmul(bl.zeros(3, 3, 1))) end },
            { "a tensor is neither less nor greater as a whole; x:lt(y)", function() return a < a end },
            { "a tensor is neither less nor greater as a whole; x:le(y)", function() return a >= a end },
        }
        errors.all_fail_here(cases)
    end))
end)

describe("== of tensors", function()
    it("compares values, whatever the dtype", scoped(function()
        local x = bl.from { { 1, 2 }, { 3, 4 } }
        assert.is_true(x == x:clone())
        assert.is_false(x ~= x:clone())
        assert.is_true(x == x:to "i32")
        assert.is_true(x:t():t() == x)
        assert.is_false(x == x + 1)
        assert.is_false(x == x:view(4))
        assert.is_false(x == bl.from { 1, 2 })
        local nan = bl.from { 0 / 0 }
        assert.is_false(nan == nan)
        assert.is_true(bl.zeros(0) == bl.zeros(0))
    end))

    it("is false for whatever is no tensor", scoped(function()
        local x = bl.ones(1)
        assert.is_false(x == nil)
        assert.is_true(x ~= nil)
        assert.is_false(nil == x)
        for _, other in ipairs { 1, "1", true, {}, print } do
            assert.is_false(x == other)
            assert.is_false(other == x)
        end
    end))
end)
