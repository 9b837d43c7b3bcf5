--- What scores mean by problem_type.

local judging = require "bertlua.encoder.judging"

local NAMES = { "bad", "fair", "good" }

describe("scores of a text", function()
    it("are one label, several labels or numbers", function()
        assert.are.equal("single", judging.kind(3, nil))
        assert.are.equal("values", judging.kind(1, nil))
        assert.are.equal("single", judging.kind(1, "single_label_classification"))
        assert.are.equal("multiple", judging.kind(3, "multi_label_classification"))
        assert.are.equal("values", judging.kind(3, "regression"))
    end)

    it("become probabilities, from their place on", function()
        local scores = { [0] = 9, 9, 9, 0, math.log(2), math.log(5) }
        local result = judging.texts(NAMES, nil, 0.5)(scores, 3)
        assert.are.equal("good", result.label)
        assert.is_true(math.abs(result.probability - 5 / 8) < 1e-12)
        assert.are.equal("bad", result.all[3].label)
        result = judging.texts(NAMES, "multi_label_classification", 0.6)(scores, 3)
        assert.are.same({ "fair", "good" }, result.labels)
        assert.is_true(math.abs(result.probabilities[1] - 2 / 3) < 1e-12)
        assert.are.same({ values = { 0, math.log(2), math.log(5) } }, judging.texts(NAMES, "regression")(scores, 3))
        assert.are.same({ value = 9 }, judging.texts({ "x" })(scores, 1))
    end)

    it("do not overflow", function()
        assert.are.equal(1, judging.texts(NAMES)({ [0] = 1000, 0, -1000 }, 0).probability)
    end)
end)
