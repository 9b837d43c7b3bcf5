--- Answers from logits against a second implementation's, and the alignment of texts.

local Tokenizer = require "bertlua.text.tokenizer"
local extraction = require "bertlua.squad.extraction"
local array = require "bertlua.array"
local dataset = require "bertlua.squad.dataset"
local fault = require "bertlua.fault"
local features = require "bertlua.squad.features"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"

local WIDTH = 48

--- The formula of spec/peers/make_squad_fixtures.py.
local function logit(feature, place, side)
    return (feature * 37 + place * 101 + side * 53 + place * place * 7) % 97 / 8
end

local function padded(set, side)
    local logits = array.float(set.count * WIDTH)
    for f = 0, set.count - 1 do
        for place = 0, WIDTH - 1 do logits[f * WIDTH + place] = logit(f, place, side) end
    end
    return logits
end

describe("answers", function()
    local expected, tokenizer, examples, set, options

    setup(function()
        expected = assert(json.read "spec/fixtures/squad/expected.json")
        tokenizer = Tokenizer.load("vocab/bert-base-uncased-vocab.txt", { do_lower_case = true })
        examples = dataset.load "spec/fixtures/squad/data.json"
        set = features.convert(examples, tokenizer,
            { max_seq_length = WIDTH, doc_stride = 12, max_query_length = 16, num_workers = 1 })
        options = { tokenizer = tokenizer, n_best_size = 6, max_answer_length = 8 }
    end)

    local function with(changes)
        return setmetatable(changes, { __index = options })
    end

    local function assert_answers(wanted, predictions, n_best, null_odds)
        for id, answer in pairs(wanted) do
            assert.are.equal(answer.text, predictions[id], id)
            assert.are.equal(answer.odds ~= json.null and answer.odds or nil, null_odds[id], id)
            assert.are.equal(#answer.n_best, #n_best[id], id)
            for i, best in ipairs(answer.n_best) do
                local ours = n_best[id][i]
                assert.are.same({ best.text, best.start_logit, best.end_logit },
                    { ours.text, ours.start_logit, ours.end_logit })
                assert.is_true(math.abs(best.probability - ours.probability) <= 1e-15)
            end
        end
    end

    it("equal the second implementation's, v1.1", function()
        local done
        local predictions, n_best, null_odds = extraction.extract(examples, set, padded(set, 0), padded(set, 1),
            with { progress = function(n, total) done = { n, total } end })
        assert_answers(expected.answers, predictions, n_best, null_odds)
        assert.are.same({}, null_odds)
        assert.are.same({ 18, 18 }, done)
        assert.are.equal("empty", predictions.q18)
    end)

    it("equal the second implementation's, v2.0", function()
        assert_answers(expected.answers_v2,
            extraction.extract(examples, set, padded(set, 0), padded(set, 1), with { version_2_with_negative = true }))
    end)

    --- One question, one window, logits by place.
    local function one(context, starts, stops, changes)
        local list = { { id = "x", question = "who", context = context, answers = {} } }
        local own = features.convert(list, tokenizer, { max_seq_length = WIDTH, num_workers = 1, max_query_length = 8 })
        local start_logits, end_logits = array.float(WIDTH), array.float(WIDTH)
        for place, value in pairs(starts) do start_logits[place] = value end
        for place, value in pairs(stops) do end_logits[place] = value end
        local predictions, n_best, odds = extraction.extract(list, own, start_logits, end_logits,
            setmetatable(changes or {}, { __index = { tokenizer = tokenizer } }))
        return predictions.x, n_best.x, odds.x
    end

    it("are written as in the context", function()
        -- [CLS] who [SEP] starts the sequence, so the context's tokens start at position 3.
        assert.are.equal("José Álvarez", one("Said (José Álvarez), once.", { [5] = 9 }, { [6] = 9 }))
        assert.are.equal("京の", one("東京の 駅", { [4] = 9 }, { [5] = 9 }))
        -- All equal: the earliest start and end.
        assert.are.equal("Some", one("Some text here", {}, {}))
    end)

    it("respect max_answer_length and never end before they start", function()
        local long = one("one two three four five", { [3] = 9 }, { [7] = 9 }, { max_answer_length = 5 })
        assert.are.equal("one two three four five", long)
        local short = one("one two three four five", { [3] = 9 }, { [7] = 9, [4] = 1 }, { max_answer_length = 4 })
        assert.are.equal("one two", short)
        assert.are.equal("three four", one("one two three four", { [5] = 9 }, { [4] = 9, [6] = 5 }))
    end)

    it("never point into the question, a special token or padding", function()
        local text = one("alpha beta", { [0] = 50, [1] = 40, [5] = 30, [40] = 30, [4] = 1 },
            { [1] = 50, [5] = 30, [40] = 30, [4] = 1 })
        assert.are.equal("beta", text)
    end)

    it("list different answers with probabilities that add up to 1", function()
        local _, list = one("the cat, the dog", { [3] = 3, [6] = 2 }, { [3] = 3, [6] = 2 }, { n_best_size = 8 })
        assert.is_true(#list > 4)
        local sum, seen = 0, {}
        for i, entry in ipairs(list) do
            assert.is_nil(seen[entry.text])
            seen[entry.text] = true
            sum = sum + entry.probability
            assert.is_true(i == 1 or entry.probability <= list[i - 1].probability)
        end
        assert.is_true(math.abs(sum - 1) < 1e-12)
    end)

    it("are empty when no answer scores better by more than the threshold", function()
        local logits = { [0] = 4, [4] = 3 }
        local text, list, odds = one("alpha beta", logits, logits, { version_2_with_negative = true })
        assert.are.equal("", text)
        assert.are.equal(2, odds)
        assert.are.equal("", list[1].text)
        assert.are.equal("beta", list[2].text)
        -- Exactly at the threshold the answer is kept.
        text = one("alpha beta", logits, logits, { version_2_with_negative = true, null_score_diff_threshold = 2 })
        assert.are.equal("beta", text)
        text = one("alpha beta", logits, logits, { version_2_with_negative = true, null_score_diff_threshold = 1.5 })
        assert.are.equal("", text)
    end)

    it("are empty in v2.0 when there is no span at all", function()
        local high = { [0] = 9, [1] = 8 }
        local text, list, odds = one("alpha", high, high, { version_2_with_negative = true, n_best_size = 2 })
        assert.are.equal("", text)
        assert.are.equal(1, #list)
        assert.are.equal(18, odds)
    end)

    it("are the same from packed logits where padding stays out of the n best", function()
        local starts, stops = padded(set, 0), padded(set, 1)
        local packed_starts, packed_stops = array.float(set.tokens), array.float(set.tokens)
        for f = 0, set.count - 1 do
            for place = 0, WIDTH - 1 do
                local at, to = f * WIDTH + place, set.offsets[f] + place
                if place < set:length(f) then
                    packed_starts[to], packed_stops[to] = starts[at], stops[at]
                else
                    starts[at], stops[at] = -100, -100
                end
            end
        end
        local one_way = { extraction.extract(examples, set, starts, stops, options) }
        local other = { extraction.extract(examples, set, packed_starts, packed_stops, with { layout = "packed" }) }
        assert.are.same(one_way, other)
    end)

    it("refuse NaN and wrong arguments", function()
        local ok, problem = pcall(one, "alpha", { [3] = 0 / 0 }, {})
        assert.is_false(ok)
        assert.is_true(fault.is(problem))
        assert.are.equal("logits of feature 0 (question x) are NaN", tostring(problem))
        assert.has_error(function() one("a", {}, {}, { layout = "rows" }) end)
        assert.has_error(function() extraction.extract(examples, set, nil, nil, {}) end)
    end)

    it("say what could not be aligned if asked to", function()
        local lines = {}
        one("alpha ½ beta", { [4] = 9 }, { [4] = 9 }, { verbose_logging = true, n_best_size = 1,
            log = function(line) lines[#lines + 1] = line end })
        one("alpha \240\157\132\158 beta", { [4] = 9 }, { [4] = 9 }, { verbose_logging = true, n_best_size = 1,
            log = function(line) lines[#lines + 1] = line end })
        assert.are.same({ 'question x: no "[UNK]" in "\240\157\132\158"' }, lines)
    end)

    it("are written in the order of the questions", function()
        local folder = assert(fs.temporary_folder "bertlua-answers")
        local predictions, n_best, odds = extraction.extract(examples, set, padded(set, 0), padded(set, 1),
            with { version_2_with_negative = true })
        assert(extraction.write(fs.join(folder, "a/b"), examples, predictions, n_best, odds))
        local text = fs.read(fs.join(folder, "a/b/predictions.json"))
        assert.are.same(predictions, json.decode(text))
        local order = {}
        for id in text:gmatch '\n%s+"(q%d+)":' do order[#order + 1] = id end
        for i, example in ipairs(examples) do assert.are.equal(example.id, order[i]) end
        assert.are.same(n_best, json.read(fs.join(folder, "a/b/nbest_predictions.json")))
        assert.are.same(odds, json.read(fs.join(folder, "a/b/null_odds.json")))
        -- Answers of another run, without odds: the earlier ones are kept, and no odds are left that are not theirs.
        local id = examples[1].id
        predictions[id] = predictions[id] .. "x"
        local _, kept = assert(extraction.write(fs.join(folder, "a/b"), examples, predictions, n_best, nil))
        assert.are.same({ folder .. "/a/b/predictions.json.1", folder .. "/a/b/null_odds.json.1" }, kept)
        assert.are.equal(text, fs.read(kept[1]))
        assert.is_false(fs.exists(folder .. "/a/b/null_odds.json"))
        assert.are.same({}, select(2, assert(extraction.write(fs.join(folder, "a/b"), examples, predictions, n_best))))
        fs.remove(folder)
    end)
end)
