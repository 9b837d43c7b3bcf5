--- Stages: parts that are made once, and how many processes make them.

local corpus = require "bertlua.corpus"
local stage = require "bertlua.corpus.stage"

describe("a stage", function()
    local function processes(workers, limit, need)
        local options = { name = "made up", parts = { { size = 5 }, { size = 9 }, { size = 7 } },
            memory = function(part) return part.size == 9 and need or 1 end }
        return stage.processes({ num_workers = workers, memory_limit = corpus.memory_now() + limit, quiet = true },
            options, { 1, 2, 3 })
    end

    it("runs as many processes as memory_limit has room for", function()
        local MB = 2 ^ 20
        assert.are.equal(3, processes(64, 4000 * MB, 100 * MB))
        assert.are.equal(2, processes(64, 250 * MB, 100 * MB))
        assert.are.equal(1, processes(1, 4000 * MB, 100 * MB))
        assert.has_error(function() processes(4, 50 * MB, 100 * MB) end)
    end)
end)
