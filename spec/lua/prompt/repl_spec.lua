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

    it("shows as many numbers of a shape as there are dimensions", function()
        local _, feed = prompt.new()
        feed "x, holder = bl.zeros(2, 3), { y = bl.zeros(5) }"
        assert.are.equal("{ 2, 3 } int64_t[4]\n", (feed "x.shape"))
        assert.are.equal("{ 5 } int64_t[4]\n", (feed "= holder.y.shape"))
        assert.are.equal("{ 2, 3 }\n", (feed "x:size()"))
        feed "local z = x[1]"
        assert.are.equal("{ 1 } int64_t[4]\n", (feed "z.stride"))
    end)

    it("does not wait for the end of a string that can have none", function()
        local _, feed = prompt.new()
        local text, outcome = feed 'x = "abc'
        assert.are.equal("error", outcome)
        assert.are.equal("stdin:1: unfinished string near '<eof>'\n", text)
        assert.are.equal("abc\nd\n", (feed("[[abc", "d]]")))
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
        assert.is_truthy((feed ":nonsense"):find "unknown command :nonsense; there are :run, :reload, :paste, ")
        assert.are.equal("quit", (select(2, feed "exit()")))
        assert.are.equal("quit", (select(2, feed " quit() ")))
        assert.is_truthy((feed ":time"):find "an expression is missing")
        assert.is_truthy((feed "?"):find "Ctrl%-D")
        assert.are.equal("quit", (select(2, feed ":quit")))
        assert.are.equal("quit", (select(2, feed "exit")))
        assert.is_truthy((feed "$ exit 3"):find "exit code 3")
        assert.is_truthy((feed "$ kill -TERM $$"):find "ended by signal 15")
        assert.is_truthy((feed "$ kill -INT $$"):find "interrupted")
        assert.are.equal("done", (select(2, feed "$ true")))
    end)

    it("keeps top-level locals for the next lines", function()
        local _, feed, env = prompt.new()
        feed "local x, y = 20"
        assert.are.equal("20\nnil\n", (feed "x, y"))
        feed("local function fact(n)", "return n < 2 and 1 or n * fact(n - 1)", "end")
        assert.are.equal("120\n", (feed "fact(5)"))
        assert.is_nil(env.x)
        feed "do local x = 1 end"
        assert.are.equal("20\n", (feed "x"))
        -- Messages show what was typed.
        assert.are.equal("stdin:1: '<name>' expected near 'local'\n", (feed "local z = 1 for local"))
        assert.are.equal("stdin:1: attempt to index global 'y' (a nil value)\n", (feed "y.field"))
    end)

    it("takes a pasted block as one chunk", function()
        local session, feed = prompt.new()
        local inputs = {}
        session.on_input = function(code) inputs[#inputs + 1] = code end
        local block = "local a = 1\nlocal function f()\n    return a + 1\nend\nb = f()"
        assert.are.equal("", (feed(block)))
        assert.are.equal("2\n", (feed "b"))
        assert.are.same({ block, "b" }, inputs)
        -- Expressions in a row are printed one by one, if all of it is Lua.
        assert.are.equal("1\n4\n", (feed "a\nc = a + 3\nc"))
        assert.is_truthy((feed "c = 5\nc + 1\n= = 2"):find "^stdin:2: ")
        assert.are.equal("4\n", (feed "c"))
        -- A block from a session that somebody copied, with its prompts and results.
        assert.are.equal("7\n14\n", (feed "> d = 7\n> d\n7\n> for i = 1, 1 do\n>>   d = 2 * d\n>> end\n> d"))
        local _, outcome = feed "for i = 1, 2 do\n  e = i"
        assert.are.equal("more", outcome)
        feed "end"
        assert.are.equal("2\n", (feed "e"))
    end)

    it("collects lines after :paste", function()
        local session, feed = prompt.new()
        feed ":paste"
        assert.are.equal("", session:prompt())
        assert.are.equal("3\n", (feed("local a = 1", "local b = 2", "print_me = a + b", ".", "print_me")))
        assert.are.equal("> ", session:prompt())
        feed(":paste", "for i = 1, 2 do")
        assert.is_truthy((feed "."):find "the block is not complete")
        feed(":paste", "x = 1")
        session:cancel()
        assert.are.equal("nil\n", (feed "x"))
    end)

    it("runs a file with flags, and keeps its values", function()
        local _, feed, env = prompt.new()
        local path = os.tmpname()
        local file = assert(io.open(path, "w"))
        file:write "counted = #arg return arg[1], arg[2], ..."
        file:close()
        local before = _G.arg
        assert.are.equal("--a\nb c\n--a\nb c\n", (feed(":run " .. path .. " --a 'b c'")))
        assert.are.equal(before, _G.arg)
        assert.are.equal(2, _G.counted)
        _G.counted = nil
        assert.are.equal("--a", env._)
        os.remove(path)
        assert.are.equal(":run: no such file: " .. path .. "\n", (feed(":run " .. path)))
        assert.is_truthy((feed ":run"):find "a file is missing")
        assert.are.equal(":run: a ' is not closed\n", (feed ":run a 'b"))
        assert.is_truthy((feed ":reload"):find "a module is missing")
        assert.is_truthy((feed ":reload bertlua.util.plural"):find "^bertlua.util.plural is loaded anew: 1 function")
    end)

    it("shows the user's part of a traceback", function()
        local _, feed = prompt.new()
        local path = os.tmpname()
        local file = assert(io.open(path, "w"))
        file:write "local function f(x) local y = x.y return y end\nreturn function(x) local y = f(x) return y end"
        file:close()
        feed(("local g = dofile %q"):format(path))
        assert.are.equal(("%s:1: attempt to index local 'x' (a nil value)\n    %s:1: in function 'f'\n"
            .. "    %s:2: in function 'g'\n    stdin:1\n"):format(path, path, path), (feed "g()"))
        os.remove(path)
    end)

    it("says what was meant", function()
        local _, feed = prompt.new()
        assert.are.equal("stdin:1: attempt to call global 'reqiure' (a nil value); did you mean require?\n",
            (feed "reqiure 'x'"))
        feed "t = bl.zeros(2)"
        assert.are.equal("stdin:1: attempt to call method 'mm' (a nil value); did you mean x:matmul(y)?\n",
            (feed "t:mm(t)"))
        assert.are.equal("stdin:1: attempt to index global 'qqqqqqqqq' (a nil value)\n", (feed "qqqqqqqqq.x"))
        assert.is_truthy((feed "require 'no.such'"):find("^[^\n]*module 'no.such' not found; it is looked for in "
            .. "package.path\n"))
    end)

    it("breaks messages at blanks", function()
        local out = {}
        local session = repl.new { write = function(text) out[#out + 1] = text end, env = { error = error },
            columns = function() return 10 end }
        session:feed "error('one two three four', 0)"
        assert.are.equal("one two\nthree four\n", table.concat(out))
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
