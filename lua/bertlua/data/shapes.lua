--- Sizes of packed batches: how coarse their steps are.
--
-- A packed batch has as many rows as it has tokens, so nearly every batch has
-- a shape of its own. Where shapes cost something (a captured step each),
-- sizes are rounded up to one of a few.

local M = {}

--- What sizes up to `full` are rounded up to a multiple of: `least` times a power of two, so that about `parts` sizes
-- (at most twice as many) are left.
-- @param full the largest size
function M.step(full, parts, least)
    local step = least
    while step * 2 <= full / parts do step = step * 2 end
    return step
end

--- Rows for so many tokens, at most `full` of them rounded up to `least`.
function M.round(tokens, step, full, least)
    return math.min(math.ceil(tokens / step) * step, math.ceil(full / least) * least)
end

return M
