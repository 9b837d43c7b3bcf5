--- Parts of a feature set: kept in files, and joined to one set whose sequences are laid out. The choice of windows to
-- train on: spec/lua/data/sequences_spec.lua.

local FeatureSet = require "bertlua.squad.feature_set"
local fs = require "bertlua.util.fs"

local WORDS = { cls_id = 101, sep_id = 102 }

local function add(column, values)
    local data, first = FeatureSet.extend(column, #values)
    for i, value in ipairs(values) do data[first + i - 1] = value end
end

--- A part with one question and one context, and a feature for each of its windows {first token, tokens}.
local function part_of(query, doc, windows, example)
    local part = FeatureSet.new_part()
    add(part.query_ids, query)
    add(part.doc_ids, doc)
    for i = 1, #doc do
        add(part.word_start, { 10 * i })
        add(part.word_stop, { 10 * i + 5 })
    end
    for span, window in ipairs(windows) do
        add(part.query, { 0 })
        add(part.query_length, { #query })
        add(part.doc_token, { window[1] })
        add(part.window, { window[2] })
        add(part.example, { example })
        add(part.span, { span - 1 })
        add(part.start_position, { window[3] or 0 })
        add(part.end_position, { window[3] or 0 })
        add(part.max_first, { #query + 2 })
        add(part.max_last, { #query + 1 + window[2] })
    end
    return part
end

local function values_of(data, count)
    local list = {}
    for i = 0, count - 1 do list[i + 1] = tonumber(data[i]) end
    return list
end

local function two_parts()
    return { part_of({ 1, 2 }, { 11, 12, 13 }, { { 0, 2 }, { 1, 2, 4 } }, 1), part_of({ 3 }, { 21 }, { { 0, 1 } }, 2) }
end

describe("a feature set", function()
    it("lays out the sequences of its parts", function()
        local settings = { max_seq_length = 16 }
        local set = FeatureSet.join(two_parts(), settings, WORDS)
        assert.are.equal(settings, set.settings)
        assert.are.equal("FeatureSet(3 features, 19 tokens)", tostring(set))
        assert.are.same({ 0, 7, 14, 19 }, values_of(set.offsets, 4))
        assert.are.same({ 101, 1, 2, 102, 11, 12, 102, 101, 1, 2, 102, 12, 13, 102, 101, 3, 102, 21, 102 },
            values_of(set.ids, set.tokens))
        assert.are.same({ 7, 7, 5 }, { set:length(0), set:length(1), set:length(2) })
        -- Context tokens of the second part stand behind those of the first.
        assert.are.same({ 0, 1, 3 }, values_of(set.doc_token, 3))
        assert.are.same({ 10, 20, 30, 10 }, values_of(set.word_start, set.doc_tokens))
        assert.are.same({ { first = 0, last = 1 }, { first = 2, last = 2 } }, set:by_example())
    end)

    it("is made of sequences with two labels", function()
        local sequences = FeatureSet.join(two_parts(), { max_seq_length = 16 }, WORDS):sequences()
        assert.are.same({ 3, 16 }, { sequences.count, sequences.max_length })
        assert.are.same({ 4, 4, 3 }, values_of(sequences.first_length, 3))
        assert.are.same({ 0, 4, 0 }, values_of(sequences.labels.starts, 3))
    end)

    it("may be empty", function()
        local set = FeatureSet.join({ FeatureSet.new_part() }, {}, WORDS)
        assert.are.same({ 0, 0, 0 }, { set.count, set.tokens, set.offsets[0] })
        assert.are.same({}, set:by_example())
    end)

    it("has the same arrays with and without parts", function()
        local set, sizes = FeatureSet.join(two_parts(), {}, WORDS), { features = 3, tokens = 19, doc_tokens = 4 }
        local made = FeatureSet.new(sizes, {}):arrays()
        for i, item in ipairs(set:arrays()) do
            assert.are.same({ item[1], item[3] }, { made[i][1], made[i][3] })
        end
        assert.are.equal(#made, #set:arrays())
    end)

    it("grows its columns beyond their first size", function()
        local part, long = FeatureSet.new_part(), {}
        for i = 1, 3000 do long[i] = i end
        add(part.doc_ids, { 7 })
        add(part.doc_ids, long)
        assert.are.equal(3001, FeatureSet.sizes(part).doc_tokens)
        assert.are.same({ 7, 1, 3000 }, { part.doc_ids.data[0], part.doc_ids.data[1], part.doc_ids.data[3000] })
    end)
end)

describe("a part in a file", function()
    local folder
    setup(function() folder = assert(fs.temporary_folder "feature_set_spec") end)
    teardown(function() fs.remove(folder) end)

    it("comes back as it was", function()
        local path, read = folder .. "/part", {}
        for i, part in ipairs(two_parts()) do
            assert(FeatureSet.write_part(path, part))
            read[i] = assert(FeatureSet.read_part(path, FeatureSet.sizes(part)))
        end
        local expected = FeatureSet.join(two_parts(), {}, WORDS):arrays()
        for i, item in ipairs(FeatureSet.join(read, {}, WORDS):arrays()) do
            assert.are.same(values_of(expected[i][2], expected[i][3]), values_of(item[2], item[3]), item[1])
        end
    end)

    it("is refused where it is short or gone, and cannot be written where no folder is", function()
        local path, part = folder .. "/short", two_parts()[1]
        assert(FeatureSet.write_part(path, part))
        local text = assert(fs.read(path))
        assert(fs.write(path, text:sub(1, -2)))
        local read, message = FeatureSet.read_part(path, FeatureSet.sizes(part))
        assert.is_nil(read)
        assert.are.equal(path .. ": shorter than when it was written", message)
        read, message = FeatureSet.read_part(folder .. "/none", FeatureSet.sizes(part))
        assert.is_nil(read)
        assert.matches("/none", message)
        read, message = FeatureSet.write_part(folder .. "/none/part", part)
        assert.is_nil(read)
        assert.matches("/none/part", message)
    end)
end)
