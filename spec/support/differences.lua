--- Bodies of specs that compare gradients on a tape with finite differences.

local assert = require "luassert"
local gradcheck = require "bertlua.autograd.gradcheck"

local M = {}

local TOLERANCE = 0.01

--- A spec's body: every input and parameter has a gradient, and it agrees.
-- @param options function that returns the options of gradcheck
function M.agree(options)
    return function()
        local worst, checks = gradcheck(options())
        local lines = {}
        for _, c in ipairs(checks) do
            lines[#lines + 1] = ("%s: error %.2g at scale %.2g"):format(c.name, c.error, c.scale)
        end
        assert.is_true(worst < TOLERANCE, table.concat(lines, "; "))
        for _, c in ipairs(checks) do assert.is_true(c.scale > 0, c.name .. " has no gradient") end
    end
end

return M
