--- Metrics of retrieval: where, among all candidates sorted by score, the wanted ones stand.
-- @module bertlua.metrics.retrieval

local M = {}

--- The place of a wanted candidate among all of a query, from 1. Candidates with the same score come before it: what
-- can't tell two texts apart earns nothing.
-- @param scores 0-based array [count] of a query's scores
-- @tparam int count
-- @tparam int wanted its number from 0
-- @treturn int
function M.rank(scores, count, wanted)
    local mine, above = scores[wanted], 0
    for i = 0, count - 1 do
        -- A score that is NaN, on either side, counts against the wanted one.
        local below = scores[i] < mine
        if i ~= wanted and not below then above = above + 1 end
    end
    return above + 1
end

--- Recall at k and mean reciprocal rank.
-- @tparam {int,...} ranks of each query's wanted candidate (of the best one, where it wants several)
-- @tparam {int,...} cuts the values of k; unset: 1, 5, 10
-- @treturn table {mrr, recall_at_K for each k}
function M.score(ranks, cuts)
    cuts = cuts or { 1, 5, 10 }
    local sum, result = 0, {}
    for _, rank in ipairs(ranks) do sum = sum + 1 / rank end
    result.mrr = #ranks > 0 and sum / #ranks or 0
    for _, k in ipairs(cuts) do
        local within = 0
        for _, rank in ipairs(ranks) do
            if rank <= k then within = within + 1 end
        end
        result["recall_at_" .. k] = #ranks > 0 and within / #ranks or 0
    end
    return result
end

return M
