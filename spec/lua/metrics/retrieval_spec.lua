local retrieval = require "bertlua.metrics.retrieval"

describe("metrics of retrieval", function()
    it("rank the wanted candidate behind all that score as high", function()
        local scores = { [0] = 0.5, [1] = 0.9, [2] = 0.5, [3] = 0.1 }
        assert.are.equal(1, retrieval.rank(scores, 4, 1))
        assert.are.equal(3, retrieval.rank(scores, 4, 0))
        assert.are.equal(4, retrieval.rank(scores, 4, 3))
    end)

    it("never rank a score that is no number first", function()
        assert.are.equal(2, retrieval.rank({ [0] = 0 / 0, [1] = 0.2 }, 2, 0))
    end)

    it("are recall at k and the mean reciprocal rank", function()
        local metrics = retrieval.score { 1, 2, 4, 11 }
        assert.are.equal((1 + 1 / 2 + 1 / 4 + 1 / 11) / 4, metrics.mrr)
        assert.are.equal(0.25, metrics.recall_at_1)
        assert.are.equal(0.75, metrics.recall_at_5)
        assert.are.equal(0.75, metrics.recall_at_10)
        assert.are.equal(0.5, retrieval.score({ 1, 2, 4, 11 }, { 3 }).recall_at_3)
    end)
end)
