--- From vectors of texts to figures: how well cosines agree with scores, and where texts find their pairs.

local array = require "bertlua.array"
local correlation = require "bertlua.metrics.correlation"
local fault = require "bertlua.fault"
local ops = require "bertlua.ops"
local retrieval = require "bertlua.metrics.retrieval"
local tensor = require "bertlua.tensor"

local M = {}

-- Queries whose scores are computed at a time, and the least length that a vector is divided by.
local QUERIES, EPSILON = 256, 1e-12

--- What reads the vectors of batches into an array, each scaled to length 1.
-- @param out float array [texts, hidden]
-- @param hidden numbers of a vector
-- @return function(batch, vectors: 0-based f32 array [rows, hidden])
function M.reader(out, hidden)
    return function(batch, vectors)
        for b, s in ipairs(batch.members) do
            local from, to, sum = (b - 1) * hidden, s * hidden, 0
            for h = 0, hidden - 1 do sum = sum + vectors[from + h] ^ 2 end
            if sum ~= sum then
                fault.raisef("the model's vector of text %d is NaN: its parameters hold NaN, or the learning rate was "
                    .. "too high", s)
            end
            local scale = 1 / math.max(math.sqrt(sum), EPSILON)
            for h = 0, hidden - 1 do out[to + h] = vectors[from + h] * scale end
        end
    end
end

local function dot(vectors, hidden, a, b)
    local sum = 0
    for h = 0, hidden - 1 do sum = sum + vectors[a * hidden + h] * vectors[b * hidden + h] end
    return sum
end

--- Scored pairs: Spearman's and Pearson's correlation of cosines and scores.
-- @param found of data.lua
-- @param vectors of length 1, float array [texts, hidden]
-- @return metrics {spearman, pearson}, each nil where all cosines are equal; predictions
function M.scored(found, vectors, hidden)
    local count, predictions = #found.rows, {}
    local cosines = array.double(count)
    for i, row in ipairs(found.rows) do
        local cosine = dot(vectors, hidden, found.numbers[row[1]], found.numbers[row[2]])
        cosines[i - 1] = cosine
        predictions[i] = { text = row[1], pair = row[2], score = cosine }
    end
    return { spearman = correlation.spearman(cosines, found.scores, count),
        pearson = correlation.pearson(cosines, found.scores, count) }, predictions
end

--- The queries of a file, each text once, with the numbers of the pairs that it wants; and all candidates.
local function queries_of(found)
    local queries, by_text, candidates, places = {}, {}, {}, {}
    for _, row in ipairs(found.rows) do
        for k = 2, #row do
            if not places[row[k]] then
                candidates[#candidates + 1] = row[k]
                places[row[k]] = #candidates - 1
            end
        end
        local query = by_text[row[1]]
        if not query then
            query = { text = row[1], wanted = {} }
            by_text[row[1]], queries[#queries + 1] = query, query
        end
        query.wanted[#query.wanted + 1] = places[row[2]]
    end
    return queries, candidates
end

--- Vectors of texts as a tensor [texts,H].
local function matrix(found, vectors, hidden, list, first, last, text_of)
    local rows = array.float((last - first + 1) * hidden)
    for i = first, last do
        array.copy(rows + (i - first) * hidden, vectors + found.numbers[text_of(list[i])] * hidden, 4 * hidden)
    end
    return tensor.new("f32", { last - first + 1, hidden }):set(rows)
end

--- The rank of the best placed of what a query wants, that candidate, and the best of all.
local function place(query, scores, count)
    local rank, wanted, best = math.huge, nil, 0
    for _, number in ipairs(query.wanted) do
        local here = retrieval.rank(scores, count, number)
        if here < rank then rank, wanted = here, number end
    end
    for i = 1, count - 1 do
        if scores[i] > scores[best] then best = i end
    end
    return rank, wanted, best
end

--- Pairs and triples: each text looks for its pair among all pairs and negatives of the file, by cosine. A text with
-- several pairs counts by the best placed one.
-- @param found, vectors as above
-- @return metrics {mrr, recall_at_1, recall_at_5, recall_at_10}; predictions, one for each distinct text
function M.retrieval(found, vectors, hidden)
    local queries, candidates = queries_of(found)
    local ranks, predictions = {}, {}
    local function itself(text) return text end
    local function text_of(query) return query.text end
    tensor.scope(function()
        local all = matrix(found, vectors, hidden, candidates, 1, #candidates, itself)
        for first = 1, #queries, QUERIES do
            local last = math.min(#queries, first + QUERIES - 1)
            tensor.scope(function()
                local scores = tensor.new("f32", { last - first + 1, #candidates })
                ops.linear_forward(scores, nil, matrix(found, vectors, hidden, queries, first, last, text_of), all, nil)
                local host = scores:host()
                local values = array.wrap(host)
                for i = first, last do
                    local row = values + (i - first) * #candidates
                    local rank, wanted, best = place(queries[i], row, #candidates)
                    ranks[i] = rank
                    predictions[i] = { text = queries[i].text, pair = candidates[wanted + 1], rank = rank,
                        score = tonumber(row[wanted]), best = candidates[best + 1], best_score = tonumber(row[best]) }
                end
            end)
        end
    end)
    return retrieval.score(ranks), predictions
end

return M
