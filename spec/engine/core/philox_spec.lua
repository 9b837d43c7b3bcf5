local tensor = require "bertlua.tensor"
local array = require "bertlua.array"
local ops = require "bertlua.ops"
local rng = require "bertlua.rng"
local support = require "spec.support.ops"
local reference = require "spec.support.reference"

local scoped = support.scoped

describe("Philox4x32-10", function()
    -- Known answers of Random123's test vectors.
    local ANSWERS = {
        {
            { 0, 0, 0, 0 }, 0, 0,
            { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 },
        },
        {
            { 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff }, 0xffffffff, 0xffffffff,
            { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd },
        },
        {
            { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 }, 0xa4093822, 0x299f31d0,
            { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 },
        },
    }

    it("is what the reference computes", function()
        for _, case in ipairs(ANSWERS) do
            assert.are.same(case[4], reference.philox(case[1], case[2], case[3]))
        end
    end)

    it("drives bl_rng: number n is word n % 4 of block n / 4", function()
        local source = rng.new(0, 0)
        for i = 1, 4 do assert.are.equal(ANSWERS[1][4][i], source:u32()) end
        local seed, stream = 2 ^ 45 + 77, 2 ^ 34 + 3
        source = rng.new(seed, stream)
        for n = 0, 40 do
            local expected = reference.philox_word(seed, n, 0, stream % 2 ^ 32, math.floor(stream / 2 ^ 32))
            assert.are.equal(expected, source:u32())
        end
    end)
end)

describe("rng", function()
    it("draws doubles in [0, 1) with an even spread", function()
        local source, sum, square, n = rng.new(3), 0, 0, 20000
        for _ = 1, n do
            local x = source:double()
            assert.is_true(x >= 0 and x < 1)
            sum, square = sum + x, square + x * x
        end
        assert.is_near(0.5, sum / n, 5 * math.sqrt(1 / 12 / n))
        assert.is_near(1 / 3, square / n, 5 * math.sqrt(4 / 45 / n))
    end)

    it("draws every integer of the range equally often", function()
        local source, seen, n = rng.new(4), {}, 30000
        for _ = 1, n do
            local k = source:integer(-2, 4)
            seen[k] = (seen[k] or 0) + 1
        end
        local kinds = 0
        for k, count in pairs(seen) do
            assert.is_true(k >= -2 and k <= 4)
            assert.is_near(n / 7, count, 5 * math.sqrt(n / 7))
            kinds = kinds + 1
        end
        assert.are.equal(7, kinds)
        assert.are.equal(5, source:integer(5, 5))
    end)

    it("draws from ranges wider than 32 bits", function()
        local source, high = rng.new(5), 0
        for _ = 1, 200 do
            local k = source:integer(0, 2 ^ 40)
            assert.is_true(k >= 0 and k <= 2 ^ 40)
            if k > 2 ^ 39 then high = high + 1 end
        end
        assert.is_near(100, high, 40)
    end)

    it("shuffles to a permutation that depends on the seed", function()
        local n = 1000
        local function order(seed)
            local values = array.int64(n)
            for i = 0, n - 1 do values[i] = i end
            rng.new(seed):shuffle(values, n)
            local list = {}
            for i = 0, n - 1 do list[i + 1] = tonumber(values[i]) end
            return list
        end
        local first, fixed = order(1), 0
        for i, value in ipairs(first) do if value == i - 1 then fixed = fixed + 1 end end
        assert.is_true(fixed < 10)
        assert.are.same(first, order(1))
        assert.are_not.same(first, order(2))
        table.sort(first)
        for i = 1, n do assert.are.equal(i - 1, first[i]) end
    end)
end)

describe("random fills", function()
    it("follow the words of the stream", scoped(function()
        local seed, stream, n = 42, 2 ^ 33 + 9, 515
        local uniform, normal = support.poisoned("f32", { n }), support.poisoned("f32", { n })
        ops.fill_uniform(uniform, -1, 3, seed, stream)
        ops.fill_normal(normal, 0.5, 2, seed, stream)
        local words, uniforms, normals = {}, {}, {}
        for i = 0, n do
            words[i] = reference.philox_word(seed, i, 0, stream % 2 ^ 32, math.floor(stream / 2 ^ 32))
        end
        for i = 0, n - 1 do
            uniforms[i + 1] = -1 + 4 * words[i] / 2 ^ 32
            local pair = i - i % 2
            local radius = 2 * math.sqrt(-2 * math.log((words[pair] + 1) / 2 ^ 32))
            local angle = 2 * math.pi * words[pair + 1] / 2 ^ 32
            normals[i + 1] = 0.5 + radius * (i % 2 == 0 and math.cos(angle) or math.sin(angle))
        end
        support.assert_close(uniform, uniforms, 1e-7)
        support.assert_close(normal, normals, 1e-7)
    end))

    it("have the moments asked for", scoped(function()
        local n = 200000
        local t, sum, norm = tensor.new("f32", { n }), tensor.new("f32", { 1 }), tensor.new("f32", { 1 })
        ops.fill_normal(t, 0, 0.02, 7, 1)
        ops.reduce(sum, t, "mean")
        ops.reduce(norm, t, "norm")
        assert.is_near(0, sum:item(), 5 * 0.02 / math.sqrt(n))
        assert.is_near(0.02, norm:item() / math.sqrt(n), 0.02 * 5 / math.sqrt(2 * n))
    end))

    it("never reach the upper end of a uniform range", scoped(function()
        for _, dtype in ipairs { "f32", "bf16" } do
            local t, max = tensor.new(dtype, { 4096 }), tensor.new("f32", { 1 })
            ops.fill_uniform(t, 0, 2 ^ -140, 7, 1) -- rounds to a handful of subnormals
            ops.reduce(max, t, "max")
            assert.is_true(dtype == "bf16" or max:item() < 2 ^ -140)
        end
    end))

    it("do not depend on the thread count, and differ by stream", scoped(function()
        support.assert_threads_agree(function()
            local t = tensor.new("f32", { 5000 })
            ops.fill_normal(t, 0, 1, 7, 1)
            return { t }
        end)
        local a, b = tensor.new("f32", { 8 }), tensor.new("f32", { 8 })
        ops.fill_normal(a, 0, 1, 7, 1)
        ops.fill_normal(b, 0, 1, 7, 2)
        assert.are_not.same(a:tolist(), b:tolist())
    end))
end)
