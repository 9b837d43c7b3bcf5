--- Every path that texts take needs time in proportion to their length, whatever they consist of: a megabyte of spaces,
-- of brackets, of one word. What is quadratic takes an hour where these take a tenth of a second.

local fs = require "bertlua.util.fs"
local process = require "spec.support.process"

-- Seconds of processor time: of one text, some 30 times what the slowest needs, and of all of them.
local MOST, ALL = 5, 90

describe("hostile texts", function()
    it("take linear time on every path", function()
        local folder = process.temporary_folder()
        finally(function() fs.remove(folder) end)
        local output, code = process.run(("(ulimit -t %d; %s %s/spec/support/hostile_texts.lua %s 1000000)"):format(
            ALL, process.quote(process.bertlua), process.quote(process.root), process.quote(folder)))
        assert.are.equal(0, code, output:sub(-500))
        assert.is_truthy(output:find "done\n$", output:sub(-500))
        local count = 0
        for name, seconds in output:gmatch "([^\n]+) ([%d.]+)\n" do
            count = count + 1
            assert.is_true(tonumber(seconds) < MOST, ("%s took %s s"):format(name, seconds))
        end
        assert.is_true(count > 300, output)
    end)
end)
