--- Sequences out of a corpus: every token once, in order, full; pairs for next sentences.

local array = require "bertlua.array"
local packing = require "bertlua.data.packing"

local WORDS = { cls_id = 2, sep_id = 3, mask_id = 4 }

--- A corpus whose token t has the id 10 + t. `documents` are lists of sentence lengths.
local function corpus_of(documents)
    local document_starts, sentence_starts, tokens = { 0 }, { 0 }, 0
    for d, document in ipairs(documents) do
        for _, length in ipairs(document) do
            tokens = tokens + length
            sentence_starts[#sentence_starts + 1] = tokens
        end
        document_starts[d + 1] = #sentence_starts - 1
    end
    local ids = array.int32(tokens)
    for t = 0, tokens - 1 do ids[t] = 10 + t end
    return { documents = #documents, sentences = #sentence_starts - 1, token_count = tokens, tokens = ids,
        document_starts = array.int32(document_starts), sentence_starts = array.int32(sentence_starts) }
end

local function sequence(set, s)
    local target = array.int32(set.max_length + 1)
    target[set.max_length] = -7
    local length, first, label = set:fill(s, target)
    assert(target[set.max_length] == -7)
    local list = {}
    for i = 1, length do list[i] = target[i - 1] end
    return list, first, label
end

describe("full sequences", function()
    it("run on over documents, with a separator between them", function()
        local set = packing.full(corpus_of { { 3, 2 }, { 1 }, { 6 } }, WORDS, 8)
        assert.are.equal(3, set.count)
        local list, first, label = sequence(set, 0)
        -- Five tokens, and no room for a separator and a token.
        assert.are.same({ 2, 10, 11, 12, 13, 14, 3 }, list)
        assert.are.same({ 7, -1 }, { first, label })
        assert.are.same({ 2, 15, 3, 16, 17, 18, 19, 3 }, (sequence(set, 1)))
        assert.are.same({ 2, 20, 21, 3 }, (sequence(set, 2)))
        assert.are.equal(7 + 8 + 4, set.positions)
    end)

    it("hold every token of the corpus once and in order, whatever the lengths", function()
        local state = 5
        local function draw(n)
            state = (state * 48271) % 2147483647
            return 1 + state % n
        end
        for length = 3, 20 do
            local documents = {}
            for d = 1, 30 do
                documents[d] = {}
                for s = 1, draw(3) do documents[d][s] = draw(length) end
            end
            local corpus = corpus_of(documents)
            local set, expected, positions = packing.full(corpus, WORDS, length), 10, 0
            for s = 0, set.count - 1 do
                local list = sequence(set, s)
                assert.is_true(#list <= length and (#list >= length - 1 or s == set.count - 1))
                assert.are.same({ 2, 3 }, { list[1], list[#list] })
                for i = 2, #list - 1 do
                    if list[i] == 3 then
                        -- Between two tokens, never beside a border.
                        assert.is_true(list[i - 1] >= 10 and list[i + 1] >= 10)
                    else
                        assert.are.equal(expected, list[i])
                        expected = expected + 1
                    end
                end
                positions = positions + #list
            end
            assert.are.equal(10 + corpus.token_count, expected)
            assert.are.equal(set.positions, positions)
        end
        assert.has_error(function() packing.full(corpus_of { { 1 } }, WORDS, 2) end)
    end)
end)

describe("pairs", function()
    it("follow each other or come from another document, as their label says", function()
        local documents = {}
        for d = 1, 40 do documents[d] = { 3, 4, 2, 5, 3 } end
        local corpus = corpus_of(documents)
        local set = packing.pairs(corpus, WORDS, 16, 7)
        local random, positions = 0, 0
        local function document_of(id) return math.floor((id - 10) / 17) end
        for s = 0, set.count - 1 do
            local list, first, label = sequence(set, s)
            positions = positions + #list
            assert.is_true(#list <= 16)
            assert.are.same({ 2, 3, 3 }, { list[1], list[first], list[#list] })
            random = random + label
            local a, b = document_of(list[first - 1]), document_of(list[first + 1])
            assert.are.equal(label == 0, a == b, ("%d: documents %d and %d"):format(label, a, b))
        end
        assert.are.same({ set.random, set.positions }, { random, positions })
        assert.is_true(random > 0.4 * set.count and random < 0.75 * set.count)
        assert.are.same({ sequence(set, 3) }, { sequence(packing.pairs(corpus, WORDS, 16, 7), 3) })
        local other = packing.pairs(corpus, WORDS, 16, 8)
        assert.are_not.same({ sequence(set, 3), sequence(set, 5) }, { sequence(other, 3), sequence(other, 5) })
    end)
end)
