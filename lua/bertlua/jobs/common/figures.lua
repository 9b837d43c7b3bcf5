--- The figures of predictions against gold: those of a training's eval.json and those of recipes/evaluate.lua are the
-- same, since both are put together here.

local classification = require "bertlua.metrics.classification"
local correlation = require "bertlua.metrics.correlation"
local labels = require "bertlua.jobs.common.labels"
local spans = require "bertlua.metrics.spans"

local M = {}

--- One label a text.
-- @param gold, predicted 0-based arrays of the numbers of labels
-- @param count of texts, at least 1
-- @param classes number of labels
-- @return {accuracy, macro_f1, micro_f1, matthews}; and all that metrics.classification counts
function M.single(gold, predicted, count, classes)
    local all = classification.single(gold, predicted, count, classes)
    return { accuracy = all.accuracy, macro_f1 = all.macro_f1, micro_f1 = all.micro_f1, matthews = all.matthews }, all
end

--- Several labels a text.
-- @param gold, predicted 0-based arrays [count * classes] of 0 and 1
-- @return {accuracy = share of texts with exactly the right labels, macro_f1, micro_f1}; and all that is counted
function M.multiple(gold, predicted, count, classes)
    local all = classification.multiple(gold, predicted, count, classes)
    return { accuracy = all.accuracy, macro_f1 = all.macro_f1, micro_f1 = all.micro_f1 }, all
end

--- Numbers.
-- @param gold, predicted 0-based arrays
-- @return {pearson, spearman: nil where all numbers of one side are equal; mse, mae}
function M.values(gold, predicted, count)
    local mse, mae = correlation.errors(gold, predicted, count)
    return { pearson = correlation.pearson(gold, predicted, count),
        spearman = correlation.spearman(gold, predicted, count), mse = mse, mae = mae }
end

--- Tags that are no spans, as parts of speech, as if each word were a text.
local function single_tags(gold, predicted)
    local names = labels.distinct(function(visit)
        for _, list in ipairs { gold, predicted } do
            for _, tags in ipairs(list) do
                for _, tag in ipairs(tags) do visit(tag) end
            end
        end
    end)
    local numbers, is, said, count = labels.numbers(names), {}, {}, 0
    for s, tags in ipairs(gold) do
        for w, tag in ipairs(tags) do
            is[count], said[count], count = numbers[tag], numbers[predicted[s][w]], count + 1
        end
    end
    local all = classification.single(is, said, count, #names)
    all.names = names
    return all
end

--- Tags of words: of entities where they are spans, else of single tags.
-- @param gold, predicted lists of lists of tags
-- @param are_spans whether the gold tags are (metrics.spans.scheme)
-- @return {precision, recall, f1, accuracy, types} or {accuracy, macro_f1}; and for single tags all that is counted,
--   with their names
function M.tags(gold, predicted, are_spans)
    if are_spans then
        local score = spans.score(gold, predicted)
        return { precision = score.precision, recall = score.recall, f1 = score.f1, accuracy = score.accuracy,
            types = score.types }
    end
    local all = single_tags(gold, predicted)
    return { accuracy = all.accuracy, macro_f1 = all.macro_f1 }, all
end

return M
