--- Batches of a recipe's own data: what they hold, restart, ranks, reading ahead.

local Tokenizer = require "bertlua.text.tokenizer"
local array = require "bertlua.array"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local stream = require "bertlua.data.stream"
local vocabulary = require "spec.support.vocabulary"

local COUNT = 11

describe("a stream", function()
    local folder, words
    setup(function()
        folder = assert(fs.temporary_folder "stream_spec")
        local names = {}
        for i = 1, 60 do names[i] = "w" .. i end
        assert(fs.write(folder .. "/vocab.txt", vocabulary.text(names)))
        words = Tokenizer.load(folder .. "/vocab.txt", { do_lower_case = true })
    end)
    teardown(function() assert(fs.remove(folder)) end)

    --- Items whose second token is that of their number in the epoch, and whose third is that of the epoch.
    local function source(run)
        local n = 0
        return function()
            n = n + 1
            if n > COUNT then return nil end
            return { text = ("w%d w%d %s"):format(n, 20 + run.epoch, ("w40 "):rep(n % 7)) }
        end
    end

    local function open(options, from)
        local all = { words = words, batch_size = 3, max_seq_length = 12, max_predictions_per_seq = 4, vocab_size = 65,
            seed = 3 }
        for name, value in pairs(options or {}) do all[name] = value end
        return stream.open(from or source, all)
    end

    local function contents(batch)
        local copy = { rows = batch.rows, tokens = batch.tokens, masked = batch.masked }
        for _, name in ipairs(batch.tensors) do copy[name] = batch[name]:tolist() end
        return copy
    end

    local function run(reader, first, last, by)
        local list = {}
        for n = first, last, by or 1 do list[n] = contents(reader:batch(n)) end
        return list
    end

    --- The batch's ids before masking, sequence by sequence, as words.
    local function texts(batch)
        local ids, list = array.wrap(batch.ids), {}
        local index, labels = array.wrap(batch.masked_index), array.wrap(batch.masked_labels)
        local plain = {}
        for i = 0, batch.rows - 1 do plain[i] = ids[i] end
        for k = 0, batch.masked - 1 do plain[index[k]] = labels[k] end
        for b, segment in ipairs(batch.segments:tolist()) do
            local tokens = {}
            for i = 0, segment[2] - 1 do tokens[i + 1] = words:token(plain[segment[1] + i]) end
            list[b] = table.concat(tokens, " ")
        end
        return list
    end

    it("tells a position ahead without reading anything twice", function()
        local calls = 0
        local reader = open({}, function(...)
            calls = calls + 1
            return source(...)
        end)
        reader:start(0)
        assert.are.equal(6, reader:position(2).item)
        local expected = open {}
        for n = 0, 2 do assert.are.same(contents(expected:batch(n)), contents(reader:batch(n))) end
        assert.are.equal(1, calls)
        -- Of two ranks, the batches of the other one are not kept.
        reader = open({ rank = 1, ranks = 2 }, function(...)
            calls = calls + 1
            return source(...)
        end)
        reader:start(0)
        reader:position(2)
        assert.are.same({ [1] = true }, { [1] = reader.queue[1] ~= nil, [0] = reader.queue[0] })
        assert.are.same(contents(expected:batch(1)), contents(reader:batch(1)))
        assert.are.equal(2, calls)
    end)

    it("tokenizes, masks and batches items, epoch after epoch", function()
        for _, packed in ipairs { false, true } do
            local reader = open { pack_sequences = packed }
            assert.are.same({ "[CLS] w1 w21 w40 [SEP]", "[CLS] w2 w21 w40 w40 [SEP]",
                "[CLS] w3 w21 w40 w40 w40 [SEP]" }, texts(reader:batch(0)))
            local batch = reader:batch(3)
            assert.are.same({ "[CLS] w10 w21 w40 w40 w40 [SEP]", "[CLS] w11 w21 w40 w40 w40 w40 [SEP]",
                "[CLS] w1 w22 w40 [SEP]" }, texts(batch))
            assert.are.equal(packed and 64 or 36, batch.rows)
            assert.are.equal(7 + 8 + 5, batch.tokens)
            assert.are.equal(3, batch.masked)
            assert.are.same({ -1, -1, -1 }, batch.nsp_labels:tolist())
        end
    end)

    it("draws new masks for the same item in every epoch", function()
        local masks = {}
        local reader = open({ batch_size = 1 }, function() return { ("w1 "):rep(10) } end)
        for n = 0, 9 do masks[reader:batch(n).masked_index:tolist()[1]] = true end
        local different = 0
        for _ in pairs(masks) do different = different + 1 end
        assert.is_true(different > 3)
    end)

    it("gives pairs two types, and the label of the next sentence", function()
        local function pairs_of() return { { text = "w1 w2", pair = "w3", label = 1 },
            { ids = { 6, 7 }, pair = { 8 }, label = 0 }, "w5" } end
        local batch = open({}, pairs_of):batch(0)
        assert.are.same({ "[CLS] w1 w2 [SEP] w3 [SEP]", "[CLS] w2 w3 [SEP] w4 [SEP]", "[CLS] w5 [SEP]" }, texts(batch))
        assert.are.same({ 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0 }, { unpack(batch.types:tolist(), 1, 12) })
        assert.are.same({ 1, 0, -1 }, batch.nsp_labels:tolist())
        assert.are.same({ -1, -1, -1 }, open({ next_sentence = false }, pairs_of):batch(0).nsp_labels:tolist())
    end)

    local VARIANTS = { {}, { pack_sequences = true }, { shuffle_buffer = 5 }, { ahead = true },
        { shuffle_buffer = 100, pack_sequences = true, few_shapes = true } }
    for number, options in ipairs(VARIANTS) do
        it(("continues at a position as if it had never stopped, variant %d"):format(number), function()
            local all = run(open(options), 0, 15)
            for _, stop in ipairs { 1, 4, 7, 11 } do
                local before = open(options)
                run(before, 0, stop - 1)
                before:prepare()
                local position = before:position(stop)
                local after = open(options)
                assert.is_true(after:start(stop, position))
                assert.are.same({ unpack(all, stop, 15) }, { unpack(run(after, stop, 15), stop, 15) })
            end
            -- Without a position, from the first item on.
            local after = open(options)
            assert.is_true(after:start(9))
            assert.are.same(all[9], contents(after:batch(9)))
        end)

        it(("gives ranks what one process has, variant %d"):format(number), function()
            local alone = open(options)
            local all = run(alone, 0, 11)
            for rank = 0, 2 do
                local changes = { rank = rank, ranks = 3 }
                for name, value in pairs(options) do changes[name] = value end
                local reader = open(changes)
                for n = rank, 11, 3 do
                    assert.are.same(all[n], contents(reader:batch(n)))
                    reader:prepare()
                end
                assert.are.same(alone:position(12), reader:position(12))
            end
        end)

        it(("repeats an earlier batch, variant %d"):format(number), function()
            local reader = open(options)
            local all = run(reader, 0, 9)
            reader:prepare()
            for _, n in ipairs { 9, 2, 3, 8, 0, 1, 2 } do assert.are.same(all[n], contents(reader:batch(n))) end
        end)
    end

    it("notices that the data differ from those of a position", function()
        local reader = open()
        run(reader, 0, 4)
        local position, called = reader:position(5), 0
        assert.are.same({ 2, 4 }, { position.epoch, position.item })
        local other = open({}, function() return { "w1", "w2", "w3", "w4", "w5" } end)
        local same, problem = other:start(5, position, function() called = called + 1 end)
        assert.is_false(same)
        assert.are.equal("the first 4 items of epoch 2 are others", problem)
        assert.are.equal(4, called)
        assert.are.same({ "[CLS] w5 [SEP]", "[CLS] w1 [SEP]", "[CLS] w2 [SEP]" }, texts(other:batch(5)))
    end)

    it("knows where a batch begins that could not be read to its end, and the batches of the step before it", function()
        local broken = true
        local function failing(epoch_run)
            local take, n = source(epoch_run), 0
            return function()
                n = n + 1
                if broken and n == 8 then error "a disk that fails" end
                return take()
            end
        end
        local reader = open(nil, failing)
        local whole = run(open(), 0, 3)
        run(reader, 0, 1)
        assert.is_false((pcall(reader.batch, reader, 2)))
        broken = false
        for from = 0, 2 do
            local again = open(nil, failing)
            assert.is_true(again:start(from, reader:position(from)))
            assert.are.same({ [2] = whole[2] }, run(again, 2, 2))
        end
    end)

    it("counts what it cuts, and tells the first", function()
        local told = {}
        local reader = open({ tell = function(line) told[#told + 1] = line end },
            function() return { "w1", ("w2 "):rep(11), ("w3 "):rep(20) } end)
        assert.are.equal("[CLS]" .. (" w3"):rep(10) .. " [SEP]", texts(reader:batch(0))[3])
        assert.are.same({ "data, item 2 of epoch 1: cut to max_seq_length 12; others are only counted" }, told)
        assert.are.equal("epoch 1, 3 items of it read; 2 of 3 cut to 12 tokens", reader:summary())
    end)

    it("refuses items that do not fit the model or its objectives", function()
        local function refused(pattern, item, options)
            local ok, message = pcall(function()
                open(options, function() return { item } end):batch(0)
            end)
            assert.is_false(ok)
            assert.is_true(fault.is(message), tostring(message))
            assert.matches(pattern, tostring(message))
        end
        local FORM = "^data, item 1 of epoch 1 %(function at .*stream_spec%.lua:%d+%): got "
        refused(FORM .. "label = 2, expected 0 %(the pair follows", { text = "w1", pair = "w2", label = 2 })
        refused(FORM .. "no pair, expected .* for the objective \"nsp\"; with objectives = { \"mlm\" }, text is enough",
            "w1", { next_sentence = "required" })
        refused(FORM .. "no label, expected", { text = "w1", pair = "w2" }, { next_sentence = "required" })
        refused(FORM .. "no pair, expected", { text = "w1", label = 0 })
        refused(FORM .. "a pair, expected single texts: the model has type_vocab_size 1", { text = "w1", pair = "w2" },
            { type_vocab_size = 1 })
        refused("^%-%-max%-predictions%-per%-seq 80 is more than %-%-max%-seq%-length 12", "w1",
            { max_predictions_per_seq = 80 })
        local ok, message = pcall(open().batch, open { ranks = 2 }, 1)
        assert.is_false(ok)
        assert.matches("stream: there is no batch 1 of rank 0 of 2", message)
    end)
end)
