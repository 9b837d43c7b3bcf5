--- Ends that were asked for, and what failed runs give back at the prompt.

local leave = require "bertlua.leave"

describe("leave", function()
    after_each(function() leave.prompt(false) end)

    it("throws at the prompt in place of ending the process", function()
        leave.prompt(true)
        local ok, problem = pcall(leave.exit, 0)
        assert.is_false(ok)
        assert.are.equal(leave.STOP, problem)
        assert.are.equal("ended", tostring(problem))
    end)

    it("gives back what failed runs hold, once, the latest first, whatever fails in it", function()
        local calls = {}
        local function release(name)
            return function()
                calls[#calls + 1] = name
                if name == "second" then error "in vain" end
            end
        end
        leave.on_failure(release "no prompt")
        leave.prompt(true)
        leave.on_failure(release "first")
        local settled = leave.on_failure(release "settled")
        leave.on_failure(release "second")
        leave.settled(settled)
        leave.clean_up()
        leave.clean_up()
        assert.are.same({ "second", "first" }, calls)
    end)
end)
