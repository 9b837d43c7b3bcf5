--- Shards in and out: h5py's files, our own, and every kind of damage.

local array = require "bertlua.array"
local data = require "bertlua.data"
local fs = require "bertlua.util.fs"
local nanosleep = require("posix.time").nanosleep
local shards = require "spec.support.shards"

local FIXTURES = "spec/fixtures/hdf5/"

describe("shard", function()
    local folder, path

    setup(function()
        folder = assert(fs.temporary_folder("shard_spec"))
        path = folder .. "/a.hdf5"
    end)

    teardown(function()
        fs.remove(folder)
    end)

    -- The formulas of spec/peers/make_hdf5_fixtures.py.
    local function check_fixture(shard)
        assert.are.equal(5, shard.samples)
        assert.are.equal(16, shard.max_seq_length)
        assert.are.equal(4, shard.max_predictions_per_seq)
        for n = 0, 4 do
            local row = shard:row(n)
            local length = 8 + 2 * n
            assert.are.equal(length, row.length)
            assert.are.equal(n, row.masked)
            assert.are.equal(n % 2, row.next_sentence_label)
            for i = 0, 15 do
                local real = i < length
                assert.are.equal(real and 10 + (7 * n + 3 * i) % 80 or 0, row.input_ids[i + 1])
                assert.are.equal(real and i >= length / 2 and 1 or 0, row.segment_ids[i + 1])
            end
            for k = 0, 3 do
                assert.are.equal(k < n and 1 + 2 * k or 0, row.masked_lm_positions[k + 1])
                assert.are.equal(k < n and 5 + n + k or 0, row.masked_lm_ids[k + 1])
            end
        end
    end

    local function refusal(limits, file)
        local shard, message = data.read_shard(file or path, limits or {})
        assert.is_nil(shard)
        assert.is_nil(message:find("\n", 1, true), message)
        assert.are.equal(file or path, message:sub(1, #(file or path)))
        return message
    end

    describe("made by h5py", function()
        it("reads as NVIDIA's script writes it", function()
            local limits = { max_seq_length = 16, max_predictions_per_seq = 4, vocab_size = 90, type_vocab_size = 2 }
            check_fixture(assert(data.read_shard(FIXTURES .. "nvidia.hdf5", limits)))
        end)

        it("reads with wider and unsigned integers", function()
            check_fixture(assert(data.read_shard(FIXTURES .. "wide.hdf5")))
        end)

        it("is refused when an id does not fit", function()
            local message = refusal({}, FIXTURES .. "too_wide.hdf5")
            assert.is_truthy(message:find("input_ids: value 1099511627776 at index 35 does not fit int32", 1, true))
        end)

        it("is probed without reading", function()
            local info = assert(data.probe(FIXTURES .. "nvidia.hdf5"))
            assert.are.same({ samples = 5, max_seq_length = 16, max_predictions_per_seq = 4, bytes = 20160,
                checksum = info.checksum }, info)
            assert.are_not.equal(info.checksum, assert(data.probe(FIXTURES .. "wide.hdf5")).checksum)
        end)
    end)

    it("comes back as written, compressed or not, with a checksum or not", function()
        local values = shards.values(30, 24, 5)
        for _, options in ipairs { { gzip = 0 }, { gzip = 4, checksum = true }, { gzip = 0, checksum = true } } do
            shards.write(path, values, nil, options)
            local shard = assert(data.read_shard(path, { max_seq_length = 24, max_predictions_per_seq = 8 }))
            assert.are.equal(30, shard.samples)
            for n = 1, 30 do
                local row = shard:row(n - 1)
                assert.are.same(values.input_ids[n], row.input_ids)
                assert.are.same(values.segment_ids[n], row.segment_ids)
                assert.are.same(values.masked_lm_positions[n], row.masked_lm_positions)
                assert.are.same(values.masked_lm_ids[n], row.masked_lm_ids)
                assert.are.equal(values.next_sentence_labels[n], row.next_sentence_label)
            end
        end
    end)

    describe("of which only part is kept", function()
        --- The part has exactly the requested rows of the whole.
        local function check_part(file, limits, rows)
            local whole = assert(data.read_shard(file, limits))
            local part = assert(data.read_shard(file, limits, array.int64(rows), #rows))
            assert.are.equal(whole.samples, part.samples)
            assert.are.equal(whole.samples, whole.held)
            assert.are.equal(#rows, part.held)
            for k, row in ipairs(rows) do assert.are.same(whole:row(row), part:row(k - 1)) end
            assert.has_error(function() part:row(#rows) end)
            whole:free()
            part:free()
        end

        it("gives its rows in the order requested, whatever the types in the file", function()
            for _, name in ipairs { "nvidia.hdf5", "wide.hdf5" } do
                check_part(FIXTURES .. name, { vocab_size = 90 }, { 4, 0, 3 })
                check_part(FIXTURES .. name, { vocab_size = 90 }, {})
            end
        end)

        it("is read in blocks of whole chunks, or of rows", function()
            -- A block is 1 MiB: 8192 rows of ids.
            local samples = 9600
            local values = shards.values(samples, 32, 4)
            local rows = {}
            for k = 1, 400 do rows[k] = (k * 3877) % samples end
            rows[401], rows[402] = samples - 1, 8191
            for _, options in ipairs { { gzip = 0 }, { gzip = 4, checksum = true } } do
                shards.write(path, values, nil, options)
                check_part(path, {}, rows)
                local part = assert(data.read_shard(path, {}, array.int64(rows), #rows))
                for k, row in ipairs(rows) do assert.are.same(values.input_ids[row + 1], part:row(k - 1).input_ids) end
            end
        end)

        it("is refused for what is wrong in any row, and for missing rows", function()
            local values = shards.values(20, 16, 4)
            values.masked_lm_positions[7][1] = 16
            shards.write(path, values)
            local _, whole = data.read_shard(path)
            local part, message = data.read_shard(path, {}, array.int64 { 1, 2 }, 2)
            assert.is_nil(part)
            assert.are.equal(whole, message)
            assert.is_truthy(message:find("masked_lm_positions, sample 6: position 16", 1, true), message)
            for _, rows in ipairs { { 0, 20 }, { -1 }, { 3, 4, 3 } } do
                local good, problem = pcall(data.read_shard, path, {}, array.int64(rows), #rows)
                assert.is_false(good)
                assert.is_truthy(problem:find("expected 0..19 and each once", 1, true), problem)
            end
            _, message = data.read_shard(path, { samples = 21 }, array.int64 { 0 }, 1)
            assert.is_truthy(message:find("has 20 samples now, had 21 at the start", 1, true), message)
        end)
    end)

    it("gives the same bytes for the same data", function()
        local values = shards.values(10, 16, 3)
        shards.write(path, values)
        local before = fs.read(path)
        nanosleep { tv_sec = 1, tv_nsec = 50000000 } -- HDF5 would stamp whole seconds
        shards.write(path, values)
        assert.are.equal(before, fs.read(path))
    end)

    it("leaves nothing behind and the older file alone when writing fails", function()
        shards.write(path, shards.values(10, 16, 3))
        local before = fs.read(path)
        assert.has_error(function()
            shards.write(path, shards.values(10, 16, 3), { dtype = { segment_ids = "i32" } }, { gzip = 12 })
        end, nil)
        assert.are.equal(before, fs.read(path))
        assert.are.same({ "a.hdf5" }, fs.list(folder))
    end)

    it("cannot be written into a missing folder", function()
        local good, message = data.write_hdf5(folder .. "/none/x.hdf5", {})
        assert.is_nil(good)
        assert.is_truthy(message:find("none/x.hdf5: cannot create: no such file or folder", 1, true), message)
    end)

    describe("is refused", function()
        local cases = {
            { "a missing dataset", "no dataset masked_lm_ids", { leave_out = { masked_lm_ids = true } } },
            { "floats", "dataset input_ids is float32, expected int8 or int32", { dtype = { input_ids = "f32" } } },
            { "another rank", "dataset input_mask has 1 dimensions, expected 2", { dims = { input_mask = { 320 } } } },
            { "another number of samples", "dataset segment_ids has 10 samples, input_ids has 20",
                { dims = { segment_ids = { 10, 16 } } } },
            { "another length", "dataset segment_ids has length 8, input_ids has 16",
                { dims = { segment_ids = { 20, 8 } } } },
            { "unequal slots", "masked_lm_ids has 2 slots, masked_lm_positions has 4",
                { dims = { masked_lm_ids = { 20, 2 } } } },
        }
        for _, case in ipairs(cases) do
            it("with " .. case[1], function()
                shards.write(path, shards.values(20, 16, 4), case[3])
                local message = refusal()
                assert.is_truthy(message:find(case[2], 1, true), message)
            end)
        end

        local bad_values = {
            { "a token id of the vocabulary's size", "dataset input_ids, sample 3: token id 500 at 4, expected 0..299",
                "input_ids", 4, 5, 500 },
            { "a negative token id", "dataset input_ids, sample 0: token id -1 at 0, expected 0..299",
                "input_ids", 1, 1, -1 },
            { "a hole in the mask", "dataset input_mask, sample 2: value 1 at 3, expected ones",
                "input_mask", 3, 3, 0 },
            { "a mask of twos", "dataset input_mask, sample 2: value 2 at 2", "input_mask", 3, 3, 2 },
            { "a segment of type_vocab_size", "dataset segment_ids, sample 5: segment 2 at 1, expected 0..1",
                "segment_ids", 6, 2, 2 },
            { "a position past the end", "dataset masked_lm_positions, sample 1: position 16 at 0, expected 0..15",
                "masked_lm_positions", 2, 1, 16 },
            { "a position in the padding",
                "dataset masked_lm_positions, sample 1: position 14 at 0 lies in the padding (8 tokens)",
                "masked_lm_positions", 2, 1, 14 },
            { "a negative position", "dataset masked_lm_positions, sample 1: position -2",
                "masked_lm_positions", 2, 1, -2 },
            { "a label outside the vocabulary", "dataset masked_lm_ids, sample 1: label 300 at 1, expected 0..299",
                "masked_lm_ids", 2, 2, 300 },
            { "a label after an unused slot", "dataset masked_lm_ids, sample 3: label 21 at 2 after an unused slot",
                "masked_lm_ids", 4, 3, 21 },
            { "a next-sentence label of 2", "dataset next_sentence_labels, sample 6: label 2, expected 0 or 1",
                "next_sentence_labels", 7, nil, 2 },
        }
        for _, case in ipairs(bad_values) do
            it("with " .. case[1], function()
                local values = shards.values(20, 16, 4)
                if case[5] then values[case[3]][case[4]][case[5]] = case[6] else values[case[3]][case[4]] = case[6] end
                shards.write(path, values)
                local message = refusal { vocab_size = 300, type_vocab_size = 2 }
                assert.is_truthy(message:find(case[2], 1, true), message)
            end)
        end

        it("with a sample without tokens", function()
            local values = shards.values(5, 16, 4)
            for i = 1, 16 do values.input_mask[2][i] = 0 end
            shards.write(path, values)
            assert.is_truthy(refusal():find("input_mask, sample 1: no token", 1, true))
        end)

        it("without samples", function()
            local list = {}
            for _, name in ipairs { "input_ids", "input_mask", "segment_ids", "masked_lm_positions",
                "masked_lm_ids" } do
                list[#list + 1] = { name = name, dtype = "i32", dims = { 0, 16 }, data = nil }
            end
            list[#list + 1] = { name = "next_sentence_labels", dtype = "i8", dims = { 0 }, data = nil }
            assert(data.write_hdf5(path, list))
            assert.is_truthy(refusal():find("a shard without samples", 1, true))
        end)

        it("when its sizes differ from the settings", function()
            shards.write(path, shards.values(20, 16, 4))
            local message = refusal { max_seq_length = 128 }
            assert.is_truthy(message:find("samples are 16 tokens long, max_seq_length is 128; set it to 16", 1, true))
            message = refusal { max_seq_length = 16, max_predictions_per_seq = 3 }
            assert.is_truthy(message:find("has 4 masked slots per sample, max_predictions_per_seq is 3", 1, true))
            assert(data.read_shard(path, { max_seq_length = 16, max_predictions_per_seq = 9 }))
        end)

        it("when there is no such file, or a folder, or another kind of file", function()
            assert.is_truthy(refusal({}, folder .. "/none.hdf5"):find("no such file or folder", 1, true))
            assert.is_truthy(refusal({}, folder):find("not a regular file", 1, true))
            assert(fs.write(path, ("text "):rep(1000)))
            assert.is_truthy(refusal():find("not an HDF5 file", 1, true))
            assert(fs.write(path, ""))
            assert.is_truthy(refusal():find("not an HDF5 file (0 bytes", 1, true))
        end)

        it("when a byte of checksummed data flipped", function()
            shards.write(path, shards.values(400, 32, 4), nil, { gzip = 0, checksum = true })
            local bytes = fs.read(path)
            local middle = math.floor(#bytes / 2)
            assert(fs.write(path, bytes:sub(1, middle) .. string.char((bytes:byte(middle + 1) + 1) % 256)
                .. bytes:sub(middle + 2)))
            assert.is_truthy(refusal():find("damaged: the CRC32C of its bytes is", 1, true))
            -- HDF5's own checksum sees it too, for other programs and where the seal was cut off.
            assert(fs.write(path, assert(fs.read(path)):sub(1, -169)))
            assert.is_truthy(refusal():find("cannot be read: the file is truncated or damaged", 1, true))
        end)

        it("when it was cut off anywhere", function()
            shards.write(path, shards.values(300, 32, 4), nil, { checksum = true })
            local bytes = fs.read(path)
            for i = 0, 60 do
                local length = math.floor((#bytes - 1) * i / 60)
                assert(fs.write(path, bytes:sub(1, length)))
                refusal()
            end
        end)

        it("when bytes are damaged", function()
            shards.write(path, shards.values(40, 16, 4), nil, { gzip = 4, checksum = true })
            local bytes = fs.read(path)
            local rng = require("bertlua.rng").new(1)
            local refused = 0
            for _ = 1, 60 do
                local at = rng:integer(1, #bytes)
                -- In place, without fs.write, whose sync would take longer than everything else.
                local file = io.open(path, "wb")
                file:write(bytes:sub(1, at - 1), string.char(rng:integer(0, 255)), bytes:sub(at + 1))
                file:close()
                local shard, message = data.read_shard(path, { vocab_size = 300, type_vocab_size = 2 })
                if not shard then
                    refused = refused + 1
                    assert.are.equal(path, message:sub(1, #path))
                end
            end
            assert.is_true(refused > 0)
        end)
    end)
end)
