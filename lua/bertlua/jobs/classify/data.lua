--- Labeled texts as sequences: [CLS] text [SEP] or [CLS] text [SEP] pair [SEP].

local array = require "bertlua.array"
local fault = require "bertlua.fault"
local records = require "bertlua.data.records"
local sequences = require "bertlua.data.sequences"

local M = {}

--- Labels of records, sorted; by number where all are numbers.
function M.labels(list, column)
    local seen, labels, numeric = {}, {}, true
    for _, record in ipairs(list) do
        local label = record[column]
        if not seen[label] then
            seen[label], labels[#labels + 1] = true, label
            numeric = numeric and tonumber(label) ~= nil
        end
    end
    table.sort(labels, numeric and function(a, b) return tonumber(a) < tonumber(b) end or nil)
    return labels
end

--- Read the records of a file.
-- @param with_labels false: the label column may be missing
function M.read(path, values, with_labels)
    local columns = { values.text_column }
    if values.text_pair_column then columns[2] = values.text_pair_column end
    if with_labels then columns[#columns + 1] = values.label_column end
    return records.read(path, columns)
end

--- Tokenize records.
-- @param list of read()
-- @param labels list; a label that is not in it counts as -1
-- @return sequences with labels {labels = int32 [N]}; number of texts cut; list of labels that are not in the list
function M.sequences(list, values, words, labels)
    local builder = sequences.builder(words, values.max_seq_length)
    local numbers, ids, unknown = {}, array.int32(#list), {}
    for i, label in ipairs(labels) do numbers[label] = i - 1 end
    for i, record in ipairs(list) do
        builder:add(record[values.text_column], values.text_pair_column and record[values.text_pair_column])
        local label = record[values.label_column]
        ids[i - 1] = numbers[label] or -1
        if label and not numbers[label] then unknown[#unknown + 1] = label end
    end
    return builder:finish { labels = ids }, builder.cut, unknown
end

--- Load a file.
-- @return { path, records, set: sequences, unknown, line: for people, warning: or nil }
function M.load(path, values, words, labels, loaded)
    local list = loaded or M.read(path, values, true)
    local set, cut, unknown = M.sequences(list, values, words, labels)
    local warning = cut > 0 and ("%s: %d of %d texts are longer than max_seq_length %d: their ends are cut off"):format(
        path, cut, #list, values.max_seq_length) or nil
    if #unknown > 0 then
        fault.raisef("%s: label %q is none of the model's: %s", path, unknown[1],
            table.concat(labels, ", ", 1, math.min(#labels, 10)) .. (#labels > 10 and ", ..." or ""))
    end
    return { path = path, records = list, set = set, warning = warning,
        line = ("%s: %d texts, %d labels, up to %d tokens"):format(path, #list, #labels, set.longest) }
end

return M
