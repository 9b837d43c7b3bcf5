--- Widths of texts and of the terminal.

local term = require "bertlua.util.term"

describe("term", function()
    it("cuts text at characters, not bytes", function()
        assert.are.equal(4, term.width "é█😀x")
        assert.are.equal("é█😀", term.cut("é█😀x", 3))
        assert.are.equal("é█😀x", term.cut("é█😀x", 4))
    end)

    it("breaks lines at blanks, not within words", function()
        assert.are.equal("one two\nthree\nfour", term.wrap("one two three four", 8))
        assert.are.equal("one two\nthree", term.wrap("one two three", 7))
        assert.are.equal("a\nunbreakable/path\nb", term.wrap("a unbreakable/path b", 8))
        assert.are.equal("été là\nça", term.wrap("été là ça", 7))
        assert.are.equal("a\n\n  b c\nd", term.wrap("a\n\n  b c d", 5))
        assert.are.equal("", term.wrap("", 10))
        assert.are.equal("  x one\n    two\n    three", term.wrap("  x one two three", 8, "    "))
        assert.are.equal("        deep\n    er", term.wrap("        deep er", 8, "    "))
    end)

    it("is at least 20 columns wide", function()
        assert.is_true(term.columns() >= 20)
    end)
end)
