--- Metrics of classification, as scikit-learn counts them.
--
-- Classes are numbers from 0; `gold` and `predicted` are 0-based arrays (array.int32) or tables with those indices.
-- @module bertlua.metrics.classification

local M = {}

--- How often each class was taken for each.
-- @param gold, predicted arrays [count] of classes
-- @tparam int count
-- @tparam int classes
-- @treturn {{int,...},...} counts[gold + 1][predicted + 1]
function M.confusion(gold, predicted, count, classes)
    local counts = {}
    for g = 1, classes do
        local row = {}
        for p = 1, classes do row[p] = 0 end
        counts[g] = row
    end
    for i = 0, count - 1 do
        local row = counts[gold[i] + 1]
        row[predicted[i] + 1] = row[predicted[i] + 1] + 1
    end
    return counts
end

--- Precision, recall and F1 from counts; 0 where nothing was said or nothing was there.
-- @tparam int hits
-- @tparam int said
-- @tparam int there
-- @treturn table {precision, recall, f1, support = there}
function M.scores(hits, said, there)
    return {
        precision = said > 0 and hits / said or 0,
        recall = there > 0 and hits / there or 0,
        f1 = said + there > 0 and 2 * hits / (said + there) or 0,
        support = there,
    }
end

--- Mean F1 of what occurs in gold or predictions (scikit-learn's macro average of the labels that it sees).
local function macro(list)
    local sum, occurring = 0, 0
    for _, class in ipairs(list) do
        if class.support + class.said > 0 then sum, occurring = sum + class.f1, occurring + 1 end
    end
    return occurring > 0 and sum / occurring or 0
end

local function class_scores(hits, said, there)
    local scores = M.scores(hits, said, there)
    scores.said = said
    return scores
end

--- Matthews' correlation coefficient for any number of classes: R_K of J. Gorodkin, "Comparing two K-category
-- assignments by a K-category correlation coefficient" (2004), eq. 8.
-- 0 where gold or predictions are all of one class, as in scikit-learn.
local function matthews(classes, right, count)
    local joint, said, there = right * count, 0, 0
    for _, class in ipairs(classes) do
        joint = joint - class.said * class.support
        said, there = said + class.said * class.said, there + class.support * class.support
    end
    local spread = (count * count - said) * (count * count - there)
    return spread > 0 and joint / math.sqrt(spread) or 0
end

--- One class a text.
-- @param gold, predicted arrays [count] of classes
-- @tparam int count at least 1
-- @tparam int classes
-- @treturn table {accuracy, macro_f1, micro_f1, matthews, classes = {scores of each class}, confusion}
function M.single(gold, predicted, count, classes)
    local confusion, list, right = M.confusion(gold, predicted, count, classes), {}, 0
    for c = 1, classes do
        local said, there = 0, 0
        for other = 1, classes do said, there = said + confusion[other][c], there + confusion[c][other] end
        list[c] = class_scores(confusion[c][c], said, there)
        right = right + confusion[c][c]
    end
    return { accuracy = right / count, macro_f1 = macro(list), micro_f1 = right / count,
        matthews = matthews(list, right, count), classes = list, confusion = confusion }
end

--- Any number of classes a text.
-- @param gold, predicted arrays [count * classes] of 0 and 1
-- @tparam int count at least 1
-- @tparam int classes
-- @treturn table {accuracy = share of texts with exactly the right classes, macro_f1 over all classes, micro_f1,
-- classes = {scores of each class}}
function M.multiple(gold, predicted, count, classes)
    local list, hits, said, there, exact, sum = {}, 0, 0, 0, 0, 0
    for c = 1, classes do list[c] = { hits = 0, said = 0, there = 0 } end
    for i = 0, count - 1 do
        local same = true
        for c = 1, classes do
            local is, was = predicted[i * classes + c - 1], gold[i * classes + c - 1]
            local class = list[c]
            class.said, class.there, class.hits = class.said + is, class.there + was, class.hits + is * was
            same = same and is == was
        end
        if same then exact = exact + 1 end
    end
    for c, class in ipairs(list) do
        hits, said, there = hits + class.hits, said + class.said, there + class.there
        list[c] = class_scores(class.hits, class.said, class.there)
        sum = sum + list[c].f1
    end
    return { accuracy = exact / count, macro_f1 = sum / classes, micro_f1 = M.scores(hits, said, there).f1,
        classes = list }
end

return M
