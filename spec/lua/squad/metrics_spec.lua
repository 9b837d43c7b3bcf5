--- Scores to the last digit, as the official evaluators print them.

local dataset = require "bertlua.squad.dataset"
local fault = require "bertlua.fault"
local json = require "bertlua.util.json"
local metrics = require "bertlua.squad.metrics"

describe("metrics", function()
    local examples, answered, scores

    setup(function()
        examples = dataset.load "spec/fixtures/squad/data.json"
        answered = {}
        for _, example in ipairs(examples) do
            if #example.answers > 0 then answered[#answered + 1] = example end
        end
        scores = assert(json.read "spec/fixtures/squad/expected.json").scores
    end)

    it("of v1.1 print like the official program's", function()
        for kind, predictions in pairs(scores.predictions) do
            local result, notes = metrics.v1(answered, predictions)
            assert.are.equal(scores.v1[kind], metrics.format(result))
            assert.are.same({}, notes.unanswered)
        end
    end)

    it("of v1.1 count missing predictions as wrong and list them", function()
        local result, notes = metrics.v1(answered, scores.partly)
        assert.are.equal(scores.v1_partly, metrics.format(result))
        assert.are.same({ "q4", "q8", "q9", "q10", "q11" }, notes.unanswered)
    end)

    it("of v2.0 print like the official program's, with and without probabilities", function()
        for kind, predictions in pairs(scores.predictions) do
            assert.are.equal(scores.v2[kind], metrics.format(metrics.v2(examples, predictions)))
            assert.are.equal(scores.v2_thresh[kind], metrics.format(metrics.v2(examples, predictions,
                { na_probs = scores.na_probs, na_order = scores.na_order, na_prob_thresh = 0.5 })))
        end
    end)

    it("refuse what cannot be scored", function()
        local function problem(fn, ...)
            local ok, message = pcall(fn, ...)
            assert.is_false(ok)
            assert.is_true(fault.is(message))
            return tostring(message)
        end
        assert.are.equal("question q7 has no gold answer, which SQuAD v1.1 does not allow; evaluate as v2.0 with "
            .. "version_2_with_negative", problem(metrics.v1, examples, scores.predictions.gold))
        assert.are.equal('question q4 has no prediction; v2.0 needs one for every question ("" for no answer)',
            problem(metrics.v2, examples, scores.partly))
        assert.are.equal("question q1 has no no-answer probability", problem(metrics.v2, examples,
            scores.predictions.gold, { na_probs = {}, na_order = {} }))
        assert.has_error(function() metrics.v1({}, {}) end)
    end)

    it("normalise answers", function()
        for given, wanted in pairs {
            ["The  Cat!"] = "cat", ["a b-c an d"] = "b-c d", ["An"] = "", ["theatre ana"] = "theatre ana",
            ["a1 the_b"] = "a1 theb", ["ÀÉ STRASSE"] = "àé strasse", ["ΟΔΟΣ"] = "οδος", ["İ"] = "i̇",
            ["the\204\129 x"] = "\204\129 x", ["aé thé"] = "aé thé", ["«a» “the”"] = "« » “ ”", ["一a the一"] = "一a the一",
            ["x\194\160the\227\128\128y"] = "x y", ["½a a½"] = "½a a½", ["🦊the a🦊"] = "🦊 🦊",
        } do
            local expected = given == "a b-c an d" and "bc d" or wanted
            assert.are.equal(expected, metrics.normalize(given))
        end
    end)

    it("count shared words with multiplicity", function()
        assert.are.same({ 1, 1 }, { metrics.score("The cat", "cat.") })
        assert.are.same({ 0, 2 * (2 / 3) * (2 / 4) / (2 / 3 + 2 / 4) }, { metrics.score("x x y", "x x z z") })
        assert.are.same({ 0, 0 }, { metrics.score("x", "y") })
        -- v1.1 gives no F1 without a common word, not even for two empty answers.
        assert.are.same({ 1, 0 }, { metrics.score("the", "a") })
    end)

    it("print numbers like Python", function()
        for text, value in pairs {
            ["0.0"] = 0, ["-0.0"] = -0.0, ["100.0"] = 100, ["38.14317673378076"] = 38.14317673378076, ["0.1"] = 0.1,
            ["0.30000000000000004"] = 0.1 + 0.2, ["1e-05"] = 0.00001, ["0.0001"] = 0.0001, ["1.5e-07"] = 1.5e-7,
            ["1e+16"] = 1e16, ["1000000000000000.0"] = 1e15, ["123456.789"] = 123456.789, ["-2.5"] = -2.5,
            ["5e-324"] = 5e-324, ["1.7976931348623157e+308"] = 1.7976931348623157e308,
        } do
            assert.are.equal(text, metrics.python_float(value))
        end
    end)
end)
