--- Mean and deviation of runs, and the table that shows them.

local statistics = require "bertlua.jobs.repeats.statistics"

describe("statistics of runs", function()
    it("are mean and sample standard deviation", function()
        local list = { 2, 4, 4, 4, 5, 5, 7, 9 }
        assert.are.equal(5, statistics.mean(list))
        -- numpy.std(list, ddof=1)
        assert.is_true(math.abs(statistics.deviation(list) - 2.138089935299395) < 1e-14)
        assert.is_nil(statistics.deviation { 3 })
        assert.are.equal(0, statistics.deviation { 0.1, 0.1 })
    end)

    it("are taken of every number that all runs have, however deep", function()
        local mean, deviation = statistics.combine {
            { dev = { f1 = 1, types = { LOC = { f1 = 0 }, PER = { f1 = 1 } }, name = "a" }, list = { "x" } },
            { dev = { f1 = 3, types = { LOC = { f1 = 1 } }, name = "b" }, list = { "y" } },
        }
        assert.are.same({ dev = { f1 = 2, types = { LOC = { f1 = 0.5 } } } }, mean)
        assert.are.same({ dev = { f1 = math.sqrt(2), types = { LOC = { f1 = math.sqrt(0.5) } } } }, deviation)
        mean, deviation = statistics.combine { { dev = { f1 = 1 } } }
        assert.are.same({ dev = { f1 = 1 } }, mean)
        assert.are.same({}, deviation)
    end)

    it("show first what decides, dev before test", function()
        assert.are.same({ { "dev", "f1" }, { "test", "f1" }, { "dev", "accuracy" }, { "test", "accuracy" } },
            statistics.columns({ dev = { accuracy = 1, f1 = 1, types = {} }, test = { accuracy = 1, f1 = 1 } }, "f1"))
    end)

    it("stand in a table that keeps to its width", function()
        local head = { "run", "dev f1", "dev accuracy" }
        local rows = { { "seed-1", "0.5000", "0.6000" }, { "seed-2", "failed" } }
        assert.are.equal("run     dev f1  dev accuracy\nseed-1  0.5000        0.6000\nseed-2  failed",
            (statistics.layout(head, rows, 80)))
        local text, out = statistics.layout(head, rows, 27)
        assert.are.equal("run     dev f1\nseed-1  0.5000\nseed-2  failed", text)
        assert.are.same({ "dev accuracy" }, out)
        text = statistics.layout({ "run", "dev f1" }, { { "a-very-long-name", "0.5000" } }, 18)
        assert.are.equal("run         dev f1\na-very-long-name\n            0.5000", text)
        assert.are.equal("0.5000 ± 0.1000", statistics.text(0.5, 0.1))
        local wide = statistics.layout({ "run", "f1" }, { { "a", statistics.text(0.5, 0.1) }, { "b", "x" } }, 80)
        assert.are.equal("run               f1\na    0.5000 ± 0.1000\nb                  x", wide)
    end)
end)
