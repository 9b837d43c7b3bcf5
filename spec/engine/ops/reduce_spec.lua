local tensor = require "bertlua.tensor"
local ops = require "bertlua.ops"
local support = require "spec.support.ops"
local reference = require "spec.support.reference"

local scoped = support.scoped

describe("reduce", function()
    local FORMULA = {
        sum = function(x) return reference.dot(x, reference.map(x, function() return 1 end)) end,
        max = function(x) return math.max(unpack(x)) end,
        min = function(x) return math.min(unpack(x)) end,
        norm = function(x) return math.sqrt(reference.dot(x, x)) end,
    }
    function FORMULA.mean(x) return FORMULA.sum(x) / #x end

    it("gives sum, mean, max, min and norm of every element", scoped(function()
        support.each_dtype(function(dtype)
            for _, n in ipairs { 1, 7, 33, 1025, 7000 } do
                local x, values = support.random(dtype, { n }, 2, 3, 0.5)
                for name, formula in pairs(FORMULA) do
                    local y = support.poisoned("f32", { 1 })
                    ops.reduce(y, x, name)
                    support.assert_close(y, { formula(values) }, 2e-7, name)
                end
            end
        end)
    end))

    it("accumulates in f64 over many chunks", scoped(function()
        local n = 2 ^ 18 + 5
        local x = tensor.new("f32", { n }):fill(0.1)
        local held = x:slice(1, 1, 1):item()
        local y = support.poisoned("f32", { 1 })
        ops.reduce(y, x, "sum")
        support.assert_close(y, { held * n }, 1e-7)
    end))

    it("propagates NaN", scoped(function()
        for name in pairs(FORMULA) do
            local y = tensor.new("f32", { 1 })
            ops.reduce(y, tensor.from { 1, 0 / 0, 2 }, name)
            assert.is_true(y:item() ~= y:item())
        end
    end))

    it("does not depend on the thread count", scoped(function()
        local x = support.random("f32", { 300001 }, 3)
        support.assert_threads_agree(function()
            local sum, norm = tensor.new("f32", { 1 }), tensor.new("f32", { 1 })
            ops.reduce(sum, x, "sum")
            ops.reduce(norm, x, "norm")
            return { sum, norm }
        end)
    end))

    it("names op, argument, got and expected, and leaves outputs alone", scoped(function()
        local y = support.poisoned("f32", { 1 })
        support.assert_rejects("reduce: x is empty", { y }, function()
            ops.reduce(y, tensor.new("f32", { 0 }), "sum")
        end)
        support.assert_rejects("reduce: x is i32 [3], expected f32, bf16 or f16 of any shape", { y }, function()
            ops.reduce(y, tensor.new("i32", { 3 }), "sum")
        end)
        local wide = support.poisoned("f32", { 2 })
        support.assert_rejects("reduce: y is f32 [2], expected f32 [1]", { wide }, function()
            ops.reduce(wide, tensor.new("f32", { 3 }), "sum")
        end)
    end))
end)
