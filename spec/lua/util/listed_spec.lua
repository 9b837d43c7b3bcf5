local listed = require "bertlua.util.listed"

describe("a list in a message", function()
    it("shows the first names, and how many more there are", function()
        assert.are.equal("", listed.first({}, 2))
        assert.are.equal("a, b", listed.first({ "a", "b" }, 2))
        assert.are.equal("a, b and 1 more", listed.first({ "a", "b", "c" }, 2))
        assert.are.equal("a, and 2 more", listed.first({ "a", "b", "c" }, 1, ", and "))
    end)
end)
