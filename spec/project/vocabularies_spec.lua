--- The four vocabularies in vocab/ are, byte for byte, the published ones.

local fs = require "bertlua.util.fs"

local SUMS = {
    uncased = "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
    cased = "eeaa9875b23b04b4c54ef759d03db9d1ba1554838f8fb26c5d96fa551df93d02",
}

describe("published vocabularies", function()
    it("have the sums of Google's files", function()
        local pipe = assert(io.popen "cd vocab && sha256sum *.txt")
        local found = pipe:read "*a"
        pipe:close()
        local expected = {}
        for _, size in ipairs { "base", "large" } do
            for _, casing in ipairs { "cased", "uncased" } do
                expected[#expected + 1] = ("%s  bert-%s-%s-vocab.txt\n"):format(SUMS[casing], size, casing)
            end
        end
        assert.are.equal(table.concat(expected), found)
        assert.are.equal(found, fs.read "vocab/SHA256SUMS")
    end)
end)
