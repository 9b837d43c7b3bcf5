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

    it("completes locals", function()
        feed "local warm_start = { steps = 1 }"
        assert.are.same({ "_start", { "warm_start" } }, { session:complete "x = warm" })
        assert.are.same({ "eps", { "steps" } }, { session:complete "warm_start.st" })
    end)

    it("completes modules behind require", function()
        assert.are.same({ "els", { "models", "models." } }, { session:complete 'require "bertlua.mod' })
        assert.are.same({ 'nfig"', { "bert_config" } }, { session:complete 'x = require("bertlua.models.bert_co' })
        assert.are.same({ "ear'", { "linear" } }, { session:complete "require 'bertlua.nn.lin" })
        assert.are.same({ 'i"', { "ffi" } }, { session:complete 'require "ff' })
        assert.are.same({ "", {} }, { session:complete 'require "no.such.module' })
        -- Only behind the function of that name.
        assert.are.same({ "", {} }, { session:complete 'prerequire "bertlua.mod' })
    end)

    it("completes commands, files behind :run and modules behind :reload", function()
        assert.are.same({ "load", { "reload" } }, { session:complete ":re" })
        assert.are.same({ "o.lua ", { "demo.lua" } }, { session:complete ":run recipes/dem" })
        assert.are.same({ "gest", { "suggest" } }, { session:complete ":reload bertlua.util.sug" })
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
