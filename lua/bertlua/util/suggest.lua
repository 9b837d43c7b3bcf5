--- "did you mean": the candidate closest to a mistyped name.
-- @module bertlua.util.suggest

local M = {}

--- Levenshtein distance with swaps: insertions, deletions, replacements and swaps of neighbours that turn a into b.
function M.distance(a, b)
    local before, last, row = {}, {}, {}
    for j = 0, #b do row[j] = j end
    for i = 1, #a do
        before, last, row = last, row, before
        row[0] = i
        for j = 1, #b do
            local same = a:byte(i) == b:byte(j)
            row[j] = math.min(same and last[j - 1] or last[j - 1] + 1, last[j] + 1, row[j - 1] + 1)
            if i > 1 and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j) then
                row[j] = math.min(row[j], before[j - 2] + 1)
            end
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
