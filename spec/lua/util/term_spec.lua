--- The terminal: how wide it and a text are.

local stdlib = require "posix.stdlib"
local term = require "bertlua.util.term"

describe("term", function()
    it("cuts text at characters, not bytes", function()
        assert.are.equal(4, term.width "é█😀x")
        assert.are.equal("é█😀", term.cut("é█😀x", 3))
        assert.are.equal("é█😀x", term.cut("é█😀x", 4))
    end)

    it("is as wide as COLUMNS says, and at least 20 columns", function()
        local before = os.getenv "COLUMNS"
        for columns, expected in pairs { ["33"] = 33, ["20.9"] = 20 } do
            stdlib.setenv("COLUMNS", columns)
            assert.are.equal(expected, term.columns())
        end
        for _, columns in ipairs { "5", "wide", "" } do
            stdlib.setenv("COLUMNS", columns)
            assert.is_true(term.columns() >= 20)
        end
        stdlib.setenv("COLUMNS", before)
    end)

    it("that is dumb is none", function()
        local before = os.getenv "TERM"
        stdlib.setenv("TERM", "dumb")
        assert.is_false(term.is_terminal "stdout")
        stdlib.setenv("TERM", before)
    end)
end)
