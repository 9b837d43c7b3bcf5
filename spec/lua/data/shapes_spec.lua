--- How coarsely the sizes of packed batches are rounded.

local shapes = require "bertlua.data.shapes"

describe("shapes", function()
    it("leaves about as many sizes as requested", function()
        assert.are.equal(512, shapes.step(256 * 128, 64, 64))
        assert.are.equal(256, shapes.step(32 * 512, 64, 64))
        assert.are.equal(256, shapes.step(256 * 20, 16, 16))
        assert.are.equal(64, shapes.step(100, 64, 64))
        for full = 64, 40000, 777 do
            local sizes = full / shapes.step(full, 64, 64)
            assert.is_true(sizes < 128 and (sizes >= 64 or shapes.step(full, 64, 64) == 64))
        end
    end)

    it("never exceeds what a full batch needs", function()
        assert.are.equal(1024, shapes.round(513, 512, 1000, 64))
        assert.are.equal(1024, shapes.round(1000, 512, 1000, 64))
        assert.are.equal(960, shapes.round(900, 512, 930, 64))
        assert.are.equal(512, shapes.round(1, 512, 1000, 64))
    end)
end)
