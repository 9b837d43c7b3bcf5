--- Batches that are masked each time they are read: the order of epochs, masks, resume, the last batch.

local array = require "bertlua.array"
local masked_sequences = require "bertlua.data.masked_sequences"

-- Ids from 50 on go on with a word.
local WORDS = { cls_id = 2, sep_id = 3, mask_id = 4, size = function() return 100 end,
    token = function(_, id) return id >= 50 and "##" .. id or "w" .. id end }

--- `count` sequences: [CLS] s s s ... [SEP], where s = 10 + the number of the sequence, or a word of three pieces.
local function set_of(count, length, piece)
    return { count = count, max_length = length, fill = function(_, s, target)
        target[0], target[length - 1] = 2, 3
        for i = 1, length - 2 do target[i] = piece and i % 3 ~= 1 and 50 + s or 10 + s end
        return length, length, -1
    end }
end

local function open(set, options)
    local all = { words = WORDS, batch_size = 2, seed = 3, pack_sequences = true }
    for name, value in pairs(options or {}) do all[name] = value end
    return masked_sequences.open(set, all)
end

--- The batch's sequences with masks undone: list of numbers; list of masked positions.
local function undone(batch)
    local ids, labels, index = batch.ids:tolist(), batch.masked_labels:tolist(), batch.masked_index:tolist()
    local masked = {}
    for k, label in ipairs(labels) do
        if label >= 0 then
            ids[index[k] + 1] = label
            masked[#masked + 1] = index[k]
        end
    end
    local list = {}
    for b, segment in ipairs(batch.segments:tolist()) do list[b] = ids[segment[1] + 2] - 10 end
    return list, masked
end

describe("masked sequences", function()
    it("visit each sequence once an epoch, in an order drawn from the seed", function()
        local batches, orders = open(set_of(6, 12)), {}
        for epoch = 0, 2 do
            local seen = {}
            for n = 0, 2 do
                for _, s in ipairs((undone(batches:batch(3 * epoch + n)))) do seen[#seen + 1] = s end
            end
            orders[epoch] = table.concat(seen, " ")
            table.sort(seen)
            assert.are.same({ 0, 1, 2, 3, 4, 5 }, seen)
        end
        assert.is_true(orders[0] ~= orders[1] or orders[1] ~= orders[2])
        local other = open(set_of(6, 12), { seed = 4 })
        local list = {}
        for n = 0, 8 do list[n] = table.concat((undone(other:batch(n))), " ") end
        assert.are_not.equal(table.concat(list, " ", 0, 8), table.concat(orders, " ", 0, 2))
    end)

    it("give batch n again after a restart, with the masks it had", function()
        local straight, kept = open(set_of(5, 20)), {}
        for n = 0, 6 do
            local batch = straight:batch(n)
            kept[n] = { batch.ids:tolist(), batch.masked_index:tolist(), batch.masked_labels:tolist() }
        end
        local again = open(set_of(5, 20))
        for _, n in ipairs { 4, 6, 0, 5 } do
            local batch = again:batch(n)
            assert.are.same(kept[n], { batch.ids:tolist(), batch.masked_index:tolist(), batch.masked_labels:tolist() })
        end
    end)

    it("draw new masks in each epoch, of the share that is asked for", function()
        for share, most in pairs { [0.15] = 15, [0.3] = 30, [0.45] = 45 } do
            local batches, seen = open(set_of(2, 100), { masked_lm_prob = share }), {}
            assert.are.equal(most, batches.max_predictions_per_seq)
            for n = 0, 3 do
                local batch = batches:batch(n)
                assert.are.equal(2 * most, batch.masked)
                local _, masked = undone(batch)
                seen[table.concat(masked, " ")] = true
            end
            local different = 0
            for _ in pairs(seen) do different = different + 1 end
            assert.are.equal(4, different)
        end
        assert.are.equal(2 * 5, open(set_of(2, 100), { max_predictions_per_seq = 5 }):batch(0).masked)
    end)

    it("mask whole words", function()
        local batches = open(set_of(2, 32, true), { whole_words = true })
        for n = 0, 20 do
            local batch = batches:batch(n)
            local _, masked = undone(batch)
            assert.are.equal(0, #masked % 3)
            for k = 1, #masked, 3 do
                assert.are.equal(1, masked[k] % 32 % 3)
                assert.are.equal(masked[k] + 2, masked[k + 2])
            end
        end
        assert.are.equal(3, masked_sequences.continues(WORDS)[50] + masked_sequences.continues(WORDS)[99]
            + masked_sequences.continues(WORDS)[98] + masked_sequences.continues(WORDS)[49])
    end)

    it("end with a smaller batch where they are not endless", function()
        local batches = open(set_of(5, 12), { endless = false, shuffle = false })
        assert.are.equal(3, batches.batches)
        local sizes, list = {}, {}
        for n = 0, 2 do
            local batch = batches:batch(n)
            sizes[n + 1] = batch.batch_size
            for _, s in ipairs((undone(batch))) do list[#list + 1] = s end
        end
        assert.are.same({ 2, 2, 1 }, sizes)
        assert.are.same({ 0, 1, 2, 3, 4 }, list)
        assert.has_error(function() batches:batch(3) end)
        assert.has_error(function() open(set_of(0, 12)) end)
    end)

    it("may be fewer than a batch", function()
        local batch = open(set_of(1, 12), { batch_size = 5 }):batch(3)
        assert.are.same({ 0, 0, 0, 0, 0 }, (undone(batch)))
        assert.are.equal(5 * 2, batch.masked)
        assert.are.equal(0, array.wrap(batch.cls_index)[0])
    end)
end)
