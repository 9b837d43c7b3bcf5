--- Evaluation on held-out shards: weights of batches, results of other losses, where it stops.

local device = require "bertlua.device"
local held_out = require "bertlua.jobs.pretrain.held_out"

local function scalar(x)
    return { item = function() return x end }
end

local function batch(labels, size)
    local memory = device.pinned(64, true)
    local made = { memory = memory, masked_labels = memory:tensor(0, "i32", { #labels }), batch_size = size }
    made.masked_labels:set(labels)
    return made
end

describe("held-out shards", function()
    local batches = { batch({ 6, 7, 8, 9 }, 2), batch({ 6, -1, -1, -1 }, 2) }

    --- @param lists results of both batches by name
    local function measure(lists, values, tick)
        local names, asked = {}, 0
        for name in pairs(lists) do names[#names + 1] = name end
        local model = { forward = function()
            asked = asked + 1
            local result = {}
            for name, list in pairs(lists) do result[name] = scalar(list[asked]) end
            return result
        end }
        local tape = { reset = function(_, training) assert.is_false(training) end }
        local metrics = held_out.run({ values = values or {}, parts = { model = model, tape = tape, results = names } },
            { batches = 2, shards = { batch = function(_, n) return batches[n + 1] end },
                feeder = { load = function(_, given) return given end } }, tick or function() end)
        return metrics, asked
    end

    it("weigh masked words by their number, and samples equally", function()
        assert.are.same({ loss = 5.4, mlm_loss = 3.4, mlm_accuracy = 0.6, nsp_loss = 2, nsp_accuracy = 0.75 },
            (measure { loss = { 5, 4 }, mlm_loss = { 4, 1 }, mlm_accuracy = { 0.5, 1 }, nsp_loss = { 1, 3 },
                nsp_accuracy = { 1, 0.5 } }))
        assert.are.same({ loss = 3.4, mlm_loss = 3.4 }, (measure { loss = { 4, 1 }, mlm_loss = { 4, 1 } }))
    end)

    it("take the results of a recipe's loss as they are", function()
        assert.are.same({ loss = 3, mlm_loss = 3.4, margin = 1 }, (measure({ loss = { 4, 2 }, mlm_loss = { 4, 1 },
            margin = { 0, 2 } }, { loss = function() end })))
    end)

    it("are left out by fewer than half a batch, wherever their number allows it", function()
        -- 19939 = 4 x 4984 + 3: batches of 3 would leave out a single one.
        assert.are.equal(4, held_out.batch_size(8, 4))
        assert.are.equal(3, held_out.batch_size(3, 4))
        assert.are.equal(50, held_out.batch_size(100, 96))
        assert.are.equal(1, held_out.batch_size(7, 1))
        for largest = 1, 40 do
            for samples = 1, 400 do
                local size = held_out.batch_size(samples, largest)
                local left = samples % size
                assert.is_true(size >= 1 and size <= largest)
                assert.is_true(left <= samples % largest or samples < largest)
                assert.is_true(samples < largest or left < largest / 2 + 1, ("%d of %d"):format(left, samples))
            end
        end
    end)

    it("stop when they are told", function()
        local metrics, asked = measure({ loss = { 4, 2 } }, {}, function(done, total)
            assert.are.same({ 1, 2 }, { done, total })
            return true
        end)
        assert.is_nil(metrics)
        assert.are.equal(1, asked)
    end)
end)
