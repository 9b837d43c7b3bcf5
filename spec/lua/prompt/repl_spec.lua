--- The prompt without a terminal: evaluation, printing, completion and help.

local inspect = require "bertlua.prompt.inspect"
local repl = require "bertlua.prompt.repl"

local function new_session()
    local out = {}
    local env = setmetatable({}, { __index = _G })
    local session = repl.new { write = function(text) out[#out + 1] = text end, env = env }
    --- Feed lines; returns what was written and the outcome of the last line.
    local function feed(...)
        out = {}
        local outcome
        for i = 1, select("#", ...) do outcome = session:feed((select(i, ...))) end
        return table.concat(out), outcome
    end
    return session, feed, env
end

describe("evaluation", function()
    it("prints expressions, all values of them, and keeps the first in _", function()
        local _, feed, env = new_session()
        assert.are.equal("3\n", (feed "1 + 2"))
        assert.are.equal(3, env._)
        assert.are.equal("6\n", (feed "_ * 2"))
        assert.are.equal("1\nnil\nx\n", (feed '1, nil, "x"'))
        assert.are.equal("4\n", (feed "= 4"))
        assert.are.equal("5\n", (feed "5 -- five"))
    end)

    it("keeps quiet for statements and after ;", function()
        local _, feed, env = new_session()
        assert.are.equal("", (feed "a = 7"))
        assert.are.equal(7, env.a)
        assert.are.equal("", (feed "a + 1;"))
        assert.are.equal(8, env._)
        assert.are.equal("", (feed "   "))
    end)

    it("asks for more until the input is whole", function()
        local session, feed = new_session()
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
        local session, feed = new_session()
        feed "f("
        session:cancel()
        assert.are.equal("1\n", (feed "1"))
    end)

    it("reports errors in one line and goes on", function()
        local _, feed = new_session()
        local text, outcome = feed "error('boo')"
        assert.are.equal("stdin:1: boo\n", text)
        assert.are.equal("error", outcome)
        assert.is_truthy((feed "x = = 1"):find "unexpected symbol near '='")
        assert.is_truthy((feed "error()"):find "an error without a message")
        assert.are.equal("1\n", (feed "1"))
    end)

    it("knows its commands", function()
        local _, feed = new_session()
        assert.is_truthy((feed ":time 1 + 1"):match "^[%d.]+ [um]?s\n$")
        assert.is_truthy((feed ":nonsense"):find "unknown command :nonsense")
        assert.is_truthy((feed ":time"):find "expected an expression")
        assert.is_truthy((feed "?"):find "Ctrl%-D")
        assert.are.equal("quit", (select(2, feed ":quit")))
        assert.are.equal("quit", (select(2, feed "exit")))
        assert.is_truthy((feed "$ exit 3"):find "exit code 3")
        assert.are.equal("done", (select(2, feed "$ true")))
    end)

    it("has bl at hand and prints tensors", function()
        local _, feed = new_session()
        assert.are.equal(" 1  1\n 1  1\n[f32 2x2 cpu]\n", (feed "bl.ones(2, 2)"))
        assert.is_truthy((feed "bl.version"):match "^%d+%.%d+%.%d+\n$")
        assert.is_truthy((feed "bl.ones(2, 2):view(3)"):find "^stdin:1: reshape: the input is f32 %[2,2%]")
    end)

    it("says in colour what went wrong only when asked to", function()
        local out = {}
        local function write(text) out[#out + 1] = text end
        local session = repl.new { write = write, color = true, env = { error = error } }
        session:feed "error('boo', 0)"
        assert.are.equal("\27[31mboo\27[0m\n", table.concat(out))
    end)
end)

describe("inspect", function()
    it("sorts keys, quotes strings inside tables and leaves them bare outside", function()
        assert.are.equal("a\nb", inspect.inspect "a\nb")
        assert.are.equal('{ "a\\nb", 2, [10] = true, alpha = 1, beta = "q\\"", ["x y"] = {} }',
            inspect.inspect { "a\nb", 2, [10] = true, ["x y"] = {}, beta = 'q"', alpha = 1 })
    end)

    it("breaks long tables into lines and cuts very long ones", function()
        local wide = {}
        for i = 1, 30 do wide["key" .. i] = i end
        assert.is_truthy(inspect.inspect(wide):find "^{\n  key1 = 1,\n  key10 = 10,")
        local long = {}
        for i = 1, 1000 do long[i] = i end
        assert.is_truthy(inspect.inspect(long):find("... 960 more", 1, true))
    end)

    it("survives cycles and depth", function()
        local t = { name = "t" }
        t.self = t
        assert.are.equal('{ name = "t", self = { cycle } }', inspect.inspect(t))
        local shared = { 1 }
        assert.are.equal("{ { 1 }, { 1 } }", inspect.inspect { shared, shared })
        assert.are.equal("{ { { { { ... } } } } }", (inspect.inspect { { { { { 1 } } } } }))
    end)

    it("shows tensors inside tables by their shape, and objects by their own text", function()
        local tensor = require "bertlua.tensor"
        tensor.scope(function()
            assert.are.equal("{ x = [f32 2x3 cpu] }", inspect.inspect { x = tensor.new("f32", { 2, 3 }) })
            assert.are.equal("{ 2, 3, 1, 1 } int64_t[4]", inspect.inspect(tensor.new("f32", { 2, 3 }).shape))
        end)
        local object = setmetatable({}, { __tostring = function() return "an object" end })
        assert.are.equal("{ an object }", inspect.inspect { object })
    end)
end)

describe("completion", function()
    local session, feed, env = new_session()

    it("completes globals, fields and modules not loaded yet", function()
        env.learning_rate, env.learning_steps = 1, 2
        assert.are.same({ "ning_", { "learning_rate", "learning_steps" } }, { session:complete "x = lear" })
        env.settings = { batch_size = 1, nested = { max_steps = 2 } }
        assert.are.same({ "eps", { "max_steps" } }, { session:complete "settings.nested.max_st" })
        assert.are.same({ "orward", { "linear_forward" } }, { session:complete "bl.ops.linear_f" })
        assert.are.same({ "imizer", { "optimizer" } }, { session:complete "bl.train.opt" })
    end)

    it("completes methods through __index and of tensors", function()
        local Class = { method = function() end, value = 3 }
        env.object = setmetatable({ own = 1 }, { __index = Class })
        assert.are.same({ "", { "method", "own", "value" } }, { session:complete "object." })
        assert.are.same({ "method", { "method" } }, { session:complete "object:" })
        feed "x = bl.ones(2)"
        assert.are.same({ "ce", { "slice" } }, { session:complete "x:sli" })
        env.text = "abc"
        assert.are.same({ "er", { "upper" } }, { session:complete "text:upp" })
    end)

    it("completes files inside quotes", function()
        assert.are.same({ 'a"', { "init.lua" } }, { session:complete 'dofile("lua/bertlua/init.lu' })
        assert.are.same({ "ua/", { "bertlua/" } }, { session:complete "open('lua/bertl" })
        assert.are.same({ "", {} }, { session:complete '"no/such/folder/x' })
    end)

    it("offers nothing for what it does not know, and calls nobody", function()
        env.trap = setmetatable({}, { __index = function() error "called" end })
        assert.are.same({ "", {} }, { session:complete "trap.x" })
        assert.are.same({ "", {} }, { session:complete "nothing.at.all" })
        assert.are.same({ "", {} }, { session:complete "1 + " })
    end)

    it("lays candidates out in columns", function()
        local columns = require("bertlua.prompt.complete").columns({ "aa", "bb", "cc", "dd", "ee" }, 12)
        assert.are.equal("aa  cc  ee\nbb  dd\n", columns)
    end)
end)

describe("help", function()
    local _, feed = new_session()

    it("shows the header's comment for an op", function()
        local text = feed "? bl.ops.linear_forward"
        assert.is_truthy(text:find("bl.ops.linear_forward(y, pre, x, w, bias, activation)", 1, true))
        assert.is_truthy(text:find("y = f(x w^T + bias)", 1, true))
        -- The comment above the first of a group of declarations is that of all.
        assert.is_truthy((feed "? tanh_backward"):find "Elementwise, any shape")
    end)

    it("shows the comment of a Lua function and of a module", function()
        local text = feed "? bl.rng.restore"
        assert.is_truthy(text:find("A generator that continues where save() was called", 1, true))
        assert.is_truthy(text:find("bindings/bertlua/rng.lua:%d+"))
        text = feed "? bl.rng"
        assert.is_truthy(text:find "Sequential host random numbers" and text:find "new, restore")
        feed "x = bl.ones(2)"
        assert.is_truthy((feed "? x:slice"):find "Elements first..last")
        assert.is_truthy((feed "? x"):find "x is a tensor, f32 2 cpu")
    end)

    it("guesses what was meant", function()
        assert.are.equal("no bl.ops.linear_forwrd; did you mean bl.ops.linear_forward?\n",
            (feed "? bl.ops.linear_forwrd"))
        assert.is_truthy((feed "? gelu_forwad"):find "did you mean gelu_forward")
        assert.are.equal("no zzzzzzzz\n", (feed "? zzzzzzzz"))
    end)
end)
