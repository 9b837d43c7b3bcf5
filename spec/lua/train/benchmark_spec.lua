--- Benchmarks: figures from the times of the steps.

local benchmark = require "bertlua.train.benchmark"

describe("benchmark", function()
    it("interpolates percentiles", function()
        assert.are.equal(3, benchmark.percentile({ 1, 2, 3, 4, 5 }, 50))
        assert.are.equal(2.5, benchmark.percentile({ 1, 2, 3, 4 }, 50))
        assert.are.equal(5, benchmark.percentile({ 1, 5 }, 100))
        assert.are.equal(1, benchmark.percentile({ 1 }, 99))
    end)

    it("finds the middle of a list in any order", function()
        assert.are.equal(3, benchmark.median { 5, 1, 3, 2, 4 })
        assert.are.equal(2.5, benchmark.median { 4, 1, 3, 2 })
        assert.are.equal(7, benchmark.median { 7 })
    end)

    it("divides all work by all time", function()
        local summary = benchmark.summary {
            { seconds = 1, sequences = 10, tokens = 100 },
            { seconds = 3, sequences = 10, tokens = 300 },
        }
        assert.are.equal(5, summary.sequences_per_second)
        assert.are.equal(100, summary.tokens_per_second)
        assert.are.equal(2, summary.step_p50)
        assert.are.equal(3, summary.step_max)
        assert.matches("throughput", benchmark.text(summary, { warmup_steps = 1, batch_size = 5, accumulation = 2,
            max_seq_length = 128, precision = "fp32", threads = 2, device = "cpu", packed = true }))
    end)
end)
