--- Shortest texts of 32-bit floats.

local array = require "bertlua.array"
local float_text = require "bertlua.util.float_text"
local random = require "bertlua.rng"

describe("float_text", function()
    it("is short where a number is", function()
        for number, text in pairs { [0.5] = "0.5", [-3] = "-3", [0] = "0", [0.1] = "0.1", [1e20] = "1e+20",
            [1 / 3] = "0.33333334", [16777217] = "16777216" } do
            assert.are.equal(text, float_text.shortest(number))
        end
    end)

    it("is read back as the same number, small or large", function()
        local drawn = random.new(7, 0)
        for exponent = -149, 127 do
            for _ = 1, 8 do
                local x = tonumber(array.float { (1 + drawn:double()) * 2 ^ exponent }[0])
                local text = float_text.shortest(exponent % 2 == 0 and x or -x)
                assert.is_true(#text <= 15, text)
                assert.are.equal(x, math.abs(tonumber(array.float { tonumber(text) }[0])))
            end
        end
    end)
end)
