--- A model's scores of texts as labels or numbers, with their figures.

local array = require "bertlua.array"
local fault = require "bertlua.fault"
local figures = require "bertlua.jobs.common.figures"
local json = require "bertlua.util.json"
local problems = require "bertlua.jobs.classify.problems"

local M = {}

local function check(x, s)
    if x - x == 0 then return x end
    fault.raisef("the model's scores of text %d are %s: its parameters hold NaN, or the learning rate was too high", s,
        x ~= x and "NaN" or "infinite")
end

--- The most likely label of every text as its number from 0, and its probability.
local function single(count, classes)
    local best, probability = array.int32(count), array.float(count)
    return { best = best, probability = probability }, function(batch, scores)
        for b, s in ipairs(batch.members) do
            local row, top, sum = (b - 1) * classes, 0, 0
            for c = 1, classes - 1 do
                if scores[row + c] > scores[row + top] then top = c end
            end
            for c = 0, classes - 1 do sum = sum + math.exp(scores[row + c] - scores[row + top]) end
            check(sum, s)
            best[s], probability[s] = top, 1 / sum
        end
    end
end

--- For each label of every text whether it has it, which is where its probability, the sigmoid of its score, is above
-- 1/2; and that probability.
local function multiple(count, classes)
    local is, probability = array.int32(count * classes), array.float(count * classes)
    return { is = is, probability = probability }, function(batch, scores)
        for b, s in ipairs(batch.members) do
            for c = 0, classes - 1 do
                local score, at = check(scores[(b - 1) * classes + c], s), s * classes + c
                is[at], probability[at] = score > 0 and 1 or 0, 1 / (1 + math.exp(-score))
            end
        end
    end
end

local function regression(count)
    local values = array.float(count)
    return { values = values }, function(batch, scores)
        for b, s in ipairs(batch.members) do values[s] = check(scores[b - 1], s) end
    end
end

local READERS = { [problems.SINGLE] = single, [problems.MULTI] = multiple, [problems.REGRESSION] = regression }

--- What is predicted of texts, to be filled batch by batch.
-- @param kind of problem
-- @param count texts
-- @param classes labels
-- @return predicted; function(batch, scores) that fills it, as texts.infer wants it
function M.reader(kind, count, classes)
    return READERS[kind](count, classes)
end

--- Figures of what was predicted, those of problems.METRICS; NaN where one is not defined.
-- @param gold labels of problems.encode()
function M.metrics(kind, gold, predicted, count, classes)
    if kind == problems.REGRESSION then
        local metrics = figures.values(gold.values, predicted.values, count)
        metrics.pearson, metrics.spearman = metrics.pearson or 0 / 0, metrics.spearman or 0 / 0
        return metrics
    end
    local metrics
    if kind == problems.MULTI then
        metrics = figures.multiple(gold.values, predicted.is, count, classes)
    else
        metrics = figures.single(gold, predicted.best, count, classes)
    end
    return metrics
end

--- The fields of a text's prediction; those of all problems are {"label", "score", "labels", "scores", "value"}.
-- @param s number of the text from 0
-- @param names of the labels
function M.record(kind, predicted, s, names)
    if kind == problems.REGRESSION then return { value = tonumber(predicted.values[s]) } end
    if kind == problems.SINGLE then
        return { label = names[predicted.best[s] + 1], score = tonumber(predicted.probability[s]) }
    end
    local labels, scores = {}, {}
    for c = 0, #names - 1 do
        local at = s * #names + c
        if predicted.is[at] == 1 then
            labels[#labels + 1], scores[#scores + 1] = names[c + 1], tonumber(predicted.probability[at])
        end
    end
    return { labels = json.array(labels), scores = json.array(scores) }
end

--- One line of figures.
function M.summary(metrics)
    local function shown(value) return value == value and value and ("%.4f"):format(value) or "not defined" end
    if metrics.mse then
        return ("Pearson %s, Spearman %s, mean squared error %.4g"):format(shown(metrics.pearson),
            shown(metrics.spearman), metrics.mse)
    elseif metrics.matthews then
        return ("accuracy %.2f %%, macro F1 %.2f %%"):format(100 * metrics.accuracy, 100 * metrics.macro_f1)
    end
    return ("micro F1 %.2f %%, macro F1 %.2f %%, all labels right %.2f %%"):format(100 * metrics.micro_f1,
        100 * metrics.macro_f1, 100 * metrics.accuracy)
end

return M
