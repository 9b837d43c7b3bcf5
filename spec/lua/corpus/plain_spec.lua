--- Plain text files as parts.

local fs = require "bertlua.util.fs"
local plain = require "bertlua.corpus.plain"
local process = require "spec.support.process"

local function prepare(folder, arguments, setup)
    return process.run_bertlua(("%s --output-dir %s %s"):format(process.quote(process.root
        .. "/recipes/prepare_corpus.lua"), process.quote(folder), arguments), setup)
end

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

describe("text that is not UTF-8", function()
    it("passes as U+FFFD on request", function()
        local base = process.temporary_folder()
        assert(fs.mkdirs(base .. "/in"))
        assert(fs.write(base .. "/in/a.txt", "\255A b\255\254d line, caf\195\169.\nEnds in \195"))
        local output, code = prepare(base .. "/out", ("--variant corpus --corpus-dir %s --stages extract "
            .. "--invalid-utf8 replace"):format(base .. "/in"))
        local text = fs.read(base .. "/out/text/corpus-00000.txt")
        fs.remove(base)
        assert.are.equal(0, code, output)
        assert.is_truthy(output:find("invalid UTF-8: 4 bytes replaced", 1, true), output)
        assert.are.equal("\239\191\189A b\239\191\189\239\191\189d line, caf\195\169.\nEnds in \239\191\189\n\n", text)
    end)
end)
