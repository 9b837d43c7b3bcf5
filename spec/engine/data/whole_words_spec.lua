--- Masking of whole words, compared with Google's create_masked_lm_predictions, written down here once more.

local array = require "bertlua.array"
local data = require "bertlua.data"
local random = require "bertlua.rng"
local vocabulary = require "spec.support.vocabulary"

local CLS, SEP, MASK, SIZE = 2, 3, 4, 100
-- Ids from here on go on with a word.
local PIECES = 60

local continues = array.uint8(SIZE)
for id = PIECES, SIZE - 1 do continues[id] = 1 end

local function masking(share, most)
    return data.masking { probability = share, max_predictions = most, vocab_size = SIZE, cls_id = CLS, sep_id = SEP,
        mask_id = MASK, continues = continues }
end

--- [CLS], words of these many tokens, [SEP].
local function sequence(sizes)
    local list = { CLS }
    for w, size in ipairs(sizes) do
        list[#list + 1] = 10 + w
        for i = 2, size do list[#list + 1] = PIECES + (w + i) % (SIZE - PIECES) end
    end
    list[#list + 1] = SEP
    return list
end

--- Words of a sequence as lists of positions from 0.
local function words_of(list)
    local words = {}
    for i, id in ipairs(list) do
        if id ~= CLS and id ~= SEP then
            if id < PIECES or #words == 0 then words[#words + 1] = {} end
            table.insert(words[#words], i - 1)
        end
    end
    return words
end

--- Google's rule: which positions are covered, as a set; how many.
local function google(list, share, most, draw)
    local words = words_of(list)
    for i = #words, 2, -1 do
        local k = draw(i)
        words[i], words[k] = words[k], words[i]
    end
    local wanted = math.min(most, math.max(1, math.floor(#list * share + 0.5)))
    local covered, count = {}, 0
    for _, word in ipairs(words) do
        if count >= wanted then break end
        if count + #word <= wanted then
            for _, at in ipairs(word) do covered[at] = true end
            count = count + #word
        end
    end
    return covered, count
end

describe("masking of whole words", function()
    local ids, positions, labels = array.int32(512), array.int32(200), array.int32(200)

    local function ours(list, rules, rng)
        for i, id in ipairs(list) do ids[i - 1] = id end
        local count, covered = data.mask_tokens(rng, rules, ids, #list, positions, labels), {}
        for k = 0, count - 1 do
            covered[positions[k]] = true
            assert.are.equal(list[positions[k] + 1], labels[k])
            assert.is_true(k == 0 or positions[k] > positions[k - 1])
        end
        return covered, count
    end

    local SIZES = { 1, 3, 1, 2, 1, 1, 4, 1, 2, 1, 1, 1, 5, 1, 1, 2, 1, 1, 3, 1 }

    it("takes all of a word or nothing of it, and as many tokens as Google's rule", function()
        local list, rng = sequence(SIZES), random.new(11)
        local words = words_of(list)
        for _, case in ipairs { { 0.15, 200 }, { 0.3, 200 }, { 0.3, 3 }, { 0.05, 200 }, { 0.9, 200 } } do
            local share, most = unpack(case)
            local wanted = math.min(most, math.max(1, math.floor(#list * share + 0.5)))
            for _ = 1, 200 do
                local covered, count = ours(list, masking(share, most), rng)
                assert.is_true(count <= wanted)
                for _, word in ipairs(words) do
                    for _, at in ipairs(word) do assert.are.equal(covered[word[1]], covered[at]) end
                    -- A word that is left out would not have fitted.
                    assert.is_true(covered[word[1]] or count == wanted or #word > wanted - count)
                end
            end
        end
    end)

    it("chooses each word as often as Google's rule does", function()
        local list, rng, draw, trials = sequence(SIZES), random.new(5), vocabulary.random(3), 6000
        local words, seen, expected, total, expected_total = words_of(list), {}, {}, 0, 0
        local rules = masking(0.15, 200)
        for _ = 1, trials do
            local covered, count = ours(list, rules, rng)
            local other, other_count = google(list, 0.15, 200, draw)
            total, expected_total = total + count, expected_total + other_count
            for w, word in ipairs(words) do
                if covered[word[1]] then seen[w] = (seen[w] or 0) + 1 end
                if other[word[1]] then expected[w] = (expected[w] or 0) + 1 end
            end
        end
        assert.is_true(math.abs(total - expected_total) < 0.02 * expected_total)
        for w in ipairs(words) do
            -- Four standard deviations of the difference of two counts.
            local share = (expected[w] or 0) / trials
            local bound = 4 * math.sqrt(2 * trials * share * (1 - share)) + 4
            assert.is_true(math.abs((seen[w] or 0) - (expected[w] or 0)) < bound, ("word %d: %d and %d"):format(w,
                seen[w] or 0, expected[w] or 0))
        end
    end)

    it("gives each token of a word its own fate", function()
        local list, rng, rules = sequence { 4, 4, 4, 4, 4 }, random.new(2), masking(0.5, 200)
        local masked, total, mixed = 0, 0, 0
        for _ = 1, 2000 do
            local _, count = ours(list, rules, rng)
            local in_word = 0
            for k = 0, count - 1 do
                if ids[positions[k]] == MASK then masked, in_word = masked + 1, in_word + 1 end
            end
            total = total + count
            if in_word > 0 and in_word < count then mixed = mixed + 1 end
        end
        assert.is_true(math.abs(masked / total - 0.8) < 0.015, masked / total)
        assert.is_true(mixed > 500)
    end)

    it("lets a piece behind [CLS] or [SEP] begin a word, and masks nothing where no word fits", function()
        local rng = random.new(9)
        local list = { CLS, PIECES + 1, PIECES + 2, SEP, PIECES + 3, SEP }
        local seen = {}
        for _ = 1, 100 do
            local covered = ours(list, masking(0.17, 200), rng)
            seen[covered[4] and "behind" or next(covered) and "other" or "none"] = true
        end
        -- One token is wanted: the word of two never fits.
        assert.are.same({ behind = true }, seen)
        local _, count = ours({ CLS, 11, PIECES, SEP }, masking(0.15, 200), rng)
        assert.are.equal(0, count)
    end)
end)

describe("a batch of sequences that are masked already", function()
    it("holds them as they are", function()
        local batch = data.batch(2, 8, 2, true)
        batch:begin()
        batch:append_masked(array.int32 { CLS, 11, MASK, SEP }, 4, 4, -1, array.int32 { 2 }, array.int32 { 12 }, 1)
        batch:append_masked(array.int32 { CLS, MASK, SEP, MASK, 9, SEP }, 6, 3, 1, array.int32 { 1, 3 },
            array.int32 { 7, 8 }, 2)
        batch:finish()
        local ids = batch.ids:tolist()
        assert.are.same({ CLS, 11, MASK, SEP, CLS, MASK, SEP, MASK, 9, SEP }, { unpack(ids, 1, 10) })
        assert.are.same({ 0, 0, 0, 0, 0, 0, 0, 1, 1, 1 }, { unpack(batch.types:tolist(), 1, 10) })
        assert.are.same({ { 0, 4 }, { 4, 6 } }, batch.segments:tolist())
        assert.are.same({ 2, 5, 7 }, { unpack(batch.masked_index:tolist(), 1, 3) })
        assert.are.same({ 12, 7, 8, -1 }, { unpack(batch.masked_labels:tolist(), 1, 4) })
        assert.are.same({ -1, 1 }, batch.nsp_labels:tolist())
        assert.are.same({ 10, 3 }, { batch.tokens, batch.masked })
    end)

    it("says what is wrong", function()
        local batch, ids, one, two = data.batch(1, 8, 2, true), array.int32(9), array.int32 { 1 }, array.int32 { 3, 2 }
        batch:begin()
        for _, case in ipairs {
            { { 9, 9, -1, one, one, 1 }, "length is 9" }, { { 4, 5, -1, one, one, 1 }, "first_length 5" },
            { { 4, 4, -1, two, two, 3 }, "masked 3" }, { { 4, 4, -1, two, two, 2 }, "position 1 is 2" },
            { { 4, 4, -1, array.int32 { 4 }, one, 1 }, "position 0 is 4" }, { { 4, 4, -1, nil, one, 1 }, "positions" },
        } do
            local good, problem = pcall(batch.append_masked, batch, ids, unpack(case[1], 1, 6))
            assert.is_false(good)
            assert.matches("batch_append_masked: .*" .. case[2], problem)
        end
        batch:append_masked(ids, 4, 4, -1, nil, nil, 0)
        assert.are.equal(0, batch:finish().masked)
    end)
end)
