--- "did you mean": distances between names, and how near is near enough.

local suggest = require "bertlua.util.suggest"

describe("suggest", function()
    it("counts insertions, deletions, replacements and swaps", function()
        assert.are.equal(3, suggest.distance("kitten", "sitting"))
        assert.are.equal(0, suggest.distance("same", "same"))
        assert.are.equal(4, suggest.distance("", "four"))
        assert.are.equal(4, suggest.distance("four", ""))
        assert.are.equal(1, suggest.distance("ab", "ba"))
        assert.are.equal(1, suggest.distance("lable", "label"))
        assert.are.equal(2, suggest.distance("abcd", "badc"))
    end)

    it("takes the nearest, and the first on a tie", function()
        assert.are.equal("--help", suggest.closest("--hlep", { "--version", "--help" }))
        assert.are.equal("max_steps", suggest.closest("max_step", { "max_seq", "max_steps", "min_steps" }))
        assert.are.equal("cat", suggest.closest("bat", { "cat", "rat" }))
    end)

    it("is silent where none is near: a third of the name may differ, and one letter always", function()
        assert.is_nil(suggest.closest("abc", { "xyz" }))
        assert.are.equal("on", suggest.closest("an", { "on" }))
        assert.is_nil(suggest.closest("an", { "of" }))
        assert.are.equal("abcdxx", suggest.closest("abcdef", { "abcdxx" }))
        assert.is_nil(suggest.closest("abcdef", { "abcxxx" }))
        assert.is_nil(suggest.closest("x", {}))
    end)
end)
