--- Evaluation: weighting of batches, and the scores of guessing without a model.

local device = require "bertlua.device"
local evaluate = require "bertlua.jobs.pretrain.evaluation"

local function scalar(x)
    return { item = function() return x end }
end

local MASK = 4

--- A batch of 4 masked positions as a loader fills it, in pinned memory: input ids and labels.
local function batch(places, labels, nsp)
    local memory = device.pinned(256, true)
    local made = { memory = memory, pinned = memory:tensor(0, "i32", { 64 }), fence = device.event(false, true),
        batch_size = #nsp, tensors = {} }
    for i, part in ipairs { { "ids", places }, { "masked_index", { 0, 1, 2, 3 } }, { "masked_labels", labels },
        { "nsp_labels", nsp } } do
        local name, values = part[1], part[2]
        made[name] = memory:tensor(64 * (i - 1), "i32", { #values })
        made[name]:set(values)
        made.tensors[i] = name
    end
    return made
end

describe("evaluate", function()
    local places = { { MASK, MASK, 7, 9 }, { MASK, MASK, 5, 5 } }
    local batches = {
        batch(places[1], { 6, 6, 7, 8 }, { 0, 1 }), -- hidden, hidden, left in place, replaced
        batch(places[2], { 6, 8, -1, -1 }, { 1, 1 }), -- two of them filler
    }
    local results = {
        { mlm_loss = scalar(4), mlm_accuracy = scalar(0.5), nsp_loss = scalar(1), nsp_accuracy = scalar(1) },
        { mlm_loss = scalar(1), mlm_accuracy = scalar(1), nsp_loss = scalar(3), nsp_accuracy = scalar(0.5) },
    }
    local asked = 0
    local loader = { samples = 5, batch = function(_, n) return batches[n + 1] end }
    local tape = { start = function(_, _, _, training) assert.is_false(training) end }
    local model = { forward = function(_, _, given)
        asked = asked + 1
        local n = given.nsp_labels:tolist()[1] == 0 and 1 or 2
        assert.are.same(places[n], given.ids:tolist())
        return results[n]
    end }

    it("weights masked words by their number, and samples equally", function()
        local report = evaluate.run(model, tape, loader, { batch_size = 2 })
        assert.are.equal(2, asked)
        assert.are.equal(4, report.samples)
        assert.are.equal(6, report.masked)
        assert.are.equal((4 * 4 + 2 * 1) / 6, report.mlm_loss)
        assert.are.equal((4 * 0.5 + 2 * 1) / 6, report.mlm_accuracy)
        assert.are.equal(2, report.nsp_loss)
        assert.are.equal(0.75, report.nsp_accuracy)
        assert.are.equal(5, report.loss)
    end)

    it("knows what constant answers would score", function()
        local report = evaluate.run(model, tape, loader, { batch_size = 2 })
        assert.are.equal(6, report.mlm_token)
        assert.are.equal(3 / 6, report.mlm_chance)
        -- The three hidden 6s, and the 7 that was left in place.
        assert.are.equal(4 / 6, report.mlm_copy)
        assert.are.equal(3 / 4, report.nsp_chance)
        assert.matches('always guessing "the": 50.0 %%; keeping what is not hidden: 66.7 %%',
            evaluate.text(report, "the"))
    end)

    it("stops after max_batches, and refuses a loader without a whole batch", function()
        assert.are.equal(2, evaluate.run(model, tape, loader, { batch_size = 2, max_batches = 1 }).samples)
        assert.has_error(function() evaluate.run(model, tape, loader, { batch_size = 6 }) end)
    end)
end)
