local tensor = require "bertlua.tensor"
local ops = require "bertlua.ops"
local products = require "spec.support.reference_products"
local reference = require "spec.support.reference"
local support = require "spec.support.ops"

local scoped = support.scoped
-- Heads, head size, and the positions of the rows: consecutive, those of packed sequences, and a few far apart.
local CASES = {
    { 1, 2, { 0 } }, { 3, 2, { 1, 2 } }, { 2, 6, { 0, 1, 2, 0, 1, 0 } }, { 2, 16, { 511, 3, 100000 } },
    { 12, 64, { 0, 7, 511 } }, { 2, 10, { 4, 4, 4, 2, 9, 1, 5 } },
}

describe("rotary", function()
    it("turns queries and keys by their positions and copies values, also in place", scoped(function()
        support.each_dtype(function(dtype, tolerance)
            for _, case in ipairs(CASES) do
                local heads, hidden, positions = case[1], case[1] * case[2], case[3]
                for _, inverse in ipairs { false, true } do
                    local dims = { #positions, 3 * hidden }
                    local x, values = support.random(dtype, dims, 1)
                    local y = support.poisoned(dtype, dims)
                    local index = tensor.from(positions, "i32")
                    ops.rotary(y, x, index, heads, 10000, inverse)
                    -- Angles of 100,000 radians as f32 holds base's powers.
                    support.assert_close(y, products.rotary(values, positions, hidden, heads, 10000, inverse),
                        tolerance + 2e-6)
                    ops.rotary(x, x, index, heads, 10000, inverse)
                    support.assert_same(x, y, "in place")
                end
            end
        end)
    end))

    it("takes the base that it is given", scoped(function()
        local x, values = support.random("f32", { 2, 24 }, 1)
        local y = support.poisoned("f32", { 2, 24 })
        ops.rotary(y, x, tensor.from({ 3, 40 }, "i32"), 2, 500)
        support.assert_close(y, products.rotary(values, { 3, 40 }, 8, 2, 500), 6e-6)
    end))

    it("turns back, which is its gradient", scoped(function()
        local positions, hidden = { 5, 0, 12 }, 12
        local _, x = support.random("f32", { 3 * 36 }, 1)
        local _, dy = support.random("f32", { 3 * 36 }, 2)
        local function loss() return reference.dot(products.rotary(x, positions, hidden, 2, 10000), dy) end
        support.assert_gradient(reference.differences(loss, x, 1e-5),
            products.rotary(dy, positions, hidden, 2, 10000, true), 1e-8)
        local there, values = support.random("f32", { 3, 36 }, 1)
        local index = tensor.from(positions, "i32")
        ops.rotary(there, there, index, 2, 10000)
        ops.rotary(there, there, index, 2, 10000, true)
        support.assert_close(there, values, 1e-6)
    end))

    it("lets scores depend on the distance alone", scoped(function()
        local head = support.random("f32", { 1, 48 }, 1)
        local function score(query, key)
            local q, k = support.poisoned("f32", { 1, 48 }), support.poisoned("f32", { 1, 48 })
            ops.rotary(q, head, tensor.from({ query }, "i32"), 1, 10000)
            ops.rotary(k, head, tensor.from({ key }, "i32"), 1, 10000)
            return reference.dot({ unpack(support.flat(q), 1, 16) }, { unpack(support.flat(k), 17, 32) })
        end
        assert.is_true(math.abs(score(9, 4) - score(105, 100)) < 1e-5)
        assert.is_true(math.abs(score(9, 4) - score(9, 5)) > 1e-3)
    end))

    it("does not depend on the thread count", scoped(function()
        support.assert_threads_agree(function()
            local positions = {}
            for t = 1, 64 do positions[t] = (t - 1) % 20 end
            local x, y = support.random("bf16", { 64, 3 * 128 }, 1), support.poisoned("bf16", { 64, 3 * 128 })
            ops.rotary(y, x, tensor.from(positions, "i32"), 4, 10000)
            return { y }
        end)
    end))

    it("names op, argument, got and expected, and leaves y alone", scoped(function()
        local x, y = tensor.new("f32", { 2, 24 }), support.poisoned("f32", { 2, 24 })
        local positions = tensor.from({ 0, 1 }, "i32")
        local function rejects(message, ...)
            local arguments, n = { ... }, select("#", ...)
            support.assert_rejects(message, { y }, function() ops.rotary(unpack(arguments, 1, n)) end)
        end
        local of_heads = ", expected columns that are queries, keys and values of that many heads, each of an even size"
        rejects("rotary: x is f32 [2,24] with 8 heads" .. of_heads, y, x, positions, 8, 10000)
        rejects("rotary: x is f32 [2,24] with 0 heads" .. of_heads, y, x, positions, 0, 10000)
        rejects("rotary: positions is i32 [3], expected i32 [2]", y, x, tensor.from({ 0, 1, 2 }, "i32"), 2, 10000)
        rejects("rotary: positions[1] (from 0) is -1, expected 0 to 2147483647", y, x, tensor.from({ 0, -1 }, "i32"), 2,
            10000)
        rejects("rotary: base is 0, expected above 0", y, x, positions, 2, 0)
        rejects("rotary: y is f32 [2,24], expected bf16 [2,24]", y, tensor.new("bf16", { 2, 24 }), positions, 2, 10000)
    end))
end)
