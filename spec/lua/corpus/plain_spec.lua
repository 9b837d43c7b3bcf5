--- Large text files are cut into parts.

local fs = require "bertlua.util.fs"
local plain = require "bertlua.corpus.plain"
local process = require "spec.support.process"

describe("large text files", function()
    it("are cut between documents", function()
        local paragraph = ("The mill is old and grey. "):rep(40) .. "\n"
        local article = " = Mill = \n\n " .. paragraph .. "\n = = Wheel = = \n\n " .. paragraph .. "\n"
        local path = process.temporary(article:rep(math.ceil(17 * 2 ^ 20 / #article)))
        local parts = plain.parts({ path }, "auto", "corpus")
        assert.are.equal(2, #parts)
        local file = assert(io.open(path, "rb"))
        file:seek("set", parts[2].first)
        assert.are.equal(" = Mill = ", file:read "*l")
        file:close()
        assert.are.equal(parts[1].stop, parts[2].first)
        assert.are.equal(fs.size(path), parts[2].stop)
        os.remove(path)
    end)
end)
