--- How coarsely the sizes of packed batches are rounded.
--
-- A packed batch has as many rows as it has tokens, so nearly every batch has
-- a different shape. Where a shape has a cost (each is a captured step), sizes
-- are rounded up to one of a few.

local M = {}

--- Sizes up to `full` are rounded up to a multiple of this: `least` times a power of two, chosen so that about `parts`
-- sizes (at most twice as many) remain.
-- @param full the largest size
function M.step(full, parts, least)
    local step = least
    while step * 2 <= full / parts do step = step * 2 end
    return step
end

--- Rows for this many tokens, capped at `full` rounded up to a multiple of `least`.
function M.round(tokens, step, full, least)
    return math.min(math.ceil(tokens / step) * step, math.ceil(full / least) * least)
end

return M
