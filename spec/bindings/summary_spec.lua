--- Numbers in summaries.

local summary = require "bertlua.summary"

describe("summary", function()
    it("groups digits by three", function()
        assert.are.equal("0", summary.count(0))
        assert.are.equal("999", summary.count(999))
        assert.are.equal("1,000", summary.count(1000))
        assert.are.equal("110,106,428", summary.count(110106428))
        assert.are.equal("-1,234", summary.count(-1234))
    end)

    it("chooses a unit for bytes", function()
        assert.are.equal("0 bytes", summary.bytes(0))
        assert.are.equal("1 byte", summary.bytes(1))
        assert.are.equal("64 bytes", summary.bytes(64))
        assert.are.equal("1.0 KiB", summary.bytes(1024))
        assert.are.equal("12.5 MiB", summary.bytes(12.5 * 2 ^ 20))
        assert.are.equal("420 MiB", summary.bytes(420 * 2 ^ 20))
        assert.are.equal("2.0 GiB", summary.bytes(2 ^ 31))
        assert.are.equal("5000 TiB", summary.bytes(5000 * 2 ^ 40))
    end)
end)
