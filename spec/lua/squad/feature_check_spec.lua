--- Which sets of features are not believed. Whole files with such numbers: spec/lua/squad/feature_cache_spec.lua.

local FeatureSet = require "bertlua.squad.feature_set"
local feature_check = require "bertlua.squad.feature_check"

describe("feature check", function()
    --- Two features, "[CLS] q [SEP] w w [SEP]" and "[CLS] [SEP] [SEP]", of a context of two words.
    local function make()
        local set = FeatureSet.new({ features = 2, tokens = 9, doc_tokens = 2 }, { max_seq_length = 6 })
        for i = 0, 8 do set.ids[i] = i end
        set.offsets[1], set.offsets[2] = 6, 9
        set.query_length[0] = 1
        set.start_position[0], set.end_position[0] = 3, 4
        set.example[0], set.example[1] = 1, 2
        set.doc_token[1] = 2
        set.max_first[0], set.max_last[0], set.max_first[1], set.max_last[1] = 3, 4, 1, 0
        set.word_stop[0], set.word_start[1], set.word_stop[1] = 4, 5, 9
        return set
    end

    local LIMITS = { examples = 2, vocab_size = 9 }

    it("accepts what the conversion makes", function()
        assert.is_nil(feature_check.problem(make(), LIMITS))
    end)

    it("names the array that leads out of another", function()
        for _, case in ipairs {
            { "offsets", 0, 1 }, { "offsets", 1, 2 }, { "offsets", 1, 7 }, { "offsets", 2, 10 },
            { "query_length", 0, -1 }, { "query_length", 0, 4 }, { "start_position", 0, 6 }, { "end_position", 1, -1 },
            { "example", 0, 0 }, { "example", 1, 3 }, { "doc_token", 0, 1 }, { "doc_token", 1, 3 },
            { "doc_token", 1, -1 }, { "max_first", 0, 2 }, { "max_last", 0, 5 }, { "ids", 8, 9 }, { "ids", 0, -1 },
            { "word_start", 0, -1 }, { "word_start", 1, 10 },
        } do
            local set = make()
            set[case[1]][case[2]] = case[3]
            assert.are.equal(case[1], feature_check.problem(set, LIMITS))
        end
    end)
end)
