--- The records of a classification run: read from its files, checked, and turned into sequences with labels.

local fault = require "bertlua.fault"
local own_data = require "bertlua.jobs.common.own_data"
local plural = require "bertlua.util.plural"
local problems = require "bertlua.jobs.classify.problems"
local records = require "bertlua.data.records"
local sequences = require "bertlua.data.sequences"
local texts = require "bertlua.jobs.common.texts"

local M = {}

local function is_empty(record, values)
    return not record[values.text_column]:find "%S" or values.pair_column
        and not record[values.pair_column]:find "%S"
end

--- What is wrong with a record in itself; nil if nothing is.
local function problem_of(record, values)
    local label = record[values.label_column]
    if values.bad_rows == "skip" and is_empty(record, values) then return "the text is empty" end
    if label == "" and not values.label_separator then return "the label is empty" end
    if values.problem_type == problems.REGRESSION and values.bad_rows == "skip" and not problems.number(label) then
        return ("the label %s is no number"):format(type(label) == "table" and "is a list and"
            or ("%q"):format(label))
    end
    return nil
end

--- Read a file of labeled texts.
-- @param values settings
-- @param path of the file
-- @return list of records; list of their lines; whether columns were taken by number; what was left out
function M.read(values, path)
    local columns = { values.text_column, values.label_column, values.pair_column }
    return records.read(path, columns, { encoding = values.encoding, invalid_utf8 = values.invalid_utf8,
        header = values.header, bad_rows = values.bad_rows, lists = { [values.label_column] = true },
        texts = { [values.text_column] = true, [values.pair_column or values.text_column] = true },
        settings = { [values.label_column] = "--label-column", [values.pair_column or ""] = "--pair-column",
            [values.text_column] = "--text-column" },
        check = function(record) return problem_of(record, values) end })
end

--- Records of the recipe's own data.
-- @return as read()
function M.own(job)
    local values, data = job.values, job.data
    local pair = values.pair_column or "pair"
    job.words = data.words
    local list, numbers, has_pairs, position = own_data.records(job, { text = values.text_column, pair = pair,
        label = values.label_column })
    if has_pairs ~= (values.pair_column ~= nil) and (values.dev_file or values.test_file) then
        fault.raisef("data yields %s, but pair_column, a column of the other files, is %s", has_pairs
            and "pairs" or "single texts", values.pair_column or "not set")
    end
    data.pair_column, data.position = has_pairs and pair or nil, position
    for i, record in ipairs(list) do
        if record[values.label_column] == "" and not values.label_separator then
            fault.raisef("data:%d: the label is empty", numbers[i])
        end
    end
    return list, numbers, false, { count = 0 }
end

--- Lines about texts without a word and rows that were left out.
local function warn(job, path, found)
    local values, warnings = job.values, job.run.warnings
    if found.skipped.count > 0 then
        warnings[#warnings + 1] = ("%s: %s left out, the first: %s"):format(path,
            plural.count(found.skipped.count, "bad row"), found.skipped.first)
    end
    local empty, first = 0, nil
    for i, record in ipairs(found.list) do
        local pair = job.data.pair_column
        if not record[values.text_column]:find "%S" or pair and not record[pair]:find "%S" then
            empty, first = empty + 1, first or found.lines[i]
        end
    end
    if empty > 0 then
        warnings[#warnings + 1] = ("%s:%d: the text is empty%s: it is taken as it is; --bad-rows skip leaves it out")
            :format(path, first, empty > 1 and (", as in %d other rows"):format(empty - 1) or "")
    end
end

--- A part of a run: its records, and their texts as sequences with labels.
-- @param job with data.words, data.config, data.kind
-- @param path of the file
-- @param found {list, lines, by_number, skipped} as read() returns them, or nil to read it
-- @return {records, lines, set}
function M.load(job, path, found)
    local values, data = job.values, job.data
    if not found then
        found = {}
        found.list, found.lines, found.by_number, found.skipped = M.read(values, path)
    end
    local list, lines = found.list, found.lines
    local builder = sequences.builder(data.words, values.max_seq_length)
    for _, record in ipairs(list) do
        builder:add(record[values.text_column], data.pair_column and record[data.pair_column])
    end
    local encoded, described = problems.encode(data.kind, list, values.label_column, data.config.labels,
        function(i) return ("%s:%d"):format(path, lines[i]) end, values.label_separator)
    local set = builder:finish { labels = encoded }
    data.lines[#data.lines + 1] = ("%s: %s of up to %d tokens, %s%s"):format(path, plural.count(#list, "text"),
        set.longest, described, found.by_number and "; no header, columns by number" or "")
    warn(job, path, found)
    texts.warn_of_cut(job, path, builder, #list)
    return { records = list, lines = lines, set = set }
end

--- Lines about labels of which hardly anything can be learned: those of one text, and those that may be one.
-- @param path where the labels come from
-- @param lines of the records
-- @param names, counts, first of problems.names()
function M.warn_of_labels(run, path, lines, names, counts, first)
    local lone, folded = {}, {}
    for _, name in ipairs(names) do
        if counts[name] == 1 then lone[#lone + 1] = name end
        local plain = name:lower():match "^%s*(.-)%s*$"
        if folded[plain] then
            run.warnings[#run.warnings + 1] = ("%s: the labels %q (line %d) and %q (line %d) differ in case or spaces "
                .. "alone, and are two labels"):format(path, folded[plain], lines[first[folded[plain]]], name,
                lines[first[name]])
        end
        folded[plain] = name
    end
    if #lone == 0 then return end
    run.warnings[#run.warnings + 1] = ("%s:%d: no other text has the label %q%s"):format(path, lines[first[lone[1]]],
        lone[1], #lone > 1 and ("; %d labels have one text each"):format(#lone) or "")
end

return M
