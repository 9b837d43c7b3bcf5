--- How well numbers agree with numbers.
--
-- `x` and `y` are 0-based arrays (array.float, array.double) or tables with those indices.
-- @module bertlua.metrics.correlation

local M = {}

--- Pearson's correlation coefficient.
-- @param x, y arrays [count]
-- @tparam int count
-- @treturn number from -1 to 1; nil where it is not defined, as all of x or all of y are equal
function M.pearson(x, y, count)
    local mean_x, mean_y = 0, 0
    for i = 0, count - 1 do mean_x, mean_y = mean_x + x[i], mean_y + y[i] end
    mean_x, mean_y = mean_x / count, mean_y / count
    local xx, yy, xy = 0, 0, 0
    for i = 0, count - 1 do
        local dx, dy = x[i] - mean_x, y[i] - mean_y
        xx, yy, xy = xx + dx * dx, yy + dy * dy, xy + dx * dy
    end
    -- Rounding leaves a trace of a mean in numbers that are all equal.
    local function constant(squares, mean) return squares <= count * (1e-13 * mean) ^ 2 end
    if count < 2 or constant(xx, mean_x) or constant(yy, mean_y) then return nil end
    return math.max(-1, math.min(1, xy / (math.sqrt(xx) * math.sqrt(yy))))
end

--- Ranks from 1; equal numbers share the mean of their ranks.
-- @param x array [count]
-- @tparam int count
-- @treturn table 0-based
function M.ranks(x, count)
    local order, ranks = {}, {}
    for i = 1, count do order[i] = i - 1 end
    table.sort(order, function(a, b) return x[a] < x[b] end)
    local first = 1
    while first <= count do
        local last = first
        while last < count and x[order[last + 1]] == x[order[first]] do last = last + 1 end
        for i = first, last do ranks[order[i]] = (first + last) / 2 end
        first = last + 1
    end
    return ranks
end

--- Spearman's rank correlation coefficient: Pearson's of the ranks.
-- @param x, y arrays [count]
-- @tparam int count
-- @treturn number from -1 to 1; nil where it is not defined
function M.spearman(x, y, count) return M.pearson(M.ranks(x, count), M.ranks(y, count), count) end

--- Mean squared and mean absolute difference.
-- @param x, y arrays [count]
-- @tparam int count at least 1
-- @treturn number mean squared error
-- @treturn number mean absolute error
function M.errors(x, y, count)
    local squares, absolute = 0, 0
    for i = 0, count - 1 do
        local difference = x[i] - y[i]
        squares, absolute = squares + difference * difference, absolute + math.abs(difference)
    end
    return squares / count, absolute / count
end

return M
