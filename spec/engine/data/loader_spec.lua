--- Masking, batches and prefetch: the C side of the loader.

local array = require "bertlua.array"
local data = require "bertlua.data"
local fs = require "bertlua.util.fs"
local nanosleep = require("posix.time").nanosleep
local random = require "bertlua.rng"
local shards = require "spec.support.shards"

local MASKING = { probability = 0.15, max_predictions = 20, vocab_size = 1000, cls_id = 2, sep_id = 3, mask_id = 4 }

local function changed(change)
    local options = {}
    for name, value in pairs(MASKING) do options[name] = change[name] or value end
    return data.masking(options)
end

describe("mask_tokens", function()
    local ids, positions, labels = array.int32(512), array.int32(100), array.int32(100)

    local function fill(length)
        for i = 0, length - 1 do ids[i] = 10 + i end
        ids[0], ids[length - 1], ids[math.floor(length / 2)] = 2, 3, 3
    end

    it("chooses min(P, max(1, round(n * 0.15))) sorted positions, never [CLS] or [SEP]", function()
        local masking = changed {}
        -- Half to even as in Python: 10 -> 2, 30 -> 4, 50 -> 8.
        local expected = { [5] = 1, [8] = 1, [10] = 2, [30] = 4, [50] = 8, [64] = 10, [100] = 15, [128] = 19,
            [512] = 20 }
        local rng = random.new(1)
        for length, count in pairs(expected) do
            for _ = 1, 20 do
                fill(length)
                assert.are.equal(count, data.mask_tokens(rng, masking, ids, length, positions, labels))
                for k = 0, count - 1 do
                    local at = positions[k]
                    assert.is_true(k == 0 or at > positions[k - 1])
                    assert.is_true(at > 0 and at < length - 1 and at ~= math.floor(length / 2))
                    assert.are.equal(10 + at, labels[k])
                end
                for k = count, 19 do assert.is_true(positions[k] == 0 and labels[k] == 0) end
            end
        end
    end)

    it("replaces 80 % by [MASK], keeps 10 %, and draws 10 % from the vocabulary", function()
        local masking = changed {}
        local rng = random.new(7)
        local masked, kept, drawn, total = 0, 0, 0, 0
        local seen = {}
        for _ = 1, 2000 do
            fill(128)
            local count = data.mask_tokens(rng, masking, ids, 128, positions, labels)
            for k = 0, count - 1 do
                local id = ids[positions[k]]
                seen[positions[k]] = (seen[positions[k]] or 0) + 1
                if id == 4 then
                    masked = masked + 1
                elseif id == labels[k] then
                    kept = kept + 1
                else
                    drawn = drawn + 1
                    assert.is_true(id >= 0 and id < 1000)
                end
            end
            total = total + count
        end
        assert.are.equal(2000 * 19, total)
        -- Six standard deviations of a share of 38000 draws are below 0.0125.
        assert.is_true(math.abs(masked / total - 0.8) < 0.0125)
        assert.is_true(math.abs(kept / total - 0.1) < 0.0095)
        assert.is_true(math.abs(drawn / total - 0.1) < 0.0095)
        -- All 125 candidates are about equally likely: 304 expected each, six deviations are 105.
        local places = 0
        for _, count in pairs(seen) do
            places = places + 1
            assert.is_true(math.abs(count - 304) < 105)
        end
        assert.are.equal(125, places)
    end)

    it("never chooses id 0, and accepts fewer candidates than wanted", function()
        local masking = changed { probability = 0.9 }
        for i = 0, 9 do ids[i] = 0 end
        ids[0], ids[4], ids[6], ids[9] = 2, 50, 51, 3
        assert.are.equal(2, data.mask_tokens(random.new(3), masking, ids, 10, positions, labels))
        assert.are.same({ 4, 6 }, { positions[0], positions[1] })
    end)

    it("says what is wrong with its arguments", function()
        for change, message in pairs {
            [{ probability = 1.5 }] = "probability is 1.5", [{ max_predictions = 0 }] = "max_predictions is 0",
            [{ mask_id = 1000 }] = "mask_id is 1000",
        } do
            local good, problem = pcall(data.mask_tokens, random.new(1), changed(change), ids, 10, positions, labels)
            assert.is_false(good)
            assert.is_truthy(problem:find(message, 1, true), problem)
        end
        assert.has_error(function() data.masking { probability = 0.1 } end)
    end)
end)

describe("batch", function()
    local folder, shard, values

    setup(function()
        folder = assert(fs.temporary_folder("loader_spec"))
        values = shards.values(12, 16, 4)
        shards.write(folder .. "/a.hdf5", values)
        shard = assert(data.read_shard(folder .. "/a.hdf5"))
    end)

    teardown(function()
        fs.remove(folder)
    end)

    local function fill(batch, rows, ...)
        batch:begin()
        batch:append(shard, array.int64(rows), #rows, ...)
        return batch:finish()
    end

    it("pads every sample to S rows", function()
        local rows = { 3, 0, 11 }
        local batch = fill(data.batch(3, 16, 4, false), rows)
        assert.are.equal(48, batch.rows)
        assert.are.same({ 48 }, batch.ids:dims())
        local ids, types, positions = batch.ids:tolist(), batch.types:tolist(), batch.positions:tolist()
        local segments = batch.segments:tolist()
        local masked, labels = batch.masked_index:tolist(), batch.masked_labels:tolist()
        local slot, tokens = 0, 0
        for b, row in ipairs(rows) do
            local source = shard:row(row)
            tokens = tokens + source.length
            assert.are.same({ (b - 1) * 16, source.length }, segments[b])
            for i = 1, 16 do
                assert.are.equal(values.input_ids[row + 1][i], ids[(b - 1) * 16 + i])
                assert.are.equal(values.segment_ids[row + 1][i], types[(b - 1) * 16 + i])
                assert.are.equal(i - 1, positions[(b - 1) * 16 + i])
            end
            for k = 1, source.masked do
                slot = slot + 1
                assert.are.equal((b - 1) * 16 + source.masked_lm_positions[k], masked[slot])
                assert.are.equal(source.masked_lm_ids[k], labels[slot])
            end
        end
        assert.are.equal(tokens, batch.tokens)
        assert.are.equal(slot, batch.masked)
        assert.are.equal(16, #masked)
        for k = slot + 1, 16 do assert.are.same({ 0, -1 }, { masked[k], labels[k] }) end
        assert.are.same({ 0, 16, 32 }, batch.cls_index:tolist())
        assert.are.same({ 0, 1, 0 }, batch.nsp_labels:tolist())
    end)

    it("packs the same samples without padding between them", function()
        local rows = { 3, 0, 11, 5, 5, 7, 8, 9 }
        local padded = fill(data.batch(8, 16, 4, false), rows)
        local packed = fill(data.batch(8, 16, 4, true), rows)
        assert.are.equal(padded.tokens, packed.tokens)
        assert.are.equal(padded.masked, packed.masked)
        assert.are.equal(0, packed.rows % 64)
        assert.is_true(packed.rows >= packed.tokens and packed.rows < packed.tokens + 64)
        local wide, tight = padded.segments:tolist(), packed.segments:tolist()
        local a = { padded.ids:tolist(), padded.types:tolist(), padded.positions:tolist() }
        local b = { packed.ids:tolist(), packed.types:tolist(), packed.positions:tolist() }
        local at = 0
        for n = 1, 8 do
            assert.are.equal(at, tight[n][1])
            assert.are.equal(wide[n][2], tight[n][2])
            for which = 1, 3 do
                for i = 1, wide[n][2] do
                    assert.are.equal(a[which][wide[n][1] + i], b[which][tight[n][1] + i])
                end
            end
            at = at + tight[n][2]
        end
        for i = at + 1, packed.rows do assert.are.equal(0, b[1][i]) end
        local ids_a, ids_b = a[1], b[1]
        local index_a, index_b = padded.masked_index:tolist(), packed.masked_index:tolist()
        for k = 1, padded.masked do assert.are.equal(ids_a[index_a[k] + 1], ids_b[index_b[k] + 1]) end
        assert.are.same(padded.masked_labels:tolist(), packed.masked_labels:tolist())
        assert.are.same(padded.nsp_labels:tolist(), packed.nsp_labels:tolist())
    end)

    it("undoes the mask in the file before masking again", function()
        local masking = changed { max_predictions = 4, probability = 0.3 }
        local rows = { 1, 2, 3, 4, 5, 6, 7, 8 }
        local batch = fill(data.batch(8, 16, 4, false), rows, masking, 5, 1000)
        local ids, index, labels = batch.ids:tolist(), batch.masked_index:tolist(), batch.masked_labels:tolist()
        for k = 1, batch.masked do ids[index[k] + 1] = labels[k] end
        for b, row in ipairs(rows) do
            local source = shard:row(row)
            local original = source.input_ids
            for k = 1, source.masked do original[source.masked_lm_positions[k] + 1] = source.masked_lm_ids[k] end
            for i = 1, 16 do assert.are.equal(original[i], ids[(b - 1) * 16 + i]) end
        end
    end)

    it("draws a mask by seed and sample number alone", function()
        local masking = changed { max_predictions = 4, probability = 0.3 }
        local batch = data.batch(2, 16, 4, false)
        local function masks(rows, seed, sample)
            fill(batch, rows, masking, seed, sample)
            return { batch.ids:tolist(), batch.masked_index:tolist(), batch.masked_labels:tolist() }
        end
        local first = masks({ 4, 6 }, 5, 77)
        assert.are.same(first, masks({ 4, 6 }, 5, 77))
        assert.are_not.same(first, masks({ 4, 6 }, 6, 77))
        assert.are_not.same(first, masks({ 4, 6 }, 5, 78))
    end)

    it("takes sequences that are in no shard, masked as a row of that number is", function()
        local masking = changed { max_predictions = 4, probability = 0.3 }
        for _, packed in ipairs { false, true } do
            local expected, given = data.batch(3, 16, 4, packed), data.batch(3, 16, 4, packed)
            fill(expected, { 4, 6, 1 }, masking, 5, 2 ^ 40)
            given:begin()
            for k, row in ipairs { 4, 6, 1 } do
                local plain = shard:row(row)
                local list = plain.input_ids
                for i = 1, plain.masked do list[plain.masked_lm_positions[i] + 1] = plain.masked_lm_ids[i] end
                local ids = array.int32(list)
                given:append_ids(ids, plain.length, math.floor(plain.length / 2), plain.next_sentence_label, masking, 5,
                    2 ^ 40 + k - 1)
                for i = 1, plain.length do assert.are.equal(list[i], ids[i - 1]) end
            end
            given:finish()
            for _, name in ipairs(given.tensors) do
                assert.are.same(expected[name]:tolist(), given[name]:tolist(), name)
            end
            assert.are.same({ expected.tokens, expected.masked }, { given.tokens, given.masked })
        end
        local batch, ids = data.batch(1, 16, 4, false), array.int32(17)
        batch:begin()
        for _, wrong in ipairs { { 0, 0 }, { 17, 3 }, { 5, 6 }, { 5, -1 } } do
            local ok, message = pcall(batch.append_ids, batch, ids, wrong[1], wrong[2], -1, masking, 1, 1)
            assert.is_false(ok)
            assert.matches("batch_append_ids: length is", message, 1, true)
        end
        assert.has_error(function() batch:append_ids(ids, 5, 5, -1, nil, 1, 1) end)
        batch:append_ids(ids, 5, 5, -1, masking, 1, 1)
        assert.has_error(function() batch:append_ids(ids, 5, 5, -1, masking, 1, 1) end)
        assert.are.same({ -1 }, batch:finish().nsp_labels:tolist())
    end)

    it("holds exactly its number of samples", function()
        local batch = data.batch(2, 16, 4, false)
        batch:begin()
        batch:append(shard, array.int64 { 1 }, 1)
        assert.has_error(function() batch:finish() end)
        assert.has_error(function() batch:append(shard, array.int64 { 1, 2 }, 2) end)
        assert.has_error(function() batch:append(shard, array.int64 { 12 }, 1) end)
        assert.has_error(function() data.batch(2, 8, 9, false) end)
        assert.has_error(function() fill(data.batch(1, 32, 4, false), { 1 }) end)
    end)
end)

describe("prefetch", function()
    local folder

    setup(function()
        folder = assert(fs.temporary_folder("loader_spec"))
    end)

    teardown(function()
        fs.remove(folder)
    end)

    it("gives what a plain read gives", function()
        local path = folder .. "/a.hdf5"
        shards.write(path, shards.values(500, 32, 4))
        local shard = assert(data.read_shard(path))
        local prefetch = assert(data.prefetch(path))
        local other = assert(prefetch:wait())
        for n = 0, 499, 7 do assert.are.same(shard:row(n), other:row(n)) end
        assert.has_error(function() prefetch:wait() end)
    end)

    it("reads part of a shard, with its own copy of the rows", function()
        local path = folder .. "/part.hdf5"
        shards.write(path, shards.values(500, 32, 4))
        local shard = assert(data.read_shard(path))
        local rows = array.int64 { 400, 3, 77 }
        local prefetch = assert(data.prefetch(path, {}, rows, 3))
        for k = 0, 2 do rows[k] = -1 end
        local part = assert(prefetch:wait())
        assert.are.equal(3, part.held)
        for k, row in ipairs { 400, 3, 77 } do assert.are.same(shard:row(row), part:row(k - 1)) end
        assert.are.equal(0, assert(assert(data.prefetch(path, {}, rows, 0)):wait()).held)
    end)

    it("reports the thread's error at wait, and nowhere else", function()
        local path = folder .. "/b.hdf5"
        local values = shards.values(5, 16, 4)
        values.input_ids[2][3] = 5000
        shards.write(path, values)
        local _, expected = data.read_shard(path, { vocab_size = 300 })
        local prefetch = assert(data.prefetch(path, { vocab_size = 300 }))
        local shard, message = prefetch:wait()
        assert.is_nil(shard)
        assert.are.equal(expected, message)
        local missing = assert(data.prefetch(folder .. "/none.hdf5"))
        assert.is_truthy(select(2, missing:wait()):find("no such file or folder", 1, true))
    end)

    it("can be dropped midway", function()
        local path = folder .. "/c.hdf5"
        shards.write(path, shards.values(3000, 64, 8))
        for _ = 1, 20 do assert(data.prefetch(path)):cancel() end
        for _ = 1, 5 do assert(data.prefetch(path)) end -- left to the collector
        collectgarbage()
        local prefetch = assert(data.prefetch(path))
        while not prefetch:ready() do nanosleep { tv_sec = 0, tv_nsec = 1000000 } end
        assert.are.equal(3000, assert(prefetch:wait()).samples)
    end)
end)
