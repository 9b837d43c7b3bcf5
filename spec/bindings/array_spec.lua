--- Typed arrays for the host.

local array = require "bertlua.array"

describe("array", function()
    it("starts as zeros and takes lists", function()
        local zeros, values = array.int32(3), array.float { 1.5, -2 }
        assert.are.same({ 0, 0, 0 }, { zeros[0], zeros[1], zeros[2] })
        assert.are.same({ 1.5, -2 }, { values[0], values[1] })
        assert.are.equal(12, array.sizeof(zeros))
        assert.are.equal("ab", array.string(array.uint8 { 97, 98, 99 }, 2))
        assert.are.equal(2 ^ 40, tonumber(array.int64({ 2 ^ 40 })[0]))
    end)
end)
