--- Faults: told from bugs, one line each, with an exit code.

local fault = require "bertlua.fault"

local function caught(...)
    local ok, value = pcall(...)
    assert.is_false(ok)
    return value
end

describe("fault", function()
    it("is one line with a code", function()
        local value = caught(fault.raise, "first line\n   second line\nthird", 3)
        assert.is_true(fault.is(value))
        assert.are.equal("first line; second line; third", tostring(value))
        assert.are.equal(3, value.code)
        assert.are.equal(1, caught(fault.raise, "x").code)
        assert.are.equal("7 of a", caught(fault.raisef, "%d of %s", 7, "a").message)
    end)

    it("is not what error() throws", function()
        assert.is_false(fault.is(caught(error, "a bug")))
        assert.is_false(fault.is(caught(error, { message = "a bug" })))
        assert.is_false(fault.is(nil))
    end)

    it("comes out of nil and a message, and lets other values through", function()
        assert.are.equal(0, fault.check(0, "unused"))
        assert.are.equal("no such file", fault.message(caught(fault.check, nil, "no such file")))
        assert.are.equal("unknown failure", fault.message(caught(fault.check, false)))
    end)

    it("has the text of any error without its place", function()
        assert.are.equal("boo", fault.message "lua/bertlua/x.lua:12: boo")
        assert.are.equal("boo: x.lua:1: b", fault.message "boo: x.lua:1: b")
        assert.are.equal("nil", fault.message(nil))
    end)
end)
