--- Figures of several runs: mean and standard deviation of each, and the table at the end.
--
-- The deviation is that of a sample, with n - 1 in the denominator, as numpy.std(x, ddof=1) and pandas' std: the runs
-- stand for all those that could have been made. Of a single run there is none.

local term = require "bertlua.util.term"

local M = {}

-- Where no terminal says how wide it is.
local COLUMNS = 80
local GAP = 2

--- Mean of numbers.
-- @param list at least one
function M.mean(list)
    local sum = 0
    for _, x in ipairs(list) do sum = sum + x end
    return sum / #list
end

--- Sample standard deviation; nil of fewer than two numbers.
function M.deviation(list)
    if #list < 2 then return nil end
    local mean, sum = M.mean(list), 0
    for _, x in ipairs(list) do sum = sum + (x - mean) ^ 2 end
    return math.sqrt(sum / (#list - 1))
end

--- Mean and deviation of each number of tables of the same form, however deep; what is not a number in all of them is
-- left out.
-- @param list of tables, at least one
-- @return table of means, table of deviations (empty where there are none)
function M.combine(list)
    local mean, deviation = {}, {}
    for name, first in pairs(list[1]) do
        local kind, all = type(first), {}
        for i, figures in ipairs(list) do all[i] = type(figures[name]) == kind and figures[name] or nil end
        if #all == #list and kind == "number" then
            mean[name], deviation[name] = M.mean(all), M.deviation(all)
        elseif #all == #list and kind == "table" then
            local means, deviations = M.combine(all)
            if next(means) ~= nil then mean[name] = means end
            if next(deviations) ~= nil then deviation[name] = deviations end
        end
    end
    return mean, deviation
end

--- Names of the figures that a table shows, "dev accuracy", the one that decides first: of dev before test.
-- @param figures {dev = {name = number}, test = ...}
-- @param metric that decides
-- @return list of {part, name}
function M.columns(figures, metric)
    local list = {}
    for part, metrics in pairs(figures) do
        for name, value in pairs(type(metrics) == "table" and metrics or {}) do
            if type(value) == "number" then list[#list + 1] = { part, name } end
        end
    end
    table.sort(list, function(a, b)
        if (a[2] == metric) ~= (b[2] == metric) then return a[2] == metric end
        if a[1] ~= b[1] then return a[1] < b[1] end
        return a[2] < b[2]
    end)
    return list
end

local function right(text, width)
    return (" "):rep(width - term.width(text)) .. text
end

local function left(text, width)
    return text .. (" "):rep(width - term.width(text))
end

--- A table within a width: columns that no longer fit are left out, from the right, but never the first one with
-- figures; a row whose name leaves no room for that has its name on a line above.
-- @param head list: the name's column, then those of the figures
-- @param rows list of such lists of texts
-- @param columns width; nil: 80
-- @return text; names of the columns that are left out
function M.layout(head, rows, columns)
    columns = columns or COLUMNS
    local widths, out = {}, {}
    for c, title in ipairs(head) do
        widths[c] = term.width(title)
        for _, row in ipairs(rows) do widths[c] = math.max(widths[c], term.width(row[c] or "")) end
    end
    widths[1] = math.min(widths[1], math.max(columns - GAP - (widths[2] or 0), 0))
    local total, shown = widths[1], 1
    for c = 2, #head do
        total = total + GAP + widths[c]
        if c > 2 and total > columns then
            for rest = c, #head do out[#out + 1] = head[rest] end
            break
        end
        shown = c
    end
    local lines = {}
    local function add(row)
        local name = row[1]
        if term.width(name) > widths[1] then
            lines[#lines + 1] = term.wrap(name, columns)
            name = ""
        end
        local parts = { left(name, widths[1]) }
        for c = 2, shown do parts[c] = right(row[c] or "", widths[c]) end
        lines[#lines + 1] = (table.concat(parts, (" "):rep(GAP)):gsub("%s+$", ""))
    end
    add(head)
    for _, row in ipairs(rows) do add(row) end
    return table.concat(lines, "\n"), out
end

--- "0.9123", or with a deviation "0.9123 ± 0.0042".
function M.text(mean, deviation)
    if mean == nil then return "" end
    if not deviation then return ("%.4f"):format(mean) end
    return ("%.4f ± %.4f"):format(mean, deviation)
end

return M
