--- The meter: which seconds count, and what is divided by them.

local Meter = require "bertlua.train.meter"
local Ranks = require "bertlua.train.ranks"

describe("meter", function()
    it("does not count time between steps", function()
        local time = 0
        local meter = Meter.new(function() return time end)
        local sums = { loss = 4, mlm_loss = 2, nsp_loss = 2, mlm_accuracy = 0, nsp_accuracy = 0 }
        for _ = 1, 2 do
            local step = meter:begin_step()
            meter:add(step, { batch_size = 4, tokens = 100 })
            meter:add(step, { batch_size = 4, tokens = 60 })
            time = time + 2
            assert.are.equal(2, meter:end_step(step, sums, Ranks.new { rank = 0, size = 1 }).loss)
            time = time + 1000
        end
        local totals = meter:totals()
        assert.are.equal(4, totals.seconds)
        assert.are.equal(4, totals.sequences_per_second)
        assert.are.equal(80, totals.tokens_per_second)
        assert.are.equal(2, meter:flush().steps)
        assert.are.equal(6, meter:remaining(3))
    end)

    it("counts a step that was queued early from the end of the one before", function()
        local time = 0
        local meter, ranks = Meter.new(function() return time end, { "loss" }), Ranks.new { rank = 0, size = 1 }
        local first = meter:begin_step()
        meter:add(first, { batch_size = 1, tokens = 1 })
        time = 1
        local second = meter:begin_step()
        meter:add(second, { batch_size = 1, tokens = 1 })
        time = 4
        assert.are.equal(4, meter:end_step(first, { loss = 1 }, ranks).seconds)
        time = 6
        assert.are.equal(2, meter:end_step(second, { loss = 1 }, ranks).seconds)
        assert.are.equal(6, meter:totals().seconds)
    end)

    it("finds the ranks with another learning rate, and with a loss that is not finite", function()
        local meter = Meter.new(function() return 0 end, { "loss" })
        local step = meter:begin_step()
        meter:add(step, { batch_size = 1, tokens = 1 })
        step.learning_rate = 0.5
        local ranks = { exchange = function(_, mine)
            local apart, bad = { unpack(mine) }, { unpack(mine) }
            for i, value in ipairs(mine) do
                if value == 0.5 then apart[i] = 0.25 end
                if value == 7 then bad[i] = 0 / 0 end
            end
            return { mine, apart, bad, mine }
        end }
        meter:end_step(step, { loss = 7 }, ranks)
        assert.are.same({ { 1 }, { 2 } }, { step.rate_ranks, step.bad_ranks })
    end)

    it("knows the peak memory of this process", function()
        assert.is_true(Meter.peak_memory() > 2 ^ 20)
    end)
end)
