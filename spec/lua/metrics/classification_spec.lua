--- Expected figures: scikit-learn 1.9.1, of the same arrays.

local classification = require "bertlua.metrics.classification"

local function zero_based(list)
    local array = {}
    for i, value in ipairs(list) do array[i - 1] = value end
    return array
end

local GOLD = zero_based { 3, 2, 3, 1, 2, 2, 0, 1, 0, 0, 3, 2, 3, 0, 2, 0, 3, 0, 3, 1, 1, 3, 0, 3, 0 }
local SAID = zero_based { 1, 1, 1, 1, 2, 2, 0, 1, 1, 0, 1, 1, 0, 2, 2, 0, 1, 1, 1, 1, 0, 1, 0, 1, 1 }

local function near(expected, found) assert.is_true(math.abs(expected - found) < 1e-14, expected .. " ~= " .. found) end

describe("metrics of classification", function()
    it("of one class a text are scikit-learn's", function()
        local metrics = classification.single(GOLD, SAID, 25, 4)
        near(0.4, metrics.accuracy)
        near(0.4, metrics.micro_f1)
        near(0.38847117794486213, metrics.macro_f1)
        near(0.30625824350712877, metrics.matthews)
        local precision, recall = { 2 / 3, 0.2, 0.75, 0 }, { 0.5, 0.75, 0.6, 0 }
        local f1, support = { 0.5714285714285714, 0.3157894736842105, 2 / 3, 0 }, { 8, 4, 5, 8 }
        for c, class in ipairs(metrics.classes) do
            near(precision[c], class.precision)
            near(recall[c], class.recall)
            near(f1[c], class.f1)
            assert.are.equal(support[c], class.support)
        end
        assert.are.same({ 4, 3, 1, 0 }, metrics.confusion[1])
    end)

    it("leave classes that nobody has or says out of macro F1", function()
        local metrics = classification.single(GOLD, SAID, 25, 9)
        near(0.38847117794486213, metrics.macro_f1)
    end)

    it("have a Matthews coefficient of 0 where all is one class", function()
        local metrics = classification.single(zero_based { 1, 1, 1 }, zero_based { 1, 0, 1 }, 3, 2)
        assert.are.equal(0, metrics.matthews)
    end)

    it("of several classes a text are scikit-learn's", function()
        local gold = zero_based { 0, 1, 0, 1, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 1,
            1, 1, 0, 0, 1, 0, 0, 1 }
        local said = zero_based { 0, 0, 0, 1, 0, 1, 1, 0, 0, 1, 0, 0, 1, 0, 1, 1, 1, 0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 1,
            0, 1, 0, 0, 0, 1, 0, 1 }
        local metrics = classification.multiple(gold, said, 12, 3)
        near(1 / 6, metrics.accuracy)
        near(0.5738705738705739, metrics.macro_f1)
        near(0.6206896551724138, metrics.micro_f1)
    end)
end)
