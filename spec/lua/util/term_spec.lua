--- Widths of texts and of the terminal.

local term = require "bertlua.util.term"

describe("term", function()
    it("cuts text at characters, not bytes", function()
        assert.are.equal(4, term.width "é█😀x")
        assert.are.equal("é█😀", term.cut("é█😀x", 3))
        assert.are.equal("é█😀x", term.cut("é█😀x", 4))
    end)

    it("is at least 20 columns wide", function()
        assert.is_true(term.columns() >= 20)
    end)
end)
