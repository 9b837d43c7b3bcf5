--- An evaluation as text: for a terminal at most as wide as that is, for a pipe or a file whole.

local plural = require "bertlua.util.plural"
local printable = require "bertlua.printable"
local term = require "bertlua.util.term"

local M = {}

-- The order of figures and their names.
local METRICS = { { "accuracy", "accuracy" }, { "precision", "precision" }, { "recall", "recall" }, { "f1", "F1" },
    { "macro_f1", "macro F1" }, { "micro_f1", "micro F1" }, { "matthews", "Matthews", true },
    { "pearson", "Pearson", true }, { "spearman", "Spearman", true }, { "mse", "squared error", true },
    { "mae", "absolute error", true } }

-- Of more classes only the weakest are shown, of more confusions only the largest; the rest is in eval.json.
local MOST_CLASSES, MOST_CONFUSIONS = 20, 15

-- Where there is no terminal, a confusion table is at most this wide.
local TABLE_COLUMNS = 80

--- Text of exactly so many columns, cut or filled up.
local function fit(text, columns, right)
    text = printable.text(text)
    if term.width(text) > columns then text = term.cut(text, columns - 1) .. "~" end
    local room = (" "):rep(columns - term.width(text))
    return right and room .. text or text .. room
end

local function widest(list, most)
    local width = 5
    for _, name in ipairs(list) do width = math.max(width, term.width(printable.text(name))) end
    return math.min(width, most)
end

--- A matrix of counts, if it fits.
-- @return whether it was added
local function add_matrix(lines, result, columns)
    local names, confusion, largest = result.names, result.confusion, 0
    for _, row in ipairs(confusion) do
        for _, count in ipairs(row) do largest = math.max(largest, count) end
    end
    local head = widest(names, 20)
    local cell = math.floor((columns - head - 1) / #names)
    cell = math.min(cell, widest(names, 12) + 1)
    if cell < math.max(#tostring(largest), 4) + 1 then return false end
    lines[#lines + 1] = ""
    lines[#lines + 1] = "confusion: gold down, predicted across"
    local line = (" "):rep(head)
    for _, name in ipairs(names) do line = line .. " " .. fit(name, cell - 1, true) end
    lines[#lines + 1] = line
    for g, name in ipairs(names) do
        line = fit(name, head)
        for p = 1, #names do
            local count = confusion[g][p]
            line = line .. " " .. fit(count == 0 and "." or tostring(count), cell - 1, true)
        end
        lines[#lines + 1] = line
    end
    return true
end

local function add_confusions(lines, result, columns)
    local list = result.confusions
    if #list == 0 then return end
    local shown = math.min(#list, MOST_CONFUSIONS)
    lines[#lines + 1] = ""
    lines[#lines + 1] = ("confusions, the %d largest of %d"):format(shown, #list)
    local name = widest(result.names, math.floor((columns - 14) / 2))
    for i = 1, shown do
        local entry = list[i]
        lines[#lines + 1] = ("%6d  %s  as  %s"):format(entry.count, fit(entry.gold, name), fit(entry.predicted, name))
            :gsub("%s+$", "")
    end
end

local function add_classes(lines, result, columns)
    local list, names = {}, {}
    for i, class in ipairs(result.classes) do list[i], names[i] = class, class.name end
    local weakest = #list > MOST_CLASSES
    if weakest then
        table.sort(list, function(a, b)
            if a.f1 ~= b.f1 then return a.f1 < b.f1 end
            return a.name < b.name
        end)
    end
    local width = widest(names, columns - 42)
    lines[#lines + 1] = ""
    lines[#lines + 1] = ("%s  precision    recall        F1   support"):format(fit(weakest
        and ("weakest of %d"):format(#list) or result.scheme and "type" or "label", width))
    for i = 1, math.min(#list, MOST_CLASSES) do
        local class = list[i]
        lines[#lines + 1] = ("%s %8.2f %% %7.2f %% %7.2f %% %9d"):format(fit(class.name, width), 100 * class.precision,
            100 * class.recall, 100 * class.f1, class.support)
    end
end

local function add_worst(lines, result, columns)
    if #result.worst == 0 then return end
    lines[#lines + 1] = ""
    lines[#lines + 1] = result.kind == "value" and (result.ranked and "largest differences in rank"
        or "largest differences") or ("most surely wrong, %d of %s"):format(
        #result.worst, plural.count(result.wrong, result.kind == "tags" and "word" or "row"))
    for _, entry in ipairs(result.worst) do
        local head
        if result.kind == "value" then
            head = ("%.4g, predicted %.4g"):format(entry.gold, entry.predicted)
        else
            head = ("%s as %s"):format(entry.gold == "" and "(none)" or entry.gold, entry.predicted)
            if entry.score then head = ("%5.1f %%  "):format(100 * entry.score) .. head end
        end
        -- The file stands in the first line. The number comes first, so that it is never broken.
        lines[#lines + 1] = term.wrap(printable.text(("line %-6s %s"):format(entry.where:match ":(%d+)$", head)),
            columns, 12)
        lines[#lines + 1] = (" "):rep(12) .. term.cut(printable.text(entry.text), columns - 12)
    end
end

--- The report.
-- @param result of comparing.lua
-- @param name of the gold file
-- @param columns of the terminal; nil: a pipe or a file, where names and rows stand whole
-- @treturn string
function M.text(result, name, columns)
    local table_columns = columns or TABLE_COLUMNS
    columns = columns or math.huge
    local lines = { ("%s: %s%s%s"):format(name, plural.count(result.rows, "row"),
        result.words and (", %s"):format(plural.count(result.words, "word")) or "",
        result.scheme and (", entities in %s"):format(result.scheme) or result.classes
        and (", %s"):format(plural.count(#result.classes, "label")) or ""), "" }
    for _, entry in ipairs(METRICS) do
        local value = result.metrics[entry[1]]
        if value then
            lines[#lines + 1] = ("%-16s %s"):format(entry[2], entry[3] and ("%.4f"):format(value)
                or ("%.2f %%"):format(100 * value))
        end
    end
    if result.kind == "value" and not result.metrics.pearson then
        lines[#lines + 1] = "Pearson and Spearman are not defined: all numbers of one side are equal"
    end
    if result.classes then add_classes(lines, result, columns) end
    if result.confusion and not add_matrix(lines, result, table_columns) then add_confusions(lines, result, columns) end
    add_worst(lines, result, columns)
    return table.concat(lines, "\n") .. "\n"
end

return M
