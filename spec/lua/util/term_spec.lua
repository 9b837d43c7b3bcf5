--- Widths of texts and of the terminal.

local process = require "spec.support.process"
local term = require "bertlua.util.term"

describe("term", function()
    it("cuts text at characters, not bytes", function()
        assert.are.equal(5, term.width "é█😀x")
        assert.are.equal("é█", term.cut("é█😀x", 3))
        assert.are.equal("é█😀", term.cut("é█😀x", 4))
        assert.are.equal("é█😀x", term.cut("é█😀x", 5))
        assert.are.equal("水車", term.cut("水車は回る", 5))
    end)

    it("is at least 20 columns wide", function()
        assert.is_true(term.columns() >= 20)
    end)

    it("breaks lines at spaces, never within a word", function()
        assert.are.equal("a bc d", term.wrap("a bc d", 6))
        assert.are.equal("a bc\n  d", term.wrap("a bc d", 5))
        assert.are.equal("a bc\nd", term.wrap("a bc d", 5, 0))
        assert.are.equal("name      one\n          two\n          three", term.wrap("name      one two three", 15, 10))
        -- Leading and inner spaces stay; each line for itself.
        assert.are.equal("  a   b\n\n  c", term.wrap("  a   b\n\n  c", 20))
        -- A word that is too long stays whole; one that just fits moves to the left.
        assert.are.equal("x\n/a/very/long/path\n  y", term.wrap("x /a/very/long/path y", 10))
        assert.are.equal("name     x\n  /a/long/path", term.wrap("name     x /a/long/path", 14, 9))
        -- Characters count, not bytes.
        assert.are.equal("ééé ééé", term.wrap("ééé ééé", 7))
        assert.are.equal("", term.wrap("", 10))
    end)

    it("leaves text as it is where the stream is no terminal", function()
        local script = process.quote [[
            local term = require "bertlua.util.term"
            io.stdout:write(term.fit("stdout", ("word "):rep(30)), "\n")
            io.stdout:flush()
            term.warn(("word "):rep(30))]]
        local output, code = process.run_bertlua("-e " .. script)
        assert.are.equal(0, code, output)
        assert.are.equal(("word "):rep(30) .. "\nbertlua: warning: " .. ("word "):rep(30) .. "\n", output)
    end)
end)
