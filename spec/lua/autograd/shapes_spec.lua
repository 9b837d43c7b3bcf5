--- Shapes, parts and unions on a tape: values, gradients against finite differences, memory, and messages.

local F = require "bertlua.autograd.functional"
local Tape = require "bertlua.autograd.tape"
local differences = require "spec.support.differences"
local parameters = require "spec.support.parameters"
local tensor = require "bertlua.tensor"

local random = parameters.random

describe("gradients agree with finite differences:", function()
    local function check(name, options) it(name, differences.agree(options)) end

    local function one(name, dims, forward)
        check(name, function() return { inputs = { random(dims, 1) }, forward = forward } end)
    end

    one("reshape", { 2, 3, 4 }, function(tape, x) return F.tanh(tape, F.reshape(tape, x, 4, -1)) end)
    one("reshape of a variable that is used again", { 6 }, function(tape, x)
        return F.add(tape, F.reshape(tape, F.reshape(tape, x, 2, 3), 6), x)
    end)
    one("transpose", { 2, 3, 4 }, function(tape, x) return F.transpose(tape, x, 1, 3) end)
    one("transpose of the last two dimensions", { 2, 3, 4 }, function(tape, x) return F.transpose(tape, x) end)
    one("permute", { 2, 3, 4, 5 }, function(tape, x) return F.permute(tape, x, 3, 1, 4, 2) end)
    one("slice along the first dimension, twice", { 5, 3 }, function(tape, x)
        return F.add(tape, F.slice(tape, x, 1, 1, 3), F.slice(tape, x, 1, 2, 4))
    end)
    one("slice along the last dimension, three times", { 3, 5 }, function(tape, x)
        local sum = F.add(tape, F.slice(tape, x, 2, 1, 3), F.slice(tape, x, 2, 2, 4))
        return F.add(tape, sum, F.slice(tape, x, 2, 3, 5))
    end)
    one("select along each dimension", { 3, 3, 3 }, function(tape, x)
        local sum = F.add(tape, F.select(tape, x, 1, 2), F.select(tape, x, 2, 3))
        return F.add(tape, sum, F.select(tape, x, 3, 1))
    end)
    one("select of an element", { 3 }, function(tape, x) return F.tanh(tape, F.select(tape, x, 1, 2)) end)
    one("split into parts that are multiplied", { 3, 7 }, function(tape, x)
        local parts = F.split(tape, x, { 3, 1, 3 }, 2)
        local product = F.matmul(tape, parts[1], parts[3], false, true)
        return F.matmul(tape, product, parts[2])
    end)
    one("split into parts of one size", { 7, 2 }, function(tape, x)
        local parts = F.split(tape, x, 3)
        return F.cat(tape, { parts[3], F.tanh(tape, parts[1]), parts[2] })
    end)
    one("a slice, and then the whole variable", { 4, 3 }, function(tape, x)
        local y = F.tanh(tape, x)
        return F.cat(tape, { F.slice(tape, y, 2, 2, 3), y }, 2)
    end)
    one("cat of one variable three times", { 2, 3 }, function(tape, x) return F.cat(tape, { x, x, x }, 2) end)
    one("cat along the middle", { 2, 3, 2 }, function(tape, x)
        return F.cat(tape, { x, F.tanh(tape, x) }, 2)
    end)

    for dim = 1, 3 do
        check("index_select along dimension " .. dim .. ", numbers that occur twice", function()
            local index = tensor.from({ 2, 0, 2, 1 }, "i32")
            return {
                inputs = { random({ 3, 3, 3 }, 1) },
                forward = function(tape, x) return F.index_select(tape, x, dim, index) end,
            }
        end)
    end
end)

describe("shapes on a tape", function()
    local tape
    before_each(function()
        tape = Tape.new {}
        tape:start(1, 0, true)
    end)
    after_each(function() tape:close() end)

    local function values(t) return t.value:tolist() end

    it("arrange the elements anew, in every dtype", function()
        for _, dtype in ipairs { "f32", "bf16", "f16" } do
            local x = tape:input(tensor.from({ { 1, 2, 3 }, { 4, 5, 6 } }, dtype))
            assert.are.same({ { 1, 2 }, { 3, 4 }, { 5, 6 } }, values(F.reshape(tape, x, 3, 2)))
            assert.are.same({ { 1, 2 }, { 3, 4 }, { 5, 6 } }, values(F.reshape(tape, x, { -1, 2 })))
            assert.are.same({ { 1, 4 }, { 2, 5 }, { 3, 6 } }, values(F.transpose(tape, x, 1, 2)))
            assert.are.same({ { 2, 3 }, { 5, 6 } }, values(F.slice(tape, x, 2, 2, 3)))
            assert.are.same({ 4, 5, 6 }, values(F.select(tape, x, 1, 2)))
            assert.are.same({ 3, 6 }, values(F.select(tape, x, 2, 3)))
            assert.are.same({ { 1, 2, 3, 3 }, { 4, 5, 6, 6 } },
                values(F.cat(tape, { x, F.slice(tape, x, 2, 3, 3) }, 2)))
            assert.are.same({ { 3, 1, 3 }, { 6, 4, 6 } },
                values(F.index_select(tape, x, 2, tensor.from({ 2, 0, 2 }, "i32"))))
            local cube = F.reshape(tape, x, 1, 2, 3)
            assert.are.same({ { { 1, 4 } }, { { 2, 5 } }, { { 3, 6 } } }, values(F.permute(tape, cube, 3, 1, 2)))
            assert.are.same({ 3, 1, 2 }, F.permute(tape, cube, { 3, 1, 2 }).dims)
            local parts = F.split(tape, x, 2, 2)
            assert.are.equal(2, #parts)
            assert.are.same({ { 3 }, { 6 } }, values(parts[2]))
            assert.are.equal(6, F.select(tape, F.select(tape, x, 1, 2), 1, 3):item())
        end
    end)

    it("count dimensions from the end, too", function()
        local x = tape:input(tensor.from { { 1, 2, 3 }, { 4, 5, 6 } })
        assert.are.same({ { 2, 3 }, { 5, 6 } }, values(F.slice(tape, x, -1, 2, 3)))
        assert.are.same({ 1, 4 }, values(F.select(tape, x, -1, 1)))
        assert.are.same({ { 3 }, { 6 } }, values(F.split(tape, x, 2, -1)[2]))
        assert.are.same({ { 1, 2, 3, 1, 2, 3 }, { 4, 5, 6, 4, 5, 6 } }, values(F.cat(tape, { x, x }, -1)))
        assert.are.same({ { 3 }, { 6 } }, values(F.index_select(tape, x, -1, tensor.from({ 2 }, "i32"))))
        assert.are.same({ { 1, 4 }, { 2, 5 }, { 3, 6 } }, values(F.transpose(tape, x, -1, -2)))
    end)

    it("take views with gaps", function()
        local x = tensor.from({ { 1, 2, 3 }, { 4, 5, 6 } }):transpose(1, 2)
        assert.are.same({ 1, 4, 2, 5, 3, 6 }, values(F.reshape(tape, x, 6)))
        assert.are.same({ { 4, 1 }, { 5, 2 }, { 6, 3 } },
            values(F.index_select(tape, x, 2, tensor.from({ 1, 0 }, "i32"))))
        assert.are.same({ { 2, 5 } }, values(F.index_select(tape, x, 1, tensor.from({ 1 }, "i32"))))
    end)

    it("take none of the elements", function()
        for dim = 1, 2 do
            tape:start(1, 0, true)
            local x = tape:input(random({ 2, 3 }, 1), true)
            local y = F.index_select(tape, x, dim, tensor.new("i32", { 0 }))
            assert.are.equal(0, y.value:numel())
            tape:backward(F.sum(tape, y))
            assert.are.same({ { 0, 0, 0 }, { 0, 0, 0 } }, x.grad:tolist())
        end
        tape:start(1, 0, true)
    end)

    it("leave nothing in the arena after the backward pass", function()
        local x = tape:input(random({ 4, 6 }, 1), true)
        local parts = F.split(tape, F.transpose(tape, x), { 2, 4 })
        local index = tensor.from({ 1, 3, 1 }, "i32")
        local y = F.index_select(tape, F.cat(tape, { parts[2], parts[1], parts[2] }), 2, index)
        local z = F.select(tape, F.permute(tape, F.reshape(tape, y, 5, 2, 3), 3, 1, 2), 2, 4)
        tape:backward(z)
        assert.is_true(x.grad ~= nil)
        tape.arena:release(x.grad)
        assert.are.equal(0, (tape:memory()))
    end)

    it("say what is wrong at the caller's line", function()
        local x = tape:input(random({ 2, 3 }, 1))
        local function fails(message, ...)
            local arguments, n = { ... }, select("#", ...)
            local ok, err = pcall(function() local y = arguments[1](tape, unpack(arguments, 2, n)) return y end)
            assert.is_false(ok)
            assert.are.equal(message, (err:gsub("^.-shapes_spec%.lua:%d+: ", "", 1)))
        end
        fails("reshape: the variable is f32 [2,3], expected 6 elements in at most 4 dimensions, got [4,2]", F.reshape,
            x, 4, 2)
        fails("reshape: the variable is f32 [2,3], expected 6 elements in at most 4 dimensions, got [-1,4]", F.reshape,
            x, -1, 4)
        fails("reshape: the variable is f32 [2,3], expected 6 elements in at most 4 dimensions, got [1,1,1,2,3]",
            F.reshape, x, 1, 1, 1, 2, 3)
        local sizes = ", expected a whole number of 0 or more, or one -1"
        fails("reshape: size 2 is x" .. sizes, F.reshape, x, 2, "x")
        fails("reshape: size 1 is 1.5" .. sizes, F.reshape, x, 1.5, 4)
        fails("reshape: size 1 is -2" .. sizes, F.reshape, x, -2, -3)
        fails("reshape: the variable is f32 [0,3], expected 0 elements in at most 4 dimensions, got [-1,0]", F.reshape,
            tape:input(tensor.new("f32", { 0, 3 })), -1, 0)
        fails("slice: range is 1.5 to 2, the size along dimension 2 is 3", F.slice, x, 2, 1.5, 2)
        fails("select: index is 1.5, the size along dimension 1 is 2", F.select, x, 1, 1.5)
        fails("split: sizes are 1.5, 0.5, the size along dimension 1 is 2", F.split, x, { 1.5, 0.5 })
        fails("split: sizes are a, 2, the size along dimension 1 is 2", F.split, x, { "a", 2 })
        fails("index_select: index is number, the variable is f32 [2,3]; expected an i32 tensor [M], and elements to "
            .. "take from", F.index_select, x, 1, 2)
        local other = Tape.new()
        other:start(1, 0, true)
        fails("select: the variable is on another tape and wants a gradient; pass its value", F.select,
            other:input(random({ 2 }, 1), true), 1, 1)
        other:close()
        fails("transpose: dimension is 3, the variable is f32 [2,3]", F.transpose, x, 1, 3)
        fails("permute: order is [1,1], the variable is f32 [2,3]; expected 1 to 2, each once", F.permute, x, 1, 1)
        fails("permute: order is [1], the variable is f32 [2,3]; expected 1 to 2, each once", F.permute, x, 1)
        fails("slice: range is 2 to 4, the size along dimension 2 is 3", F.slice, x, 2, 2, 4)
        fails("slice: dimension is 0, the variable is f32 [2,3]", F.slice, x, 0, 1, 1)
        fails("select: index is 3, the size along dimension 1 is 2", F.select, x, 1, 3)
        fails("split: sizes are 1, 1, the size along dimension 2 is 3", F.split, x, { 1, 1 }, 2)
        fails("split: sizes are 0, the size along dimension 1 is 2", F.split, x, 0)
        fails("cat: variable 2 is f32 [3,2], the first is f32 [2,3]; expected one dtype and equal sizes but along "
            .. "dimension 1", F.cat, { x, F.transpose(tape, x) })
        fails("cat: got an empty list, expected a list of variables", F.cat, {})
        fails("index_select: dimension is 3, the variable is f32 [2,3]", F.index_select, x, 3,
            tensor.from({ 0 }, "i32"))
        fails("reshape: got string, expected a variable or a tensor", F.reshape, "x", 3)
    end)
end)
