--- Operators and methods of variables: each is the function of F of its name. The gradients of those are in
-- functional_spec.lua and the specs of the files beside it.

local F = require "bertlua.autograd.functional"
local Tape = require "bertlua.autograd.tape"
local Variable = require "bertlua.autograd.variable"
local errors = require "spec.support.errors"
local gradcheck = require "bertlua.autograd.gradcheck"
local parameters = require "spec.support.parameters"
local tensor = require "bertlua.tensor"

describe("a variable", function()
    local tape, a, b

    before_each(function()
        tape = Tape.new()
        tape:start(0, 0, true)
        a = tape:input(tensor.from { { 1, -2, 3 }, { -4, 5, -6 } }, true)
        b = tape:input(tensor.from { { 2, 2, 4 }, { 4, 8, 8 } }, true)
    end)
    after_each(function() tape:close() end)

    it("knows its tape, whoever makes it", function()
        assert.are.equal(tape, a.tape)
        assert.are.equal(tape, tape:variable("f32", { 1 }).tape)
        assert.are.equal(tape, tape:variable_like(a).tape)
        assert.are.equal(tape, F.tanh(tape, a).tape)
        local module = { forward = function(_, t, x) return F.tanh(t, x) end }
        assert.are.equal(tape, tape:checkpoint(module, a).tape)
    end)

    it("records what its operators do", function()
        local c = tensor.from { { 1, 1, 1 }, { 2, 2, 2 } }
        local cases = {
            { a + b, F.add(tape, a, b) }, { a - b, F.sub(tape, a, b) }, { a * b, F.mul(tape, a, b) },
            { a / b, F.div(tape, a, b) }, { b ^ a, F.pow(tape, b, a) }, { -a, F.neg(tape, a) },
            { a + 1, F.add(tape, a, 1) }, { 1 + a, F.add(tape, 1, a) }, { a - 1, F.sub(tape, a, 1) },
            { 1 - a, F.sub(tape, 1, a) }, { 2 * a, F.mul(tape, 2, a) }, { a / 2, F.div(tape, a, 2) },
            { 2 / a, F.div(tape, 2, a) }, { b ^ 2, F.pow(tape, b, 2) }, { 2 ^ a, F.pow(tape, 2, a) },
            { a + c, F.add(tape, a, c) }, { c + a, F.add(tape, c, a) }, { c - a, F.sub(tape, c, a) },
            { c / b, F.div(tape, c, b) }, { c ^ a, F.pow(tape, c, a) }, { c * a, F.mul(tape, c, a) },
        }
        for i, case in ipairs(cases) do
            assert.are.equal(Variable, getmetatable(case[1]))
            assert.are.same(case[2]:tolist(), case[1]:tolist(), "case " .. i)
            assert.is_true(case[1].needs_grad)
        end
    end)

    it("has the methods that tensors have", function()
        for _, name in ipairs { "neg", "exp", "abs", "relu", "silu", "gelu", "gelu_tanh", "sigmoid", "tanh", "softmax",
            "log_softmax", "sum", "mean", "max", "min" } do
            assert.are.same(F[name](tape, a):tolist(), a[name](a):tolist(), name)
        end
        for _, name in ipairs { "log", "sqrt" } do
            assert.are.same(F[name](tape, b):tolist(), b[name](b):tolist(), name)
        end
        for _, name in ipairs { "add", "sub", "mul", "div", "maximum", "minimum", "eq", "ne", "lt", "le", "gt",
            "ge" } do
            assert.are.same(F[name](tape, a, b):tolist(), a[name](a, b):tolist(), name)
            assert.are.same(F[name](tape, a, 2):tolist(), a[name](a, 2):tolist(), name)
        end
        for _, name in ipairs { "sum", "mean", "max", "min", "argmax" } do
            assert.are.same(F[name](tape, a, 2, true):tolist(), a[name](a, 2, true):tolist(), name)
        end
        assert.are.same(F.pow(tape, b, 2):tolist(), b:pow(2):tolist())
        assert.are.same({ math.sqrt(91) }, { math.floor(a:norm():item() ^ 2 + 0.5) ^ 0.5 })
        assert.are.equal("bf16", a:to "bf16".dtype)
        assert.are.equal("f32", a:to "bf16":float().dtype)
        assert.are.equal(3, a:size(2))
    end)

    it("changes shape in copies on the tape", function()
        local x = tape:input(tensor.from { { 1, 2, 3 }, { 4, 5, 6 } }, true)
        assert.are.same({ { 1, 4 }, { 2, 5 }, { 3, 6 } }, x:t():tolist())
        assert.are.same({ { 1, 4 }, { 2, 5 }, { 3, 6 } }, x:transpose(1, 2):tolist())
        assert.are.same({ { 1, 4 }, { 2, 5 }, { 3, 6 } }, x:permute(2, 1):tolist())
        assert.are.same({ { 1, 2 }, { 3, 4 }, { 5, 6 } }, x:reshape(3, 2):tolist())
        assert.are.same({ { 2, 3 }, { 5, 6 } }, x:slice(2, 2, 3):tolist())
        assert.are.same({ 4, 5, 6 }, x:select(2):tolist())
        assert.are.same({ 3, 6 }, x:select(2, 3):tolist())
        assert.are.same({ { 4, 5, 6 }, { 1, 2, 3 } },
            x:index_select(1, tensor.from({ 1, 0 }, "i32")):tolist())
        local left, right = unpack(x:split({ 1, 2 }, 2))
        assert.are.same({ { 1 }, { 4 } }, left:tolist())
        assert.are.same({ { 2, 3 }, { 5, 6 } }, right:tolist())
        assert.are.same({ { 14, 32 }, { 32, 77 } }, x:matmul(x:t()):tolist())
    end)

    it("is indexed as a tensor is", function()
        local x = tape:input(tensor.from { { 1, 2, 3 }, { 4, 5, 6 } }, true)
        for _, key in ipairs { 1, -1, { 2 }, { { 1, 2 }, {} }, { {}, 2 }, { {}, { 3 } }, { 2, { 1, -2 } }, {} } do
            assert.are.same(x.value[key]:tolist(), x[key]:tolist())
        end
        assert.are.equal(6, x[{ 2, 3 }]:item())
        assert.are.same({}, x[{ 2, 3 }].dims)
        x[2]:sum():backward()
        assert.are.same({ { 0, 0, 0 }, { 1, 1, 1 } }, x.grad:tolist())
        assert.is_nil(x.no_such_field)
    end)

    it("reads as its formula, and has its gradient", function()
        local random = parameters.random
        local worst = gradcheck {
            inputs = { random({ 3, 4 }, 1), random({ 3, 4 }, 2) },
            forward = function(_, x, y)
                local scores = x:matmul(y:t()) / 2
                return ((x - y) ^ 2):mean() - scores:log_softmax()[{ {}, 1 }]:mean() + (1 - x[2]):exp():sum() * 0.1
            end,
        }
        assert.is_true(worst < 0.01, ("%g"):format(worst))
    end)

    it("takes a softmax along any dimension", function()
        for _, name in ipairs { "softmax", "log_softmax" } do
            assert.are.same(a:t()[name](a:t()):t():tolist(), a[name](a, 1):tolist())
            assert.are.same(a[name](a):tolist(), a[name](a, -1):tolist())
            local worst = gradcheck {
                inputs = { parameters.random({ 3, 4 }, 1), parameters.random({ 3, 4 }, 2) },
                forward = function(_, x, y) return (x[name](x, 1) * y):sum() end,
            }
            assert.is_true(worst < 0.01, ("%s: %g"):format(name, worst))
        end
    end)

    it("has sizes and other shapes, as tensors do", function()
        assert.are.same({ 2, 3 }, a:size())
        assert.are.equal(3, a:size(-1))
        assert.are.equal(6, a:numel())
        assert.are.equal("variable f32 2x3", a:describe())
        assert.are.same({ 3, 2 }, a:view(3, -1).dims)
        assert.are.same({ 2, 1, 3 }, a:unsqueeze(2).dims)
        assert.are.same({ 2, 3 }, a:unsqueeze(2):squeeze().dims)
        assert.are.same({ 2, 3, 1 }, a:view(1, 2, 3, 1):squeeze(1).dims)
        a:view(6)[{ { 1, 2 } }]:sum():backward()
        assert.are.same({ { 1, 1, 0 }, { 0, 0, 0 } }, a.grad:tolist())
    end)

    it("is equal to itself only", function()
        assert.is_true(a == a)
        assert.is_false(a == b)
        assert.is_false(a == nil)
        assert.is_false(a == tape:input(a.value))
    end)

    it("says what is wrong at the user's line", function()
        local other = Tape.new()
        other:start(0, 0, true)
        local stranger = other:input(tensor.from { 1 }, true)
        local cases = {
            { "add: a is f32 [2,3], b is f32 [2]", function() return (a + tensor.from { 1, 2 }) end },
            { "add: a is f32 [2,3], b is f32 [2]", function() return (a:add(tensor.from { 1, 2 })) end },
            { "add: got string, expected a variable or a tensor", function() return (a + "a") end },
            { "sub: got nil, expected a variable or a tensor", function() return (a - nil) end },
            { "sum: dimension is 3", function() return (a:sum(3)) end },
            { "size: dimension is 3, expected 1 to 2", function() return (a:size(3)) end },
            { "the variables are on different tapes", function() return (a + stranger) end },
            { "a variable is neither less nor greater as a whole; x:lt(y)", function() return a < b end },
            { "a variable is neither less nor greater as a whole; x:le(y)", function() return a >= b end },
            { "a variable cannot be written to", function() a[1] = 0 end },
            { "index 3 along dimension 1, expected 1 to 2: the variable is f32 2x3", function() return (a[3]) end },
            { "index has 3 entries, the variable is f32 2x3", function() return (a[{ 1, 1, 1 }]) end },
            { "index of dimension 2: expected a number, {}, {i} or {first, last}",
                function() return (a[{ 1, "a" }]) end },
            { "backward: expected one element or a gradient, got variable f32 2x3; x:sum():backward()",
                function() a:backward() end },
            { "norm: p is 1, expected 2", function() a:norm(1) end },
            { "sum: keepdim is a number, expected true or false", function() a:sum(1, 2) end },
            { "add: got 2 operands, expected one; x + y * 2 has a factor", function() a:add(2, b) end },
            { "sub: got 2 operands", function() a:sub(b, 2) end },
            { "softmax: dimension is 3, the variable is f32 [2,3]", function() a:softmax(3) end },
            { "unsqueeze: dimension is 4, expected 1 to 3", function() a:unsqueeze(4) end },
            { "t: the variable has 1 dimensions, expected 2", function() return (a[1]:t()) end },
        }
        errors.all_fail_here(cases)
        other:close()
    end)

    it("as text is its value, or why it is gone", function()
        assert.are.equal(tostring(b.value), tostring(b))
        local y = a:sum()
        y:backward()
        assert.are.equal("variable f32 1; its value is gone: backward() has passed it", tostring(y))
        assert.has_error(function() y:item() end)
    end)
end)
