--- Scores of a model as labels, probabilities and numbers.

local array = require "bertlua.array"
local json = require "bertlua.util.json"
local scoring = require "bertlua.jobs.classify.scoring"

describe("scoring", function()
    local SINGLE, MULTI, REGRESSION = "single_label_classification", "multi_label_classification", "regression"

    local function scores(list)
        local values = array.float(#list)
        for i, x in ipairs(list) do values[i - 1] = x end
        return values
    end

    it("takes the likeliest label", function()
        local predicted, read = scoring.reader(SINGLE, 2, 2)
        read({ members = { 1, 0 } }, scores { 0, 1, 3, 3 })
        assert.are.same({ label = "b", score = predicted.probability[1] },
            scoring.record(SINGLE, predicted, 1, { "a", "b" }))
        assert.is_near(1 / (1 + math.exp(-1)), predicted.probability[1], 1e-7)
        assert.are.same({ label = "a", score = 0.5 }, scoring.record(SINGLE, predicted, 0, { "a", "b" }))
        local gold = array.int32(2)
        gold[1] = 1
        local metrics = scoring.metrics(SINGLE, gold, predicted, 2, 2)
        assert.are.same({ accuracy = 1, macro_f1 = 1, micro_f1 = 1, matthews = 1 }, metrics)
        assert.are.equal("accuracy 100.00 %, macro F1 100.00 %", scoring.summary(metrics))
    end)

    it("takes each label above one half", function()
        local predicted, read = scoring.reader(MULTI, 2, 2)
        read({ members = { 0, 1 } }, scores { 2, -1, 0, -3 })
        local record = scoring.record(MULTI, predicted, 0, { "a", "b" })
        assert.are.same({ "a" }, record.labels)
        assert.is_near(1 / (1 + math.exp(-2)), record.scores[1], 1e-7)
        assert.are.equal('{"labels":[],"scores":[]}', json.encode(scoring.record(MULTI, predicted, 1, { "a", "b" })))
        local metrics = scoring.metrics(MULTI, { values = scores { 1, 0, 0, 1 } }, predicted, 2, 2)
        assert.are.same({ accuracy = 0.5, macro_f1 = 0.5, micro_f1 = 2 / 3 }, metrics)
        assert.are.equal("micro F1 66.67 %, macro F1 50.00 %, all labels right 50.00 %", scoring.summary(metrics))
    end)

    it("takes numbers as they are", function()
        local predicted, read = scoring.reader(REGRESSION, 2, 1)
        read({ members = { 0, 1 } }, scores { 1.5, 3 })
        assert.are.same({ value = 3 }, scoring.record(REGRESSION, predicted, 1, { "LABEL_0" }))
        local metrics = scoring.metrics(REGRESSION, { values = scores { 1, 4 } }, predicted, 2, 1)
        assert.are.same({ 0.625, 0.75 }, { metrics.mse, metrics.mae })
        assert.are.equal("Pearson 1.0000, Spearman 1.0000, mean squared error 0.625", scoring.summary(metrics))
        metrics = scoring.metrics(REGRESSION, { values = scores { 2, 2 } }, predicted, 2, 1)
        assert.is_true(metrics.pearson ~= metrics.pearson)
        assert.matches("^Pearson not defined, Spearman not defined,", scoring.summary(metrics))
    end)

    it("refuses scores that are none", function()
        for _, kind in ipairs { SINGLE, MULTI, REGRESSION } do
            local _, read = scoring.reader(kind, 1, 1)
            local ok, problem = pcall(read, { members = { 0 } }, scores { 0 / 0 })
            assert.is_false(ok)
            assert.matches("the model's scores of text 0 are NaN", tostring(problem))
        end
    end)
end)
