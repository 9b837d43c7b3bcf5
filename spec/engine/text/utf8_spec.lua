--- Whether bytes are UTF-8, and from which byte on they are not.

local corpus = require "bertlua.corpus"

describe("UTF-8", function()
    it("finds the first byte that is not UTF-8", function()
        assert.is_nil(corpus.invalid_utf8 "plain, Mühle, 水, 😀")
        assert.are.equal(3, corpus.invalid_utf8 "abc\255")
        assert.are.equal(0, corpus.invalid_utf8 "\192\128")
        assert.are.equal(1, corpus.invalid_utf8 "a\237\160\128")
        assert.are.equal(8, corpus.invalid_utf8 "12345678\244\144\128\128")
        assert.are.equal(2, corpus.invalid_utf8 "ab\195")
    end)
end)
