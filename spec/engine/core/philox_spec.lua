local array = require "bertlua.array"
local rng = require "bertlua.rng"
local reference = require "spec.support.reference"

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
    it("draws doubles in [0, 1) evenly", function()
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

    it("shuffles into a permutation that depends on the seed", function()
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
