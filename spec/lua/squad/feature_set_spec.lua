--- Features in flat arrays: parts that travel and are joined, windows to train on. Features of real text:
-- features_spec.lua.

local FeatureSet = require "bertlua.squad.feature_set"
local fs = require "bertlua.util.fs"

local TOKENIZER = { cls_id = 1, sep_id = 2 }

local function push(vector, ...)
    local n = select("#", ...)
    local data, at = FeatureSet.extend(vector, n)
    for i = 1, n do data[at + i - 1] = (select(i, ...)) end
    return at
end

--- A part with one example: its question, its context, and windows {first, length, start, end} of the context.
local function part_of(example, question, context, windows)
    local part = FeatureSet.new_part()
    local query = push(part.query_ids, unpack(question))
    local doc = push(part.doc_ids, unpack(context))
    for i = 1, #context do
        push(part.word_start, 10 * i)
        push(part.word_stop, 10 * i + 5)
    end
    for span, window in ipairs(windows) do
        for name, value in pairs { query_length = #question, start_position = window[3] or 0,
            end_position = window[4] or 0, example = example, span = span - 1, doc_token = doc + window[1],
            max_first = 0, max_last = 1, window = window[2], query = query } do
            push(part[name], value)
        end
    end
    return part
end

local function parts()
    return {
        part_of(1, { 11, 12 }, { 21, 22, 23 }, { { 0, 2, 4, 5 }, { 1, 2 } }),
        part_of(2, { 13 }, { 31 }, { { 0, 1 } }),
    }
end

local function join()
    return FeatureSet.join(parts(), { max_seq_length = 16 }, TOKENIZER)
end

local function sequence(set, f)
    local ids = {}
    for i = set.offsets[f], set.offsets[f + 1] - 1 do ids[#ids + 1] = set.ids[i] end
    return ids
end

describe("FeatureSet", function()
    it("joins parts: [CLS] question [SEP] window [SEP]", function()
        local set = join()
        assert.are.same({ 3, 4 }, { set.count, set.doc_tokens })
        assert.are.same({ 1, 11, 12, 2, 21, 22, 2 }, sequence(set, 0))
        assert.are.same({ 1, 11, 12, 2, 22, 23, 2 }, sequence(set, 1))
        assert.are.same({ 1, 13, 2, 31, 2 }, sequence(set, 2))
        assert.are.same({ 7, 5, 19 }, { set:length(0), set:length(2), set.tokens })
        -- Context positions count through all parts.
        assert.are.same({ 0, 1, 3 }, { set.doc_token[0], set.doc_token[1], set.doc_token[2] })
        assert.are.same({ 10, 10 }, { set.word_start[0], set.word_start[3] })
        assert.are.equal("FeatureSet(3 features, 19 tokens)", tostring(set))
    end)

    it("sends parts through files", function()
        local folder = assert(fs.temporary_folder())
        local list = {}
        for i, part in ipairs(parts()) do
            local path = ("%s/%d"):format(folder, i)
            assert(FeatureSet.write_part(path, part))
            list[i] = assert(FeatureSet.read_part(path, FeatureSet.sizes(part)))
        end
        local set, expected = FeatureSet.join(list, {}, TOKENIZER), join()
        for f = 0, 2 do assert.are.same(sequence(expected, f), sequence(set, f)) end
        local sizes = FeatureSet.sizes(list[1])
        assert.are.same({ features = 2, doc_tokens = 3, query_tokens = 2 }, sizes)
        sizes.features = 3
        local none, message = FeatureSet.read_part(folder .. "/1", sizes)
        assert.is_nil(none)
        assert.is_truthy(message:find(folder .. "/1: ", 1, true), message)
        assert.is_nil((FeatureSet.read_part(folder .. "/3", sizes)))
        assert.is_nil((FeatureSet.write_part(folder .. "/none/1", list[1])))
        fs.remove(folder)
    end)

    it("grows without losing a value", function()
        local part = FeatureSet.new_part()
        for i = 0, 4999 do push(part.doc_ids, i) end
        for i = 0, 4999 do assert.is_true(part.doc_ids.data[i] == i) end
    end)

    it("puts all its arrays into a file, except those needed only for joining", function()
        local names = {}
        for _, item in ipairs(join():arrays()) do names[item[1]] = item[3] end
        assert.are.same({ ids = 19, offsets = 4, query_length = 3, start_position = 3, end_position = 3, example = 3,
            span = 3, doc_token = 3, max_first = 3, max_last = 3, word_start = 4, word_stop = 4 }, names)
        local empty = FeatureSet.new({ features = 3, tokens = 19, doc_tokens = 4 }, {})
        assert.are.equal(#join():arrays(), #empty:arrays())
    end)

    it("knows the features of each example", function()
        assert.are.same({ { first = 0, last = 1 }, { first = 2, last = 2 } }, join():by_example())
    end)

    it("trains on a share of the windows without their answer, and on all others", function()
        -- 200 examples of two windows, the first with the answer; and one without an answer.
        local list = {}
        for i = 1, 200 do list[i] = part_of(i, { 11 }, { 21, 22 }, { { 0, 1, 3, 3 }, { 1, 1 } }) end
        list[201] = part_of(201, { 11 }, { 21, 22 }, { { 0, 1 }, { 1, 1 } })
        local set = FeatureSet.join(list, {}, TOKENIZER)
        local function kept(share, seed)
            local features, count = set:training_features(share, seed)
            local numbers = {}
            for i = 0, count - 1 do
                numbers[i + 1] = features[i]
                assert.is_true(i == 0 or features[i] > features[i - 1])
            end
            return numbers
        end
        assert.are.equal(402, #kept(1, 1))
        assert.are.equal(202, #kept(0, 1))
        local half = kept(0.5, 1)
        assert.is_true(#half > 202 + 60 and #half < 202 + 140, #half)
        assert.are.same(half, kept(0.5, 1))
        assert.are_not.same(half, kept(0.5, 2))
        -- A larger share includes what a smaller one kept.
        local wider = {}
        for _, f in ipairs(kept(0.7, 1)) do wider[f] = true end
        for _, f in ipairs(half) do assert.is_true(wider[f]) end
    end)

    it("is a set of labelled sequences", function()
        local sequences = join():sequences()
        assert.are.same({ 3, 4, 3, 16 }, { sequences.count, sequences.first_length[0], sequences.first_length[2],
            sequences.max_length })
        assert.are.same({ 4, 5 }, { sequences.labels.starts[0], sequences.labels.ends[0] })
    end)
end)
