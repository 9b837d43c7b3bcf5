--- The loader: order, coverage, restart, ranks, errors.

local array = require "bertlua.array"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local loader = require "bertlua.data.loader"
local shards = require "spec.support.shards"

local SPECIAL = { cls_id = 2, sep_id = 3, mask_id = 4 }

describe("loader", function()
    local folder
    -- 33 samples in four shards; the second token of sample n is 100 + n.
    local SIZES = { 10, 1, 15, 7 }
    local TOTAL = 33

    setup(function()
        folder = assert(fs.temporary_folder("loader_spec"))
        local first = 0
        for i, size in ipairs(SIZES) do
            shards.write(("%s/x_training_%d.hdf5"):format(folder, i - 1), shards.values(size, 16, 4, first))
            first = first + size
        end
        shards.write(folder .. "/x_test_0.hdf5", shards.values(5, 16, 4, 500))
    end)

    teardown(function()
        fs.remove(folder)
    end)

    local function open(options)
        local all = { input_dir = folder, batch_size = 4, max_seq_length = 16, max_predictions_per_seq = 4,
            vocab_size = 700, seed = 3 }
        for name, value in pairs(options or {}) do all[name] = value end
        return loader.open(all)
    end

    it("as text is a line or two", function()
        local reader = open()
        assert.are.equal("Loader: 33 samples in 4 shards, batches of 4, sequences of up to 16 tokens", tostring(reader))
        reader:close()
        reader = open { split = "test", dynamic_masking = true, special_ids = SPECIAL }
        assert.are.equal("Loader: 5 samples in 1 shard, batches of 4, sequences of up to 16 tokens,\n"
            .. "  masked anew in each epoch", tostring(reader))
        reader:close()
    end)

    local function names_of(batch)
        local list, ids, first = {}, array.wrap(batch.ids), array.wrap(batch.cls_index)
        for b = 0, batch.batch_size - 1 do list[#list + 1] = ids[first[b] + 1] - 100 end
        return list
    end

    local function contents(batch)
        local copy = { rows = batch.rows, tokens = batch.tokens }
        for _, name in ipairs { "ids", "positions", "types", "segments", "cls_index", "masked_index", "masked_labels",
            "nsp_labels" } do
            copy[name] = batch[name]:tolist()
        end
        return copy
    end

    local function run(reader, first, last, see)
        local list = {}
        for n = first, last do list[#list + 1] = (see or contents)(reader:batch(n)) end
        reader:close()
        return list
    end

    --- Names of the samples of batches first..last, in order.
    local function samples(reader, first, last)
        local list = {}
        for _, names in ipairs(run(reader, first, last, names_of)) do
            for _, name in ipairs(names) do list[#list + 1] = name end
        end
        return list
    end

    local function range(list, first, last)
        local part = {}
        for i = first, last do part[#part + 1] = list[i] end
        return part
    end

    local function sorted(list)
        table.sort(list)
        return list
    end

    it("counts its training samples and leaves test shards out", function()
        local reader = open()
        assert.are.equal(TOTAL, reader.samples)
        assert.are.equal(4, reader.shards)
        assert.are.equal(5, open({ split = "test" }).samples)
        assert.are.equal(38, open({ split = "all" }).samples)
        reader:close()
    end)

    it("recognises test shards by the word test, not by part of a word", function()
        local named = folder .. "/named"
        assert(fs.mkdirs(named))
        for size, name in ipairs { "latest_0.hdf5", "a.h5", "wiki_test_3.hdf5", "test.hdf5", "tests.hdf5" } do
            shards.write(named .. "/" .. name, shards.values(size, 16, 4))
        end
        assert.are.equal(1 + 2 + 5, open({ input_dir = named }).samples)
        assert.are.equal(3 + 4, open({ input_dir = named, split = "test" }).samples)
    end)

    it("covers each sample once per epoch, whatever the batch size", function()
        local expected = {}
        for n = 1, TOTAL do expected[n] = n end
        for _, size in ipairs { 1, 3, 4, 33, 50 } do
            local epochs = 3
            local list = samples(open { batch_size = size }, 0, math.ceil(epochs * TOTAL / size))
            for epoch = 0, epochs - 1 do
                assert.are.same(expected, sorted(range(list, epoch * TOTAL + 1, (epoch + 1) * TOTAL)))
            end
        end
    end)

    it("shuffles by seed and epoch", function()
        local list = samples(open { batch_size = 1 }, 0, 2 * TOTAL - 1)
        local first, second = range(list, 1, TOTAL), range(list, TOTAL + 1, 2 * TOTAL)
        assert.are_not.same(first, second)
        assert.are_not.same(sorted(range(first, 1, TOTAL)), first)
        assert.are.same(list, samples(open { batch_size = 1 }, 0, 2 * TOTAL - 1))
        assert.are_not.same(list, samples(open { batch_size = 1, seed = 4 }, 0, 2 * TOTAL - 1))
    end)

    it("keeps the order of the files without shuffling", function()
        local expected = {}
        for n = 1, TOTAL do expected[n] = n end
        assert.are.same(expected, samples(open { batch_size = 1, shuffle = false }, 0, TOTAL - 1))
    end)

    for _, variant in ipairs { {}, { pack_sequences = true }, { dynamic_masking = true, special_ids = SPECIAL },
        { prefetch = false }, { pack_sequences = true, dynamic_masking = true, special_ids = SPECIAL } } do
        local label = (variant.pack_sequences and "packed " or "padded ")
            .. (variant.dynamic_masking and "masked afresh " or "")
            .. (variant.prefetch == false and "without prefetch" or "")
        it("gives the same batch after a restart and out of order: " .. label, function()
            local all = run(open(variant), 0, 24)
            assert.are.same(range(all, 12, 25), run(open(variant), 11, 24))
            local reader = open(variant)
            for _, n in ipairs { 20, 3, 3, 24, 0, 1, 13 } do
                assert.are.same(all[n + 1], contents(reader:batch(n)))
            end
            reader:close()
        end)
    end

    it("gives the same with and without prefetch", function()
        assert.are.same(run(open(), 0, 30), run(open { prefetch = false }, 0, 30))
    end)

    it("keeps a batch until the one after next", function()
        local reader = open()
        local first = reader:batch(0)
        local copy = contents(first)
        reader:batch(1)
        assert.are.same(copy, contents(first))
        reader:close()
    end)

    it("allocates nothing per step", function()
        local reader = open { batch_size = 2 }
        for n = 0, 200 do reader:batch(n) end
        -- The minimum of a few tries: a trace that happens to be compiled during one counts as garbage too.
        local grown = math.huge
        for _ = 1, 5 do
            collectgarbage()
            collectgarbage "stop"
            local before = collectgarbage "count"
            for n = 0, 3 do reader:batch(n % 2) end
            grown = math.min(grown, collectgarbage "count" - before)
            collectgarbage "restart"
        end
        assert.is_true(grown < 8, grown .. " kB")
        reader:close()
    end)

    it("gives several ranks, each reading every third batch, what one reader gets", function()
        local whole, joined = run(open { batch_size = 2 }, 0, 29, names_of), {}
        for rank = 0, 2 do
            local reader = open { batch_size = 2 }
            for n = rank, 29, 3 do joined[n + 1] = names_of(reader:batch(n)) end
            reader:close()
        end
        assert.are.same(whole, joined)
    end)

    describe("of one of several ranks", function()
        local VARIANTS = {
            { batch_size = 1 }, { batch_size = 2, prefetch = false }, { batch_size = 3, pack_sequences = true },
            { batch_size = 2, shuffle = false }, { batch_size = 50 },
            { batch_size = 2, dynamic_masking = true, special_ids = SPECIAL },
        }

        local function with(variant, rank, ranks)
            local options = { rank = rank, ranks = ranks }
            for name, value in pairs(variant) do options[name] = value end
            return open(options)
        end

        it("gives what one reader gets, in any number and from any batch on", function()
            for _, variant in ipairs(VARIANTS) do
                local last = math.ceil(3 * TOTAL / variant.batch_size) + 16
                local whole = run(open(variant), 0, last)
                for _, ranks in ipairs { 1, 2, 3, 4, 8 } do
                    -- A run resumes in the middle of a shard only at a multiple of its number of ranks.
                    for _, first in ipairs { 0, ranks, 2 * ranks } do
                        local joined = {}
                        for rank = 0, ranks - 1 do
                            local reader = with(variant, rank, ranks)
                            for n = first + rank, last, ranks do joined[n - first + 1] = contents(reader:batch(n)) end
                            reader:close()
                        end
                        assert.are.same(range(whole, first + 1, last + 1), joined)
                    end
                end
            end
        end)

        it("gives the same out of order", function()
            local all = run(open { batch_size = 2 }, 0, 60)
            local reader = open { batch_size = 2, rank = 1, ranks = 3 }
            for _, n in ipairs { 40, 1, 1, 58, 4, 19, 16, 22 } do
                assert.are.same(all[n + 1], contents(reader:batch(n)))
            end
            reader:close()
        end)

        it("gives the same from a single shard, epoch after epoch", function()
            local single = folder .. "/single"
            assert(fs.mkdirs(single))
            shards.write(single .. "/a.hdf5", shards.values(21, 16, 4))
            for _, prefetch in ipairs { true, false } do
                local options = { input_dir = single, batch_size = 2, prefetch = prefetch }
                local whole, joined = run(open(options), 0, 47), {}
                for rank = 0, 3 do
                    options.rank, options.ranks = rank, 4
                    local reader = open(options)
                    for n = rank, 47, 4 do joined[n + 1] = contents(reader:batch(n)) end
                    reader:close()
                end
                assert.are.same(whole, joined)
            end
        end)

        it("holds 1/n of the rows, each row in one rank", function()
            local large = folder .. "/large"
            assert(fs.mkdirs(large))
            shards.write(large .. "/a.hdf5", shards.values(600, 16, 4))
            for _, ranks in ipairs { 1, 2, 3, 4, 8 } do
                local sum = 0
                for rank = 0, ranks - 1 do
                    local reader = open { input_dir = large, batch_size = 4, rank = rank, ranks = ranks,
                        vocab_size = 800, prefetch = false }
                    reader:batch(rank)
                    assert.is_true(math.abs(reader:held_rows() - 600 / ranks) <= 4, reader:held_rows())
                    sum = sum + reader:held_rows()
                    -- Into the next epoch: two at most.
                    local later = math.ceil(150 / ranks) * ranks + rank
                    reader:batch(later)
                    assert.is_true(reader:held_rows() <= 2 * (600 / ranks + 4))
                    reader:close()
                end
                assert.are.equal(600, sum)
            end
        end)

        it("says on every rank, in the same words, what is wrong with a shard", function()
            local bad = folder .. "/bad_part"
            assert(fs.mkdirs(bad))
            local path = bad .. "/a.hdf5"
            local function refusals()
                local list = {}
                for _, prefetch in ipairs { true, false } do
                    for rank = 0, 3 do
                        local reader = open { input_dir = bad, batch_size = 4, shuffle = false, rank = rank, ranks = 4,
                            prefetch = prefetch }
                        list[#list + 1] = { pcall(reader.batch, reader, rank) }
                        reader:close()
                    end
                end
                for _, result in ipairs(list) do
                    assert.is_false(result[1])
                    assert.is_true(fault.is(result[2]), tostring(result[2]))
                    assert.are.equal(tostring(list[1][2]), tostring(result[2]))
                end
                return tostring(list[1][2])
            end
            -- A value in one sample, which only one rank uses.
            local values = shards.values(400, 16, 4)
            values.masked_lm_ids[9][1] = 700
            shards.write(path, values)
            assert.is_truthy(refusals():find("a.hdf5: dataset masked_lm_ids, sample 8: label 700 at 0", 1, true))
            -- A byte within a chunk.
            values.masked_lm_ids[9][1] = 20
            shards.write(path, values, nil, { gzip = 0, checksum = true })
            local bytes = fs.read(path)
            local middle = math.floor(#bytes / 2)
            assert(fs.write(path, bytes:sub(1, middle) .. string.char((bytes:byte(middle + 1) + 1) % 256)
                .. bytes:sub(middle + 2)))
            assert.is_truthy(refusals():find("damaged: the CRC32C of its bytes is", 1, true))
            -- Truncated before the folder is opened.
            assert(fs.write(path, bytes:sub(1, middle)))
            for rank = 0, 3 do
                local good, problem = pcall(open, { input_dir = bad, rank = rank, ranks = 4 })
                assert.is_false(good)
                assert.is_truthy(tostring(problem):find("HDF5 cannot open it: the file is truncated", 1, true))
            end
        end)

        it("refuses the batch of another rank", function()
            local reader = open { rank = 1, ranks = 3 }
            local good, problem = pcall(reader.batch, reader, 3)
            assert.is_false(good)
            assert.is_truthy(problem:find("batch 3 does not belong to rank 1 of 3", 1, true), problem)
            reader:close()
            assert.has_error(function() open { rank = 3, ranks = 3 } end)
        end)
    end)

    it("remasks a sample in each epoch, or always keeps the mask of the file", function()
        local function masks(variant)
            local reader = open(variant)
            local by_epoch = { {}, {} }
            for epoch = 1, 2 do
                for n = (epoch - 1) * TOTAL, epoch * TOTAL - 1 do
                    local batch = reader:batch(n)
                    local name = names_of(batch)[1]
                    by_epoch[epoch][name] = table.concat(batch.masked_index:tolist(), " ")
                end
            end
            reader:close()
            local same = 0
            for name, text in pairs(by_epoch[1]) do
                if by_epoch[2][name] == text then same = same + 1 end
            end
            return same
        end
        assert.are.equal(TOTAL, masks { batch_size = 1 })
        -- A sample's name is its second token, so count only samples where that was not masked.
        assert.is_true(masks { batch_size = 1, dynamic_masking = true, special_ids = SPECIAL } < TOTAL / 2)
    end)

    it("closes while a shard is being read", function()
        for _ = 1, 10 do
            local reader = open()
            reader:batch(0)
            reader:close()
        end
    end)

    describe("says in one line", function()
        local function message(options)
            local good, problem = pcall(open, options)
            assert.is_false(good)
            assert.is_true(fault.is(problem), tostring(problem))
            assert.is_nil(tostring(problem):find("\n", 1, true))
            return tostring(problem)
        end

        it("that there is no such folder", function()
            local text = message { input_dir = folder .. "/none" }
            assert.is_truthy(text:find("/none: no such folder; input_dir must hold the .hdf5 files", 1, true), text)
        end)

        it("that the folder is empty", function()
            local empty = folder .. "/empty"
            assert(fs.mkdirs(empty))
            assert.is_truthy(message({ input_dir = empty }):find("contains no shards (no *.hdf5", 1, true))
            assert(fs.write(empty .. "/notes.txt", "x"))
            assert.is_truthy(message({ input_dir = empty }):find("among 1 entry)", 1, true))
        end)

        it("that no shard belongs to the split", function()
            local only = folder .. "/only"
            assert(fs.mkdirs(only))
            shards.write(only .. "/a.hdf5", shards.values(3, 16, 4))
            local text = message { input_dir = only, split = "test" }
            assert.is_truthy(text:find("contains 1 shard but none for split", 1, true), text)
        end)

        it("that shards differ in size", function()
            local mixed = folder .. "/mixed"
            assert(fs.mkdirs(mixed))
            shards.write(mixed .. "/a.hdf5", shards.values(3, 16, 4))
            shards.write(mixed .. "/b.hdf5", shards.values(3, 16, 3))
            local text = message { input_dir = mixed }
            assert.is_truthy(text:find(": max_predictions_per_seq is 3, but ", 1, true), text)
            shards.write(mixed .. "/b.hdf5", shards.values(3, 32, 4))
            assert.is_truthy(message({ input_dir = mixed }):find("samples are 32 tokens long", 1, true))
            local good, problem = pcall(loader.open, { input_dir = mixed, batch_size = 2 })
            assert.is_false(good)
            assert.is_truthy(tostring(problem):find(": max_seq_length is 32, but ", 1, true))
        end)

        it("what is wrong with a prefetched shard, when its turn comes", function()
            local bad = folder .. "/bad"
            assert(fs.mkdirs(bad))
            shards.write(bad .. "/a.hdf5", shards.values(8, 16, 4))
            local values = shards.values(8, 16, 4)
            values.input_ids[4][2] = 999
            shards.write(bad .. "/b.hdf5", values)
            local reader = open { input_dir = bad, shuffle = false, batch_size = 4 }
            reader:batch(0)
            reader:batch(1)
            local good, problem = pcall(reader.batch, reader, 2)
            assert.is_false(good)
            assert.is_true(fault.is(problem))
            assert.is_truthy(tostring(problem):find("bad/b.hdf5: dataset input_ids, sample 3: token id 999", 1, true))
            reader:close()
        end)

        it("that a shard changed during the run", function()
            local moving = folder .. "/moving"
            assert(fs.mkdirs(moving))
            shards.write(moving .. "/a.hdf5", shards.values(8, 16, 4))
            local reader = open { input_dir = moving }
            shards.write(moving .. "/a.hdf5", shards.values(9, 16, 4))
            local good, problem = pcall(reader.batch, reader, 0)
            assert.is_false(good)
            assert.is_truthy(tostring(problem):find("has 9 samples now, had 8", 1, true))
            reader:close()
        end)
    end)

    it("blames the caller for wrong arguments", function()
        assert.has_error(function() open { batch_size = 0 } end)
        assert.has_error(function() open { split = "dev" } end)
        assert.has_error(function() open { dynamic_masking = true } end)
        local reader = open()
        assert.has_error(function() reader:batch(-1) end)
        assert.has_error(function() reader:batch(0.5) end)
        reader:close()
    end)

    it("reads what h5py wrote", function()
        local reader = loader.open { input_dir = "spec/fixtures/hdf5", batch_size = 2, max_seq_length = 16,
            split = "all", vocab_size = 90, shuffle = false }
        -- nvidia.hdf5 comes first by name.
        local batch = reader:batch(1)
        assert.are.equal(12 + 14, batch.tokens)
        assert.are.equal(5, batch.masked)
        assert.are.equal(10 + (7 * 2) % 80, batch.ids:tolist()[1])
        reader:close()
    end)
end)
