--- "did you mean": the candidate closest to a mistyped name.
-- @module bertlua.util.suggest

local M = {}

--- Levenshtein distance: insertions, deletions and replacements that turn a into b.
function M.distance(a, b)
    local row = {}
    for j = 0, #b do row[j] = j end
    for i = 1, #a do
        local diagonal = row[0]
        row[0] = i
        for j = 1, #b do
            local cost = a:byte(i) == b:byte(j) and diagonal or diagonal + 1
            diagonal = row[j]
            row[j] = math.min(cost, row[j] + 1, row[j - 1] + 1)
        end
    end
    return row[#b]
end

--- The closest of a list of names, or nil if none is close.
-- @param name what was typed
-- @param candidates list of names
function M.closest(name, candidates)
    local best, best_distance = nil, math.max(1, math.floor(#name / 3)) + 1
    for _, candidate in ipairs(candidates) do
        local distance = M.distance(name, candidate)
        if distance < best_distance then best, best_distance = candidate, distance end
    end
    return best
end

return M
