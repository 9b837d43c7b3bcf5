--- Tables of options.

local errors = require "spec.support.errors"
local options = require "bertlua.util.options"

local KNOWN = { "width", "height" }

local function draw(given)
    return (options.check("draw", given, KNOWN, 2))
end

describe("options", function()
    it("are those that the function knows", function()
        local given = { width = 1, height = 2 }
        assert.are.equal(given, draw(given))
        assert.are.same({}, draw())
    end)

    it("may be taken without being told", function()
        local known = { "width", inner = true }
        local given = { width = 1, inner = 2 }
        assert.are.equal(given, options.check("draw", given, known, 1))
        assert.error_matches(function() options.check("draw", { color = 1 }, known, 1) end,
            "draw: unknown option color, expected width$")
    end)

    it("are an error at the caller's line otherwise", function()
        errors.all_fail_here {
            { "draw: unknown option widt; did you mean width?", function() draw { widt = 1 } end },
            { "draw: unknown option color, expected width, height", function() draw { color = 1 } end },
            { "draw: unknown option 1, expected width, height", function() draw { 3 } end },
            { "draw: options is a string, expected a table with width, height", function() draw "x" end },
        }
    end)
end)
