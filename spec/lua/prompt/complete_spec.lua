--- Completion at the prompt.

local prompt = require "spec.support.prompt"

describe("completion", function()
    local session, feed, env = prompt.new()

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
        assert.are.same({ "ul", { "matmul" } }, { session:complete "x:matm" })
        feed "v = bl.autograd.tape.new():start(0, 0, true):input(x)"
        assert.are.same({ "ul", { "matmul" } }, { session:complete "v:matm" })
        assert.are.same({ "pace", { "linspace" } }, { session:complete "bl.lins" })
        env.text = "abc"
        assert.are.same({ "er", { "upper" } }, { session:complete "text:upp" })
    end)

    it("completes files inside quotes", function()
        assert.are.same({ 'a"', { "init.lua" } }, { session:complete 'dofile("lua/bertlua/init.lu' })
        assert.are.same({ "ua/", { "bertlua/" } }, { session:complete "open('lua/bertl" })
        assert.are.same({ "", {} }, { session:complete '"no/such/folder/x' })
    end)

    it("offers nothing for unknown names, and calls no foreign code", function()
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
