local plural = require "bertlua.util.plural"

describe("plural", function()
    it("puts the noun in the form the number requires", function()
        assert.are.equal("0 files", plural.count(0, "file"))
        assert.are.equal("1 file", plural.count(1, "file"))
        assert.are.equal("12 files", plural.count(12, "file"))
        assert.are.equal("1 entry", plural.count(1, "entry", "entries"))
        assert.are.equal("2 entries", plural.count(2, "entry", "entries"))
    end)
end)
