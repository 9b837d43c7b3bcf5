--- From scores of tokens to tags of words.

local array = require "bertlua.array"
local classification = require "bertlua.metrics.classification"
local labels = require "bertlua.jobs.common.labels"

local M = {}

--- Figures of tags that are no spans, as parts of speech.
-- @param gold, predicted lists of lists of tags
-- @return {accuracy, macro_f1}
function M.accuracy(gold, predicted)
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
    local figures = classification.single(is, said, count, #names)
    return { accuracy = figures.accuracy, macro_f1 = figures.macro_f1 }
end

return M
