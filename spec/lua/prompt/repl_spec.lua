--- The prompt without a terminal: evaluation and printing.

local prompt = require "spec.support.prompt"
local repl = require "bertlua.prompt.repl"

describe("evaluation", function()
    it("prints all values of an expression and keeps the first in _", function()
        local _, feed, env = prompt.new()
        assert.are.equal("3\n", (feed "1 + 2"))
        assert.are.equal(3, env._)
        assert.are.equal("6\n", (feed "_ * 2"))
        assert.are.equal("1\nnil\nx\n", (feed '1, nil, "x"'))
        assert.are.equal("4\n", (feed "= 4"))
        assert.are.equal("5\n", (feed "5 -- five"))
    end)

    it("is silent for statements and after ;", function()
        local _, feed, env = prompt.new()
        assert.are.equal("", (feed "a = 7"))
        assert.are.equal(7, env.a)
        assert.are.equal("", (feed "a + 1;"))
        assert.are.equal(8, env._)
        assert.are.equal("", (feed "   "))
    end)

    it("asks for more until the input is complete", function()
        local session, feed = prompt.new()
        local _, outcome = feed "for i = 1, 2 do"
        assert.are.equal("more", outcome)
        assert.are.equal(">> ", session:prompt())
        _, outcome = feed "t = i"
        assert.are.equal("more", outcome)
        _, outcome = feed "end"
        assert.are.equal("done", outcome)
        assert.are.equal("> ", session:prompt())
        assert.are.equal("2\n", (feed "t"))
        assert.are.equal("3\n", (feed("1 +", "2")))
        assert.are.equal("{ 1, 2 }\n", (feed("{1,", "2}")))
    end)

    it("drops an unfinished input when it is cancelled", function()
        local session, feed = prompt.new()
        feed "f("
        session:cancel()
        assert.are.equal("1\n", (feed "1"))
    end)

    it("reports errors in one line and continues", function()
        local _, feed = prompt.new()
        local text, outcome = feed "error('boo')"
        assert.are.equal("stdin:1: boo\n", text)
        assert.are.equal("error", outcome)
        assert.is_truthy((feed "x = = 1"):find "unexpected symbol near '='")
        assert.is_truthy((feed "error()"):find "an error without a message")
        assert.are.equal("1\n", (feed "1"))
    end)

    it("knows its commands", function()
        local _, feed = prompt.new()
        assert.is_truthy((feed ":time 1 + 1"):match "^[%d.]+ [um]?s\n$")
        assert.is_truthy((feed ":nonsense"):find "unknown command :nonsense")
        assert.is_truthy((feed ":time"):find "an expression is missing")
        assert.is_truthy((feed "?"):find "Ctrl%-D")
        assert.are.equal("quit", (select(2, feed ":quit")))
        assert.are.equal("quit", (select(2, feed "exit")))
        assert.is_truthy((feed "$ exit 3"):find "exit code 3")
        assert.are.equal("done", (select(2, feed "$ true")))
    end)

    it("has bl at hand and prints tensors", function()
        local _, feed = prompt.new()
        assert.are.equal(" 1  1\n 1  1\n[f32 2x2 cpu]\n", (feed "bl.ones(2, 2)"))
        assert.is_truthy((feed "bl.version"):match "^%d+%.%d+%.%d+\n$")
        assert.is_truthy((feed "bl.ones(2, 2):view(3)"):find "^stdin:1: reshape: the input is f32 %[2,2%]")
    end)

    it("prints errors in colour only when asked to", function()
        local out = {}
        local function write(text) out[#out + 1] = text end
        local session = repl.new { write = write, color = true, env = { error = error } }
        session:feed "error('boo', 0)"
        assert.are.equal("\27[31mboo\27[0m\n", table.concat(out))
    end)
end)
