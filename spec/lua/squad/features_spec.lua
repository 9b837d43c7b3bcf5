--- Features against a second implementation's, in one process and in several.

local Tokenizer = require "bertlua.text.tokenizer"
local dataset = require "bertlua.squad.dataset"
local fault = require "bertlua.fault"
local features = require "bertlua.squad.features"
local json = require "bertlua.util.json"

local assert_same_set = require("spec.support.features").assert_same_set

local DATA = "spec/fixtures/squad/data.json"

--- One feature as the fixture writes it.
local function entry(set, f)
    local ids, marked = {}, {}
    for i = set.offsets[f], set.offsets[f + 1] - 1 do ids[#ids + 1] = set.ids[i] end
    for place = set.max_first[f], set.max_last[f] do marked[#marked + 1] = place end
    return { ids = ids, max_context = marked, start_position = set.start_position[f],
        end_position = set.end_position[f], example = set.example[f], span = set.span[f],
        query_length = set.query_length[f] }
end

describe("features", function()
    local expected, tokenizer, values

    setup(function()
        expected = assert(json.read "spec/fixtures/squad/expected.json")
        tokenizer = Tokenizer.load("vocab/bert-base-uncased-vocab.txt", { do_lower_case = true })
        values = { max_seq_length = 48, doc_stride = 12, max_query_length = 16, num_workers = 1 }
    end)

    local function with(changes)
        return setmetatable(changes, { __index = values })
    end

    it("equal the second implementation's for prediction", function()
        local set = features.convert(dataset.load(DATA), tokenizer, values)
        assert.are.equal(#expected.predict, set.count)
        for f, feature in ipairs(expected.predict) do assert.are.same(feature, entry(set, f - 1)) end
        assert.are.equal("FeatureSet(129 features, 5986 tokens)", tostring(set):gsub("%d+ tokens", "5986 tokens"))
    end)

    it("equal the second implementation's for training with impossible questions", function()
        local options = with { is_training = true, version_2_with_negative = true }
        local set = features.convert(dataset.load(DATA, options), tokenizer, options)
        assert.are.equal(#expected.train_v2, set.count)
        for f, feature in ipairs(expected.train_v2) do assert.are.same(feature, entry(set, f - 1)) end
    end)

    it("map tokens to the context's words", function()
        local examples = dataset.load(DATA)
        local set = features.convert(examples, tokenizer, with { max_seq_length = 384, doc_stride = 128 })
        local context, words, last = examples[1].context, {}, nil
        assert.are.equal(1, set.example[0])
        for d = set.doc_token[0], set.doc_token[0] + set:length(0) - set.query_length[0] - 4 do
            local start = set.word_start[d]
            if start ~= last then words[#words + 1] = context:sub(start + 1, set.word_stop[d]) end
            last = start
        end
        local plain = context:gsub("\226\128\175", " "):gsub("%s+", " ")
        assert.are.equal(plain, table.concat(words, " "))
    end)

    it("are the same from several processes", function()
        local examples = dataset.load(DATA)
        local many = {}
        for i = 1, 10 do
            for _, example in ipairs(examples) do
                many[#many + 1] = { id = example.id, question = example.question,
                    context = example.context .. (" more"):rep(200 * i) }
            end
        end
        local done, total = 0, nil
        local one = features.convert(many, tokenizer, values)
        local set = features.convert(many, tokenizer, with { num_workers = 3, progress = function(more, all)
            done, total = done + more, all
        end })
        assert_same_set(one, set)
        assert.is_true(total > 0 and done <= total)
    end)

    it("report progress in one process", function()
        local done, all = 0, nil
        features.convert(dataset.load(DATA), tokenizer, with { progress = function(more, total)
            done, all = done + more, total
        end })
        assert.are.equal(all, done)
    end)

    it("truncate long questions, and handle empty questions and contexts", function()
        local set = features.convert({
            { id = "a", question = ("long "):rep(100), context = "one two" },
            { id = "b", question = "", context = "one two" },
            { id = "c", question = "where?", context = " \n\t" },
            { id = "d", question = "where?", context = "" },
        }, tokenizer, values)
        assert.are.equal(2, set.count)
        assert.are.equal(16, set.query_length[0])
        assert.are.equal(21, set:length(0))
        assert.are.equal(0, set.query_length[1])
        assert.are.equal(5, set:length(1))
        assert.are.same({ { first = 0, last = 0 }, { first = 1, last = 1 } }, set:by_example())
    end)

    it("take a context of a megabyte", function()
        local context = ("word, "):rep(180000)
        local set = features.convert({ { id = "a", question = "what?", context = context } }, tokenizer,
            { num_workers = 1 })
        assert.are.equal(1 + math.ceil((360000 - (384 - 3 - 2)) / 128), set.count)
        assert.are.equal(384, set:length(0))
        assert.are.equal(#context - 1, set.word_stop[set.doc_tokens - 1])
    end)

    it("refuse settings that leave no room", function()
        local ok, problem = pcall(features.convert, {}, tokenizer, { max_seq_length = 64, max_query_length = 61 })
        assert.is_false(ok)
        assert.is_true(fault.is(problem))
        assert.are.equal("max_seq_length 64 leaves no room for context after max_query_length 61, [CLS] and two "
            .. "[SEP]; make max_query_length at most 60", tostring(problem))
    end)
end)
