--- Faults: how they are thrown and told from bugs.

local fault = require "bertlua.fault"

local function thrown(fn, ...)
    local ok, problem = pcall(fn, ...)
    assert.is_false(ok)
    return problem
end

describe("fault", function()
    it("has a message without a place, and an exit code", function()
        local problem = thrown(fault.raise, "batch_size is 0")
        assert.is_true(fault.is(problem))
        assert.are.same({ "batch_size is 0", 1 }, { problem.message, problem.code })
        assert.are.equal("batch_size is 0", tostring(problem))
        assert.are.equal(3, thrown(fault.raise, "x", 3).code)
    end)

    it("is one line whatever it is told", function()
        assert.are.equal("a; b; c", thrown(fault.raise, "a\n  b\n\nc").message)
        assert.are.equal("nil", thrown(fault.raise).message)
    end)

    it("is formatted, unless it is raised as it stands", function()
        assert.are.equal("x: 3 of 4", thrown(fault.raisef, "%s: %d of %d", "x", 3, 4).message)
        assert.are.equal("100 %d", thrown(fault.raise, "100 %d").message)
    end)

    it("is told from a defect", function()
        assert.is_false(fault.is "batch_size is 0")
        assert.is_false(fault.is { message = "batch_size is 0", code = 1 })
        assert.is_false(fault.is(nil))
    end)

    it("gives the text of any error, without its place", function()
        assert.are.equal("boo", fault.message(thrown(fault.raise, "boo")))
        assert.are.equal("boo", fault.message(thrown(error, "my_recipe.lua:6: boo", 0)))
        assert.are.equal("boo", fault.message(thrown(function() error "boo" end)))
        assert.are.equal("data: 3: boo", fault.message "data: 3: boo")
        assert.are.equal("nil", fault.message(nil))
    end)

    it("comes of nil and a message", function()
        assert.are.equal(7, fault.check(7, "not used"))
        assert.are.equal("x: no such file", thrown(fault.check, nil, "x: no such file").message)
        assert.are.equal("unknown failure", thrown(fault.check, false).message)
    end)
end)
