--- Values as the prompt prints them.

local inspect = require "bertlua.prompt.inspect"

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

    it("shows no more than a screen of a table", function()
        local rows = {}
        for i = 1, 30 do rows[i] = { first = ("x"):rep(40), second = ("y"):rep(40) } end
        local text = inspect.inspect(rows)
        local _, breaks = text:gsub("\n", "")
        assert.are.equal(inspect.MAX_LINES, breaks)
        assert.matches("\n%.%.%. 77 more lines; look at its fields one by one$", text)
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
