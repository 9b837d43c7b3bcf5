--- Expected figures: seqeval 1.2.2 in its default mode, which counts as conlleval does.

local spans = require "bertlua.metrics.spans"

local GOLD = {
    { "I-B", "I-B", "B-A", "I-A" }, { "E-A", "I-B", "O", "I-B", "O", "S-B", "B-B", "I-A" },
    { "B-A", "B-A", "E-A", "B-B", "I-B", "S-B", "I-B", "B-B", "B-B" }, { "B-A", "E-A", "B-A" },
    { "B-B", "E-A", "O", "E-A", "S-B", "O", "B-A", "S-B", "I-B" }, { "I-A" }, { "S-B" },
    { "B-B", "I-B", "E-A", "B-B", "E-A" }, { "B-B", "E-A", "S-B", "I-B", "B-B", "B-A", "I-A" }, { "O", "B-A" },
    { "B-A", "I-A", "E-A", "B-B", "S-B", "E-A", "S-B", "I-A" }, { "I-B", "S-B", "B-B", "I-B", "I-A", "I-B", "I-B" },
}
local SAID = {
    { "I-B", "I-B", "B-A", "O" }, { "I-B", "I-B", "O", "I-B", "I-B", "S-B", "B-B", "I-A" },
    { "I-A", "B-A", "E-A", "B-B", "I-B", "B-B", "O", "B-B", "S-B" }, { "B-A", "E-A", "B-B" },
    { "I-A", "E-A", "I-A", "E-A", "I-A", "O", "B-A", "S-B", "B-B" }, { "I-A" }, { "S-B" },
    { "B-B", "I-A", "E-A", "S-B", "E-A" }, { "B-B", "E-A", "S-B", "I-B", "B-B", "B-A", "I-B" }, { "O", "B-A" },
    { "I-A", "I-A", "E-A", "B-B", "S-B", "I-B", "S-B", "I-A" }, { "I-B", "S-B", "B-B", "I-B", "I-A", "I-B", "E-A" },
}

local function near(expected, found) assert.is_true(math.abs(expected - found) < 1e-14, expected .. " ~= " .. found) end

describe("entities", function()
    it("are found in IOB2, IOB1 and IOBES", function()
        local two = { { first = 1, last = 2, type = "PER" }, { first = 3, last = 3, type = "PER" } }
        assert.are.same(two, spans.entities { "B-PER", "I-PER", "B-PER", "O" })
        assert.are.same(two, spans.entities { "I-PER", "I-PER", "B-PER", "O" })
        assert.are.same(two, spans.entities { "B-PER", "E-PER", "S-PER", "O" })
        assert.are.same(two, spans.entities { "B-PER", "L-PER", "U-PER", "O" })
        assert.are.same({}, spans.entities { "O", "O" })
    end)

    it("end where the type changes, and with the sentence", function()
        assert.are.same({ { first = 1, last = 1, type = "A" }, { first = 2, last = 3, type = "B-C" } },
            spans.entities { "B-A", "I-B-C", "I-B-C" })
    end)

    it("are counted as seqeval and conlleval count them", function()
        local scores = spans.score(GOLD, SAID)
        near(0.7021276595744681, scores.precision)
        near(0.6875, scores.recall)
        near(0.6947368421052632, scores.f1)
        assert.are.equal(48, scores.support)
        near(0.71875, scores.accuracy)
        assert.are.same({ "A", "B" }, scores.names)
        near(0.631578947368421, scores.types.A.precision)
        near(0.6, scores.types.A.recall)
        near(0.6153846153846154, scores.types.A.f1)
        near(0.75, scores.types.B.f1)
        assert.are.equal(28, scores.types.B.support)
    end)

    it("tell their scheme", function()
        assert.are.equal("IOB2", (spans.scheme { { "B-A", "I-A", "O" } }))
        assert.are.equal("IOB1", (spans.scheme { { "I-A", "I-A", "B-A", "O" } }))
        assert.are.equal("IOBES", (spans.scheme { { "B-A", "E-A", "S-B" } }))
        assert.is_nil((spans.scheme { { "NOUN", "VERB" } }))
        assert.is_nil((spans.scheme { { "O", "O" } }))
    end)

    it("tell which tags contradict the scheme of the others", function()
        local scheme, first, count = spans.scheme { { "B-A", "I-A" }, { "O", "B-B" }, { "O", "I-B", "O", "B-A" } }
        assert.are.equal("IOB2", scheme)
        assert.are.same({ 3, 2 }, first)
        assert.are.equal(1, count)
    end)

    it("refuse tags of other lengths and tags that are none", function()
        assert.has_error(function() spans.score({ { "O" } }, { { "O", "O" } }) end,
            "spans: sentence 1 has 1 gold tags and 2 predicted ones, expected as many")
        assert.has_error(function() spans.entities { "X-PER" } end)
    end)
end)
