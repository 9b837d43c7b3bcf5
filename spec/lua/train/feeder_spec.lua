--- Batches from pinned memory to where ops read them: none is lost, reordered or overwritten.

local Feeder = require "bertlua.train.feeder"
local context = require "bertlua.context"
local device = require "bertlua.device"
local tensor = require "bertlua.tensor"

local ROWS, SEQUENCES = 32, 3

--- A batch in pinned memory.
local function new_batch()
    local memory = device.pinned(256, true)
    return {
        memory = memory, pinned = memory:tensor(0, "i32", { 64 }), fence = device.event(false, true), rows = ROWS,
        tensors = { "ids", "segments" },
        ids = memory:tensor(0, "i32", { ROWS }), segments = memory:tensor(128, "i32", { SEQUENCES, 2 }),
    }
end

local function fill(batch, n)
    local ids, segments = {}, {}
    for i = 1, ROWS do ids[i] = 100 * n + i end
    for i = 1, 2 * SEQUENCES do segments[i] = 1000 * n + i end
    batch.fence:wait()
    batch.ids:set(ids)
    batch.segments:set(segments)
    batch.number = n
end

describe("feeder", function()
    it("passes every batch on unchanged, however far the host runs ahead", function()
        local feeder, batches = Feeder.new(), { new_batch(), new_batch() }
        local seen = {}
        for n = 1, 7 do
            local batch = batches[n % 2 + 1]
            fill(batch, n)
            local there = feeder:load(batch)
            assert.are.equal(n, there.number)
            assert.are.equal(ROWS, there.rows)
            -- A copy in stream order, checked only at the end.
            seen[n] = { ids = tensor.new("i32", { ROWS }):copy_from(there.ids),
                segments = tensor.new("i32", { SEQUENCES, 2 }):copy_from(there.segments) }
        end
        for n = 1, 7 do
            local ids, segments = seen[n].ids:tolist(), seen[n].segments:tolist()
            for i = 1, ROWS do assert.are.equal(100 * n + i, ids[i]) end
            for i = 1, 2 * SEQUENCES do
                assert.are.equal(1000 * n + i, segments[math.ceil(i / 2)][(i - 1) % 2 + 1])
            end
        end
        feeder:free()
    end)

    it("reads every batch at the same address on a device of its own, and in place on the CPU", function()
        local feeder, batches = Feeder.new(), { new_batch(), new_batch() }
        fill(batches[1], 1)
        fill(batches[2], 2)
        local first = feeder:load(batches[1])
        local address = tostring(first.ids.data)
        local second = feeder:load(batches[2])
        if context.device() == "cpu" then
            assert.are.equal(batches[2], second)
        else
            assert.are.equal(address, tostring(second.ids.data))
            assert.are.equal("cuda", second.ids:device_name())
        end
        feeder:free()
    end)
end)
