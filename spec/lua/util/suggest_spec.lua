--- "did you mean".

local suggest = require "bertlua.util.suggest"

describe("suggest", function()
    it("counts insertions, deletions and replacements", function()
        for _, case in ipairs { { "kitten", "sitting", 3 }, { "", "abc", 3 }, { "abc", "", 3 }, { "same", "same", 0 },
            { "ab", "ba", 2 }, { "batchsize", "batch_size", 1 } } do
            assert.are.equal(case[3], suggest.distance(case[1], case[2]))
            assert.are.equal(case[3], suggest.distance(case[2], case[1]))
        end
    end)

    it("names the closest, the first of equals", function()
        assert.are.equal("--help", suggest.closest("--hlep", { "--version", "--help" }))
        assert.are.equal("seed", suggest.closest("sed", { "speed", "seed", "shed" }))
        assert.are.equal("phase1", suggest.closest("phase", { "phase1", "phase2" }))
    end)

    it("is silent where nothing is near", function()
        assert.is_nil(suggest.closest("abc", { "xyz" }))
        assert.is_nil(suggest.closest("abc", {}))
        -- A third of the name may differ.
        assert.are.equal("abcdef", suggest.closest("abcdxy", { "abcdef" }))
        assert.is_nil(suggest.closest("abcxyz", { "abcdef" }))
    end)
end)
