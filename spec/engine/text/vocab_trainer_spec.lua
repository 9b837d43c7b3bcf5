--- The vocabulary trainer against a naive one that recounts everything each time.

local text_native = require "bertlua.text"
local vocabulary = require "spec.support.vocabulary"

--- Counts of the pairs of neighbouring symbols over all words.
local function count_pairs(words)
    local counts = {}
    for _, word in ipairs(words) do
        for i = 1, #word.symbols - 1 do
            local key = word.symbols[i] .. "\0" .. word.symbols[i + 1]
            counts[key] = (counts[key] or 0) + word.count
        end
    end
    return counts
end

--- Learn by the definition: most frequent pair, ties to the smaller symbol numbers.
local function naive(word_counts, vocab_size, min_frequency)
    local id, tokens = {}, {}
    local function add(token)
        if not id[token] then
            id[token] = #tokens
            tokens[#tokens + 1] = token
        end
    end
    for _, token in ipairs(vocabulary.SPECIAL) do add(token) end
    local words, first, inside = {}, {}, {}
    for text, count in pairs(word_counts) do
        local symbols = {}
        for i, c in ipairs(vocabulary.characters(text)) do
            symbols[i] = (i > 1 and "##" or "") .. c
            first[c] = true
            if i > 1 then inside["##" .. c] = true end
        end
        words[#words + 1] = { symbols = symbols, count = count }
    end
    for _, set in ipairs { first, inside } do
        local sorted = {}
        for token in pairs(set) do sorted[#sorted + 1] = token end
        table.sort(sorted)
        for _, token in ipairs(sorted) do add(token) end
    end
    while #tokens < vocab_size do
        local best, best_count, best_left, best_right
        for key, count in pairs(count_pairs(words)) do
            local left, right = key:match "^(.-)%z(.*)$"
            local a, b = id[left], id[right]
            if not best or count > best_count or count == best_count
                and (a < best_left or a == best_left and b < best_right) then
                best, best_count, best_left, best_right = { left, right }, count, a, b
            end
        end
        if not best or best_count < min_frequency then break end
        local joined = best[1] .. best[2]:sub(3)
        add(joined)
        for _, word in ipairs(words) do
            local symbols, i = {}, 1
            while i <= #word.symbols do
                if word.symbols[i] == best[1] and word.symbols[i + 1] == best[2] then
                    symbols[#symbols + 1] = joined
                    i = i + 2
                else
                    symbols[#symbols + 1] = word.symbols[i]
                    i = i + 1
                end
            end
            word.symbols = symbols
        end
    end
    return tokens
end

local function learn(texts, vocab_size, min_frequency, alphabet_limit, lower)
    local trainer = text_native.trainer(lower ~= false)
    for _, text in ipairs(texts) do trainer:add(text) end
    assert(trainer:begin(vocab_size, min_frequency or 1, alphabet_limit or 1000))
    repeat until trainer:step(7)
    local tokens, stats = {}, trainer:stats()
    for id = 0, stats.tokens - 1 do tokens[id + 1] = trainer:token(id) end
    assert.is_nil(trainer:token(stats.tokens))
    return tokens, stats
end

describe("vocabulary trainer", function()
    it("learns what a naive trainer learns, in the same order", function()
        local random = vocabulary.random(3)
        for round = 1, 12 do
            local letters = round % 2 == 0 and { "a", "b" } or { "a", "b", "c", "é", "д" }
            local counts, texts = {}, {}
            for _ = 1, 30 do
                local parts = {}
                for i = 1, random(9) do parts[i] = letters[random(#letters)] end
                local word, count = table.concat(parts), random(5)
                counts[word] = (counts[word] or 0) + count
                texts[#texts + 1] = (word .. " "):rep(count)
            end
            local size, min_frequency = 20 + random(60), random(3)
            assert.are.same(naive(counts, size, min_frequency), (learn(texts, size, min_frequency, 1000, false)))
        end
    end)

    it("joins overlapping repeats from the front", function()
        assert.are.same(naive({ aaaaaaa = 3, aaa = 2 }, 40, 1), (learn({ ("aaaaaaa "):rep(3) .. "aaa aaa" }, 40, 1)))
    end)

    it("does not depend on the order of the text", function()
        local parts = { "the cat sat on the mat. ", "A dog; the dog! ", "on and on and on ", "çà et là " }
        local reversed = { parts[4], parts[3], parts[2], parts[1] }
        assert.are.same(learn(parts, 60), learn(reversed, 60))
        assert.are.same(learn(parts, 60), learn({ table.concat(parts) }, 60))
    end)

    it("puts special tokens first, then characters by code point, then merges", function()
        local tokens, stats = learn({ "ab ab ab, é!" }, 100, 2, 1000, false)
        assert.are.same({ "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "!", ",", "a", "b", "é", "##b", "ab" }, tokens)
        assert.are.same({ words = 6, distinct_words = 4, uncovered_words = 0,
            rare_words = 0, rare_distinct_words = 0, rare_count = 0, characters = 5, alphabet = 5, tokens = 12,
            last_pair_count = 3 }, stats)
    end)

    it("lower-cases and strips accents only when told to", function()
        local lower = table.concat(learn({ "Été Été" }, 40, 1, 1000, true), " ")
        assert.is_truthy(lower:find(" ete", 1, true))
        local cased = table.concat(learn({ "Été Été" }, 40, 1, 1000, false), " ")
        assert.is_truthy(cased:find(" Été", 1, true))
    end)

    it("leaves out words with characters beyond the alphabet limit", function()
        local tokens, stats = learn({ ("aab "):rep(5) .. "xa xa" }, 100, 1, 2)
        local set = {}
        for _, token in ipairs(tokens) do set[token] = true end
        assert.is_true(set.aab)
        assert.is_nil(set.x)
        assert.is_nil(set.xa)
        assert.are.equal(2, stats.uncovered_words)
        assert.are.equal(3, stats.characters)
        assert.are.equal(2, stats.alphabet)
    end)

    it("stops at vocab_size", function()
        assert.are.equal(13, #learn({ "abcd abcd abcd" }, 13))
        assert.are.equal(12, #learn({ "abcd" }, 12))
    end)

    it("ignores words of more than 200 characters", function()
        local _, stats = learn({ ("x"):rep(201) .. " ab" }, 100)
        assert.are.equal(1, stats.words)
        assert.are.equal(2, stats.characters)
    end)

    it("refuses a size too small for the alphabet, saying what would fit", function()
        local trainer = text_native.trainer(true)
        trainer:add "abcd"
        local ok, message = trainer:begin(11, 1, 1000)
        assert.is_nil(ok)
        assert.is_truthy(message:find("vocab_size is 11, expected at least 12", 1, true), message)
        assert.is_true(trainer:begin(12, 1, 1000))
    end)

    it("refuses text without words and calls out of order", function()
        local trainer = text_native.trainer(true)
        trainer:add " \n "
        local _, message = trainer:begin(100, 1, 1000)
        assert.is_truthy(message:find("no words", 1, true), message)
        assert.has_error(function() trainer:step(1) end)
        trainer:add "a"
        assert.is_true(trainer:begin(100, 1, 1000))
        assert.has_error(function() trainer:add "b" end)
    end)

    it("covers all of a real text without [UNK]", function()
        local file = assert(io.open("vocab/README.md", "rb"))
        local text = file:read "*a"
        file:close()
        local tokens = learn({ text }, 300)
        vocabulary.with_files(function(write)
            local tokenizer = assert(text_native.load(write(table.concat(tokens, "\n") .. "\n"), true))
            local ids, count = tokenizer:encode(text)
            assert.is_true(count > 100)
            for i = 0, count - 1 do assert.are_not.equal(tokenizer.unk_id, ids[i]) end
        end)
    end)
end)
