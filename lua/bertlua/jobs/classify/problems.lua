--- What a model for texts gives, in transformers' names: one label a text, several labels a text, or a number. Which of
-- them data ask for, their labels as numbers of a batch, and the metrics of each. Files do not belong here.

local array = require "bertlua.array"
local fault = require "bertlua.fault"
local labels = require "bertlua.jobs.common.labels"
local plural = require "bertlua.util.plural"

local M = {}

M.SINGLE, M.MULTI, M.REGRESSION = "single_label_classification", "multi_label_classification", "regression"

--- Metrics of each and which direction is better; and the one that decides unless a recipe names another.
M.METRICS = {
    [M.SINGLE] = { accuracy = "higher", macro_f1 = "higher", micro_f1 = "higher", matthews = "higher" },
    [M.MULTI] = { accuracy = "higher", macro_f1 = "higher", micro_f1 = "higher" },
    [M.REGRESSION] = { pearson = "higher", spearman = "higher", mse = "lower", mae = "lower" },
}
M.DECIDES = { [M.SINGLE] = "accuracy", [M.MULTI] = "micro_f1", [M.REGRESSION] = "mse" }

-- What a model of one number has for a label, as transformers calls it.
M.NUMBER = "LABEL_0"

-- The largest float of 32 bits.
local LARGEST = 3.4028234e38

--- A number as written in decimals; nil for what is none, or none that 32 bits hold.
function M.number(text)
    if type(text) ~= "string" or not text:find "^%s*[+-]?%d*%.?%d*[eE]?[+-]?%d*%s*$" then return nil end
    local number = tonumber(text)
    return number and math.abs(number) <= LARGEST and number or nil
end

--- The labels of a text as a list: a list of JSON, or a string that a separator parts; an empty one has none.
function M.list_of(value, separator)
    if type(value) == "table" then return value end
    if not separator then return { value } end
    local list, at = {}, 1
    if not value:find "%S" then return list end
    while true do
        local from, to = value:find(separator, at, true)
        list[#list + 1] = value:sub(at, (from or 0) - 1):match "^%s*(.-)%s*$"
        if not from then return list end
        at = to + 1
    end
end

--- Which problem records ask for: lists or a separator mean several labels a text; numbers of which one has a fraction
-- mean regression; everything else one label a text.
-- @param list of records
-- @param column of the label
-- @param separator of labels, or nil
-- @param where function(i) -> place of a record, for messages
function M.find(list, column, separator, where)
    if separator then return M.MULTI end
    local numbers, fractions, other = 0, 0, nil
    for i, record in ipairs(list) do
        local value = record[column]
        if type(value) == "table" then return M.MULTI end
        local number = M.number(value)
        if number then
            numbers, fractions = numbers + 1, fractions + (number % 1 ~= 0 and 1 or 0)
        else
            other = other or i
        end
    end
    if fractions == 0 or other and numbers <= #list / 2 then return M.SINGLE end
    if other then
        fault.raisef("%s: the label %q is no number, as most are: correct it, or set --problem-type", where(other),
            list[other][column])
    end
    return M.REGRESSION
end

--- Names of the labels of records, sorted; {[label] = how often}; {[label] = the first record that has it}.
function M.names(kind, list, column, separator)
    local first = {}
    local names, counts = labels.distinct(function(visit)
        for i, record in ipairs(list) do
            for _, label in ipairs(kind == M.MULTI and M.list_of(record[column], separator) or { record[column] }) do
                first[label] = first[label] or i
                visit(label)
            end
        end
    end)
    return names, counts, first
end

--- The number of a label, from 0; nil for one that the model does not know. Where its labels are named LABEL_0,
-- LABEL_1, ..., as transformers does where nobody names them, they are also meant by their numbers.
local function numbers_of(names)
    local numbers, plain = labels.numbers(names), {}
    for i, name in ipairs(names) do
        if name ~= "LABEL_" .. i - 1 then return numbers end
        plain[tostring(i - 1)] = i - 1
    end
    for name, number in pairs(plain) do numbers[name] = numbers[name] or number end
    return numbers
end

local function unknown(where, label, count)
    fault.raisef("%s: label %q is not one of the model's %d", where, label, count)
end

local function single(list, column, names, where)
    local ids, numbers = array.int32(#list), numbers_of(names)
    for i, record in ipairs(list) do
        local label = record[column]
        if type(label) == "table" then
            fault.raisef("%s: the label is a list, but the model gives one label a text", where(i))
        end
        if not numbers[label] then unknown(where(i), label, #names) end
        ids[i - 1] = numbers[label]
    end
    return ids, ("%s, one a text"):format(plural.count(#names, "label"))
end

local function multiple(list, column, names, where, separator)
    local count, numbers, sum = #names, numbers_of(names), 0
    local flags = array.float(#list * count)
    for i, record in ipairs(list) do
        for _, label in ipairs(M.list_of(record[column], separator)) do
            if label == "" then fault.raisef("%s: a label is empty", where(i)) end
            local number = numbers[label]
            if not number then unknown(where(i), label, count) end
            local at = (i - 1) * count + number
            sum, flags[at] = sum + 1 - flags[at], 1
        end
    end
    return { values = flags, dtype = "f32", width = count },
        ("%s, %.1f a text"):format(plural.count(count, "label"), sum / #list)
end

local function numeric(list, column, where)
    local values, least, most = array.float(#list), math.huge, -math.huge
    for i, record in ipairs(list) do
        local number = M.number(record[column])
        if not number then
            fault.raisef("%s: the label %s is no number", where(i), type(record[column]) == "table" and "is a list and"
                or ("%q"):format(record[column]))
        end
        values[i - 1], least, most = number, math.min(least, number), math.max(most, number)
    end
    return { values = values, dtype = "f32" }, ("numbers from %g to %g"):format(least, most)
end

--- The labels of records as those of sequences (data/sequences.lua), and what to say of them.
-- @param kind of problem
-- @param names of the model's labels
-- @param where as in find()
function M.encode(kind, list, column, names, where, separator)
    local encode = kind == M.REGRESSION and numeric or kind == M.MULTI and multiple or single
    if encode == numeric then return encode(list, column, where) end
    return encode(list, column, names, where, separator)
end

return M
