--- Scalars of the last steps in a ring of slots.

local Readback = require "bertlua.train.readback"
local tensor = require "bertlua.tensor"

describe("readback", function()
    local function scalar(value)
        return tensor.from({ value }, "f32")
    end

    it("sums a step's micro-steps by name, and keeps the optimizer's scalars", function()
        local readback = Readback.new { fields = { "loss", "masked" }, micro_steps = 2, counters = 3, depth = 2 }
        tensor.scope(function()
            local slot = readback:take()
            readback:add(slot, { loss = scalar(1.5), masked = scalar(20), other = scalar(9) })
            -- A variable of the tape.
            readback:add(slot, { loss = { value = scalar(2.5) }, masked = scalar(22) })
            readback:close(slot, tensor.from({ 7, 8, 9 }, "f32"))
            local sums, counters = readback:read(slot)
            assert.are.same({ loss = 4, masked = 42 }, sums)
            assert.are.same({ 7, 8, 9 }, counters)
        end)
    end)

    it("sums as many micro-steps as there were", function()
        local readback = Readback.new { fields = { "loss" }, micro_steps = 3, counters = 1, depth = 1 }
        tensor.scope(function()
            for _, count in ipairs { 3, 1, 2 } do
                local slot = readback:take()
                for _ = 1, count do readback:add(slot, { loss = scalar(5) }) end
                readback:close(slot, scalar(count))
                local sums, counters = readback:read(slot)
                assert.are.same({ 5 * count, count }, { sums.loss, counters[1] })
            end
        end)
    end)

    it("keeps a slot until the ring wraps around", function()
        local readback = Readback.new { fields = { "loss" }, micro_steps = 1, counters = 1, depth = 3 }
        tensor.scope(function()
            local slots = {}
            for step = 1, 3 do
                slots[step] = readback:take()
                readback:add(slots[step], { loss = scalar(step) })
                readback:close(slots[step], scalar(10 * step))
            end
            for step = 1, 3 do
                local sums, counters = readback:read(slots[step])
                assert.are.same({ step, 10 * step }, { sums.loss, counters[1] })
            end
            assert.are.equal(slots[1], readback:take())
        end)
    end)
end)
