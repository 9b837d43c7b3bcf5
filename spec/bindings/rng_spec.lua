--- The random generator of the host.

local array = require "bertlua.array"
local rng = require "bertlua.rng"

local fails_here = require("spec.support.errors").fails_here

describe("rng", function()
    it("draws the same numbers for the same seed and stream", function()
        local a, b, other = rng.new(42, 1), rng.new(42, 1), rng.new(42, 2)
        local same, different = true, false
        for _ = 1, 20 do
            local x = a:double()
            same = same and x == b:double()
            different = different or x ~= other:double()
        end
        assert.is_true(same and different)
    end)

    it("stays in its interval and reaches both ends", function()
        local r, seen = rng.new(7), {}
        for _ = 1, 300 do seen[r:integer(-1, 2)] = true end
        assert.are.same({ [-1] = true, [0] = true, [1] = true, [2] = true }, seen)
    end)

    it("shuffles without losing a value", function()
        local values, order, moved = array.int64(50), {}, false
        for i = 0, 49 do values[i] = i end
        rng.new(3):shuffle(values, 50)
        for i = 0, 49 do
            order[#order + 1] = tonumber(values[i])
            moved = moved or values[i] ~= i
        end
        table.sort(order)
        assert.is_true(moved and order[1] == 0 and order[50] == 49)
    end)

    it("continues where it was saved, even within a block", function()
        for drawn = 0, 5 do
            local r = rng.new(2 ^ 52 + 1, 9)
            for _ = 1, drawn do r:u32() end
            local copy = rng.restore(r:save())
            for _ = 1, 6 do assert.are.equal(r:u32(), copy:u32()) end
        end
        fails_here("rng: seed is nil", function() rng.new() end)
        fails_here("rng.restore: state is", function() rng.restore "nonsense" end)
    end)
end)
