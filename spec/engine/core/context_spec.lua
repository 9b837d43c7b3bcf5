--- Settings of a context that affect matrix products.

local context = require "bertlua.context"
local ops = require "bertlua.ops"
local tensor = require "bertlua.tensor"
local dense = require "spec.support.dense"
local rng = require "bertlua.rng"

local function product()
    local random = rng.new(21)
    local x = dense.random(random, "f32", { 40, 64 })
    local w = dense.random(random, "f32", { 24, 64 })
    local y = dense.poisoned("f32", { 40, 24 })
    ops.linear_forward(y, nil, x, w, nil, "none")
    return y:tolist()
end

describe("context", function()
    if context.device() == "cpu" then
        it("computes f32 products in f32 on a CPU that may use TF32", function()
            tensor.scope(function()
                local plain = product()
                context.allow_tf32(true)
                local allowed = product()
                context.allow_tf32(false)
                assert.are.same(plain, allowed)
            end)
        end)

        it("refuses to time products where there is nothing to choose from", function()
            dense.assert_fails("matmul choices: cuda only", context.matmul_choices, "choices.txt")
        end)
    end

    it("names arguments of the wrong type", function()
        dense.assert_fails("context: allow is nil, expected a boolean", context.allow_tf32)
    end)
end)
