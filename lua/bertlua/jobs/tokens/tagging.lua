--- From scores of tokens to tags of words.

local array = require "bertlua.array"
local classification = require "bertlua.metrics.classification"
local labels = require "bertlua.jobs.common.labels"

local M = {}

--- What reads logits into arrays: for each row that stands for a word, the likeliest tag and its probability.
-- @param set of data/tagged.lua
-- @param classes number of tags
-- @param best int32 [words], probability float [words]: get the results
-- @return function(batch, logits: 0-based f32 array [rows, classes])
function M.reader(set, classes, best, probability)
    return function(batch, scores)
        local segments = array.wrap(batch.segments)
        for b, s in ipairs(batch.members) do
            local first, from = segments[2 * b - 2], set.offsets[s]
            for i = 0, segments[2 * b - 1] - 1 do
                local word = set.of_word[from + i]
                if word >= 0 then
                    local row, top, sum = (first + i) * classes, 0, 0
                    for c = 1, classes - 1 do
                        if scores[row + c] > scores[row + top] then top = c end
                    end
                    for c = 0, classes - 1 do sum = sum + math.exp(scores[row + c] - scores[row + top]) end
                    best[word], probability[word] = top, 1 / sum
                end
            end
        end
    end
end

--- Tags and probabilities sentence by sentence.
-- @param sentences of data/tagged.lua
-- @param names of the tags
-- @return list of lists of tags; list of lists of probabilities
function M.by_sentence(sentences, best, probability, names)
    local tags, scores, word = {}, {}, 0
    for i, sentence in ipairs(sentences) do
        tags[i], scores[i] = {}, {}
        for w = 1, #sentence.words do
            tags[i][w], scores[i][w] = names[best[word] + 1], tonumber(probability[word])
            word = word + 1
        end
    end
    return tags, scores
end

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
