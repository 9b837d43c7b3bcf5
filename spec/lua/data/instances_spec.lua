--- Sampling of sentence pairs, checked against its rules.

local array = require "bertlua.array"
local instances = require "bertlua.data.instances"
local random = require "bertlua.rng"

--- A corpus whose sentence lengths are drawn from a seed.
local function make_corpus(documents, max_sentences, max_length, seed)
    local rng = random.new(seed)
    local document_starts, sentence_starts, tokens = { 0 }, {}, 0
    for d = 1, documents do
        for _ = 1, rng:integer(1, max_sentences) do
            sentence_starts[#sentence_starts + 1] = tokens
            tokens = tokens + rng:integer(1, max_length)
        end
        document_starts[d + 1] = #sentence_starts
    end
    sentence_starts[#sentence_starts + 1] = tokens
    return {
        documents = documents,
        document_starts = array.int32(document_starts),
        sentence_starts = array.int32(sentence_starts),
        sentences = #sentence_starts - 1,
        tokens = tokens,
    }
end

local function create(corpus, change, seed)
    local options = { max_seq_length = 64, short_seq_prob = 0.1, dupe_factor = 1 }
    for name, value in pairs(change or {}) do options[name] = value end
    local list = {}
    local sink = {
        add = function(_, first_begin, first_length, second_begin, second_length, random_next)
            list[#list + 1] = { a = first_begin, an = first_length, b = second_begin, bn = second_length,
                random = random_next }
        end,
    }
    local _, counts = instances.create(corpus, random.new(seed or 1), options, sink)
    return list, counts
end

local function document_of(corpus, token)
    for d = 0, corpus.documents - 1 do
        if token < corpus.sentence_starts[corpus.document_starts[d + 1]] then return d end
    end
end

describe("instances", function()
    local corpus = make_corpus(60, 30, 25, 5)

    it("are counted, with their tokens, masks and labels", function()
        local list, counts = create(corpus, { masked_lm_prob = 0.2, max_predictions_per_seq = 9 })
        local positions, masked, randoms = 0, 0, 0
        for _, one in ipairs(list) do
            local length = one.an + one.bn + 3
            positions = positions + length
            masked = masked + math.min(9, math.max(1, math.floor(length * 0.2 + 0.5)))
            if one.random then randoms = randoms + 1 end
        end
        assert.is_true(randoms > 0 and randoms < #list)
        assert.are.same({ positions = positions, masked = masked, random = randoms }, counts)
    end)

    it("keep both spans, within one document each, and their sum at most S - 3", function()
        for _, length in ipairs { 5, 8, 64, 128 } do
            local list = create(corpus, { max_seq_length = length, dupe_factor = 2 })
            assert.is_true(#list > 100)
            for _, one in ipairs(list) do
                assert.is_true(one.an >= 1 and one.bn >= 1 and one.an + one.bn <= length - 3)
                assert.are.equal(document_of(corpus, one.a), document_of(corpus, one.a + one.an - 1))
                assert.are.equal(document_of(corpus, one.b), document_of(corpus, one.b + one.bn - 1))
            end
        end
    end)

    it("mark as random next exactly what comes from another document", function()
        local randoms = 0
        for _, one in ipairs(create(corpus, { dupe_factor = 5 })) do
            local same = document_of(corpus, one.a) == document_of(corpus, one.b)
            assert.are.equal(not same, one.random)
            if not one.random then
                -- The true next span starts where the first ended, apart from what was cut off.
                assert.is_true(one.b >= one.a + one.an)
            end
            if one.random then randoms = randoms + 1 end
        end
        assert.is_true(randoms > 0)
    end)

    it("draw a random next half of the time where there is a choice", function()
        -- Long documents of short sentences: every chunk but the last ones holds several.
        local long = make_corpus(20, 400, 6, 9)
        local list, randoms = create(long, { dupe_factor = 12, short_seq_prob = 0 }), 0
        for _, one in ipairs(list) do if one.random then randoms = randoms + 1 end end
        assert.is_true(#list > 3000, tostring(#list))
        -- Six standard deviations of 3000 coin tosses are 0.055; the odd chunk of one sentence is always random.
        assert.is_true(math.abs(randoms / #list - 0.5) < 0.06, tostring(randoms / #list))
    end)

    it("always draw a random next for a chunk of one sentence", function()
        local single = make_corpus(50, 1, 100, 3)
        local list = create(single)
        assert.are.equal(50, #list)
        for _, one in ipairs(list) do assert.is_true(one.random) end
    end)

    it("mark the only document's samples as true next", function()
        for _, one in ipairs(create(make_corpus(1, 40, 20, 2), { dupe_factor = 3 })) do
            assert.is_false(one.random)
        end
    end)

    it("use every sentence of a document at least once as a first or second span", function()
        -- Sentences far below the target length, so that nothing is cut off: each must turn up.
        local short = make_corpus(30, 20, 3, 4)
        local list = create(short, { max_seq_length = 300, short_seq_prob = 0 })
        local seen = {}
        for _, one in ipairs(list) do
            for token = one.a, one.a + one.an - 1 do seen[token] = true end
            for token = one.b, one.b + one.bn - 1 do seen[token] = true end
        end
        for token = 0, short.tokens - 1 do assert.is_true(seen[token], "token " .. token) end
    end)

    it("fill the length, except for a share of about short_seq_prob", function()
        local long = make_corpus(20, 400, 6, 9)
        local function share_below(list, length)
            local count = 0
            for _, one in ipairs(list) do
                if one.an + one.bn < length then count = count + 1 end
            end
            return count / #list
        end
        local full = create(long, { short_seq_prob = 0, dupe_factor = 3 })
        local mixed = create(long, { short_seq_prob = 0.3, dupe_factor = 3 })
        local short = create(long, { short_seq_prob = 1, dupe_factor = 3 })
        -- Only chunks at the end of a document fall short when nothing is meant to.
        local low, high = share_below(full, 55), share_below(short, 55)
        local middle = share_below(mixed, 55)
        assert.is_true(low < 0.15, tostring(low))
        assert.is_true(high > 0.7, tostring(high))
        assert.is_true(low + 0.05 < middle and middle + 0.05 < high, tostring(middle))
    end)

    it("cut front and back with equal chance", function()
        -- One sentence of 40 tokens per document: A and B are each cut at their ends.
        local starts, documents = {}, {}
        for d = 0, 200 do
            starts[d + 1], documents[d + 1] = d * 40, d
        end
        local even = { documents = 200, document_starts = array.int32(documents),
            sentence_starts = array.int32(starts) }
        local front, total = 0, 0
        for _, one in ipairs(create(even, { max_seq_length = 43, short_seq_prob = 0, dupe_factor = 2 })) do
            front = front + one.a % 40 + one.b % 40
            total = total + 80 - one.an - one.bn
            assert.are.equal(40, one.an + one.bn)
            assert.are.equal(20, one.an) -- the longer one is cut, B where they are equal
        end
        assert.are.equal(400 * 40, total)
        -- Six deviations of 16000 tosses are 0.024.
        assert.is_true(math.abs(front / total - 0.5) < 0.024)
    end)

    it("follow the seed", function()
        assert.are.same(create(corpus, {}, 8), create(corpus, {}, 8))
        assert.are_not.same(create(corpus, {}, 8), create(corpus, {}, 9))
    end)

    it("refuse a length with no room for two tokens", function()
        assert.has_error(function() create(corpus, { max_seq_length = 4 }) end)
    end)
end)
