--- Batches of features: what they hold, their order, packing.

local FeatureSet = require "bertlua.squad.feature_set"
local array = require "bertlua.array"
local sequences = require "bertlua.data.sequences"

--- Features of lengths 3 + f % 5 + 2: [CLS] question [SEP] window [SEP], with ids that name the feature.
local function make_set(count)
    local lengths, tokens = {}, 0
    for f = 0, count - 1 do
        lengths[f] = 6 + f % 5
        tokens = tokens + lengths[f]
    end
    local set = FeatureSet.new({ features = count, tokens = tokens, doc_tokens = 0 }, { max_seq_length = 12 })
    for f = 0, count - 1 do
        set.offsets[f + 1] = set.offsets[f] + lengths[f]
        for i = 0, lengths[f] - 1 do set.ids[set.offsets[f] + i] = 100 * f + i + 1 end
        set.query_length[f], set.start_position[f], set.end_position[f] = 2, f % 3, f % 3 + 1
    end
    return set
end

describe("sequences", function()
    it("pads to the full length", function()
        local batches = make_set(5):batches({ batch_size = 2, shuffle = false })
        local batch = batches:batch(1)
        assert.are.same({ 2, 3 }, batch.members)
        assert.are.equal(24, batch.rows)
        assert.are.equal(8 + 9, batch.tokens)
        assert.are.same({ { 0, 8 }, { 12, 9 } }, batch.segments:tolist())
        assert.are.same({ 0, 12 }, batch.cls_index:tolist())
        assert.are.same({ 2, 0 }, batch.starts:tolist())
        assert.are.same({ 3, 1 }, batch.ends:tolist())
        local ids, types, positions = batch.ids:tolist(), batch.types:tolist(), batch.positions:tolist()
        for i = 1, 8 do assert.are.same({ 200 + i, i <= 4 and 0 or 1, i - 1 }, { ids[i], types[i], positions[i] }) end
        for i = 9, 12 do assert.are.same({ 0, 0, 0 }, { ids[i], types[i], positions[i] }) end
        assert.are.equal(301, ids[13])
        batches:close()
    end)

    it("as text is a line", function()
        local batches = make_set(5):batches({ batch_size = 2 })
        assert.are.equal("Loader: 5 sequences of up to 12 tokens, batches of 2, 3 in an epoch", tostring(batches))
        batches:close()
        batches = make_set(5):batches({ batch_size = 3, pack_sequences = true })
        assert.are.equal("Loader: 5 sequences of up to 12 tokens, batches of 3, 2 in an epoch, packed",
            tostring(batches))
        batches:close()
    end)

    it("packs sequences end to end", function()
        local batches = make_set(5):batches({ batch_size = 3, shuffle = false, pack_sequences = true })
        local batch = batches:batch(0)
        assert.are.equal(64, batch.rows)
        assert.are.same({ { 0, 6 }, { 6, 7 }, { 13, 8 } }, batch.segments:tolist())
        local ids = batch.ids:tolist()
        assert.are.same({ 1, 6, 101, 107, 201, 208, 0, 0 },
            { ids[1], ids[6], ids[7], ids[13], ids[14], ids[21], ids[22], ids[64] })
        batches:close()
    end)

    it("visits each feature once per epoch, in a new order, the same after a restart", function()
        local set = make_set(10)
        local function stream(first, count, seed)
            local batches, seen = set:batches({ batch_size = 4, seed = seed }), {}
            for n = first, first + count - 1 do
                for _, f in ipairs(batches:batch(n).members) do seen[#seen + 1] = f end
            end
            batches:close()
            return seen
        end
        local whole, epochs = stream(0, 5, 7), {}
        for e = 0, 1 do
            local list = { unpack(whole, 10 * e + 1, 10 * e + 10) }
            epochs[e] = table.concat(list, " ")
            table.sort(list)
            assert.are.same({ 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 }, list)
        end
        assert.are_not.equal(epochs[0], epochs[1])
        assert.are.same({ unpack(whole, 13) }, stream(3, 2, 7))
        assert.are_not.same(whole, stream(0, 5, 8))
    end)

    it("ends with a smaller batch where it is not endless", function()
        local batches = make_set(5):batches({ batch_size = 2, shuffle = false, endless = false })
        assert.are.equal(3, batches.batches)
        assert.are.same({ 4 }, batches:batch(2).members)
        assert.has_error(function() batches:batch(3) end)
        batches:close()
    end)

    it("keeps a batch valid until the one after next", function()
        local batches = make_set(9):batches({ batch_size = 1, shuffle = false })
        local first = batches:batch(0)
        batches:batch(1)
        assert.are.equal(1, first.ids:tolist()[1])
        assert.are.equal(201, batches:batch(2).ids:tolist()[1])
        batches:close()
    end)

    it("leaves out windows without the answer, except where the question has none", function()
        local set = make_set(300)
        -- Three windows per question; every third question has no answer in any.
        for f = 0, 299 do
            set.example[f] = math.floor(f / 3) + 1
            set.end_position[f] = f % 3 == 1 and math.floor(f / 3) % 3 > 0 and 2 or 0
        end
        local function open(share, seed)
            local batches = set:batches({ batch_size = 4, seed = seed, null_window_share = share })
            local order, list = batches:order(0), {}
            for i = 0, batches.samples - 1 do list[i + 1] = tonumber(order[i]) end
            batches:close()
            table.sort(list)
            return list
        end
        -- 100 questions: 34 without an answer keep 102 windows, the others 66 with it.
        local none, half = open(0, 1), open(0.5, 1)
        assert.are.equal(102 + 66, #none)
        for _, f in ipairs(none) do assert.is_true(math.floor(f / 3) % 3 == 0 or f % 3 == 1) end
        assert.is_true(#half > 168 + 40 and #half < 168 + 92)
        assert.are.same(half, open(0.5, 1))
        assert.are_not.same(half, open(0.5, 2))
        assert.are.equal(300, #open(1, 1))
    end)

    it("carry labels of several numbers, of other types, and of each token", function()
        local ids, offsets, first = array.int32(7), array.int32(4), array.int32(3)
        for i = 0, 6 do ids[i] = 10 + i end
        for i, at in ipairs { 0, 2, 5, 7 } do offsets[i - 1] = at end
        local scores, several, tags = array.float(3), array.float(6), array.int32(7)
        for i = 0, 2 do scores[i] = i + 0.25 end
        for i = 0, 5 do several[i] = i / 2 end
        for i = 0, 6 do tags[i] = i end
        local set = { count = 3, ids = ids, offsets = offsets, first_length = first, max_length = 4, labels = {
            scores = { values = scores, dtype = "f32" }, several = { values = several, dtype = "f32", width = 2 },
            tags = { values = tags, per = "rows", fill = -100 },
        } }
        local batches = sequences.open(set, { batch_size = 2, shuffle = false, endless = false })
        local batch = batches:batch(0)
        assert.are.same({ 0.25, 1.25 }, batch.scores:tolist())
        assert.are.same({ { 0, 0.5 }, { 1, 1.5 } }, batch.several:tolist())
        assert.are.same({ 0, 1, -100, -100, 2, 3, 4, -100 }, batch.tags:tolist())
        assert.are.same({ 2.25 }, batches:batch(1).scores:tolist())
        batches:close()
        batches = sequences.open(set, { batch_size = 2, shuffle = false, endless = false, pack_sequences = true })
        local packed = batches:batch(0).tags:tolist()
        assert.are.same({ 0, 1, 2, 3, 4, -100 }, { unpack(packed, 1, 6) })
        assert.are.equal(-100, packed[#packed])
        batches:close()
    end)

    it("come in groups, whose first ones stand before all second ones", function()
        local ids, offsets, first, scores = array.int32(12), array.int32(7), array.int32(6), array.float(3)
        for i = 0, 11 do ids[i] = 10 + i end
        for i = 0, 6 do offsets[i] = 2 * i end
        for i = 0, 2 do scores[i] = i + 0.5 end
        local set = { count = 6, ids = ids, offsets = offsets, first_length = first, max_length = 4,
            labels = { scores = { values = scores, dtype = "f32", per = "groups" } } }
        local options = { batch_size = 2, group = 2, shuffle = false, endless = false, pack_sequences = true }
        local batches = sequences.open(set, options)
        assert.are.equal("Loader: 3 groups of 2 sequences of up to 4 tokens, batches of 2, 2 in an epoch, packed",
            tostring(batches))
        local batch = batches:batch(0)
        assert.are.same({ 0, 2, 1, 3 }, batch.members)
        assert.are.same({ 4, 2 }, { batch.batch_size, batch.groups })
        assert.are.same({ 10, 11, 14, 15, 12, 13, 16, 17 }, { unpack(batch.ids:tolist(), 1, 8) })
        assert.are.same({ { 0, 2 }, { 2, 2 }, { 4, 2 }, { 6, 2 } }, batch.segments:tolist())
        assert.are.same({ 0.5, 1.5 }, batch.scores:tolist())
        batch = batches:batch(1)
        assert.are.same({ 4, 5 }, batch.members)
        assert.are.same({ 2.5 }, batch.scores:tolist())
        batches:close()
        options.endless, options.shuffle = true, true
        batches = sequences.open(set, options)
        local seen = {}
        for n = 0, 2 do
            local members = batches:batch(n).members
            for i = 1, 2 do
                assert.are.equal(members[i] + 1, members[i + 2])
                seen[#seen + 1] = members[i]
            end
        end
        local epoch = { unpack(seen, 1, 3) }
        table.sort(epoch)
        assert.are.same({ 0, 2, 4 }, epoch)
        batches:close()
        options.group = 4
        assert.has_error(function() sequences.open(set, options) end, "sequences: 6 sequences are no groups of 4")
    end)
end)
