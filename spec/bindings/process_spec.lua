--- What this process may use, and the memory it takes.

local array = require "bertlua.array"
local process = require "bertlua.process"

describe("process", function()
    it("has at least one processor", function()
        assert.is_true(process.processors() >= 1)
    end)

    it("takes memory, and no less at its peak", function()
        -- What other specs left behind may be given back at any time.
        collectgarbage()
        collectgarbage()
        local before = process.memory_now()
        assert.is_true(before > 2 ^ 20)
        local values = array.int32(2 ^ 24)
        for i = 0, 2 ^ 24 - 1, 512 do values[i] = i end
        assert.is_true(process.memory_now() > before + 32 * 2 ^ 20)
        local own, child = process.memory_peak()
        assert.is_true(own >= before and child >= 0)
        assert.are.equal(512, values[512])
    end)
end)
