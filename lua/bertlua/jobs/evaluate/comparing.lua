--- Predictions against gold: figures, classes, confusions, and the rows that are most surely wrong.
--
-- A result: {kind = "label", "labels", "value" or "tags"; rows, metrics {name = number}, and where they apply:
-- classes = list of {name, precision, recall, f1, support}; names and confusion = counts[gold][predicted];
-- confusions = list of {gold, predicted, count}, the largest first; worst = list of {where, score, gold, predicted,
-- text}}.

local correlation = require "bertlua.metrics.correlation"
local fault = require "bertlua.fault"
local figures = require "bertlua.jobs.common.figures"
local json = require "bertlua.util.json"
local labels = require "bertlua.jobs.common.labels"
local plural = require "bertlua.util.plural"
local problems = require "bertlua.jobs.classify.problems"
local spans = require "bertlua.metrics.spans"

local M = {}

--- What a prediction is: the name of its kind; nil if it is none.
function M.kind_of(record)
    if type(record.tags) == "table" then return "tags" end
    if type(record.label) == "string" then return "label" end
    if type(record.labels) == "table" then return "labels" end
    if type(record.value) == "number" then return "value" end
    return nil
end

local function shown_text(row)
    if row.words then return table.concat(row.words, " ") end
    return row.pair and row.text .. " | " .. row.pair or row.text
end

--- The most of a list by a key, largest first; equal ones in their order.
local function most(list, key, count)
    for i, item in ipairs(list) do item.at = i end
    table.sort(list, function(a, b)
        if a[key] ~= b[key] then return a[key] > b[key] end
        return a.at < b.at
    end)
    local top = {}
    for i, item in ipairs(list) do
        item.at = nil
        if i <= count then top[i] = item end
    end
    return top
end

local function classes_of(names, scores)
    local list = {}
    for c, name in ipairs(names) do
        local class = scores[c]
        list[c] = { name = name, precision = class.precision, recall = class.recall, f1 = class.f1,
            support = class.support }
    end
    return list
end

--- Pairs of different classes, the most frequent first.
local function confusions_of(names, confusion)
    local list = {}
    for g, row in ipairs(confusion) do
        for p, count in ipairs(row) do
            if g ~= p and count > 0 then list[#list + 1] = { gold = names[g], predicted = names[p], count = count } end
        end
    end
    return most(list, "count", #list)
end

local function with_confusion(result, names, all)
    result.names, result.confusion = names, all.confusion
    result.classes, result.confusions = classes_of(names, all.classes), confusions_of(names, all.confusion)
    return result
end

--- One label a text.
-- @param rows with label (gold), text, pair, where
-- @param predictions a record each
-- @param options of compare()
-- @return result
local function single(rows, predictions, options)
    local names = labels.distinct(function(visit)
        for i, row in ipairs(rows) do
            visit(row.label)
            visit(predictions[i].label)
        end
    end)
    local numbers, gold, said, wrong = labels.numbers(names), {}, {}, {}
    for i, row in ipairs(rows) do
        local predicted = predictions[i].label
        gold[i - 1], said[i - 1] = numbers[row.label], numbers[predicted]
        if row.label ~= predicted then
            wrong[#wrong + 1] = { where = row.where, score = predictions[i].score, gold = row.label,
                predicted = predicted, text = shown_text(row) }
        end
    end
    local metrics, all = figures.single(gold, said, #rows, #names)
    return with_confusion({ kind = "label", rows = #rows, metrics = metrics, wrong = #wrong,
        worst = most(wrong, "score", options.worst) }, names, all)
end

--- Several labels a text.
local function multiple(rows, predictions, options)
    local names = options.names or labels.distinct(function(visit)
        for i, row in ipairs(rows) do
            for _, label in ipairs(row.label) do visit(label) end
            for _, label in ipairs(predictions[i].labels) do visit(label) end
        end
    end)
    local numbers, classes, gold, said, wrong = labels.numbers(names), #names, {}, {}, {}
    for k = 0, #rows * classes - 1 do gold[k], said[k] = 0, 0 end
    for i, row in ipairs(rows) do
        local record, from, surest = predictions[i], (i - 1) * classes, nil
        local function mark(target, label)
            if not numbers[label] then
                fault.raisef("%s: label %q is not one of the model's %d", row.where, label, classes)
            end
            target[from + numbers[label]] = 1
        end
        for _, label in ipairs(row.label) do mark(gold, label) end
        for k, label in ipairs(record.labels) do
            mark(said, label)
            if gold[from + numbers[label]] == 0 and not surest then surest = { label, record.scores[k] } end
        end
        if surest then
            wrong[#wrong + 1] = { where = row.where, score = surest[2], gold = table.concat(row.label, ", "),
                predicted = surest[1], text = shown_text(row) }
        end
    end
    local metrics, all = figures.multiple(gold, said, #rows, classes)
    return { kind = "labels", rows = #rows, metrics = metrics, classes = classes_of(names, all.classes),
        wrong = #wrong, worst = most(wrong, "score", options.worst) }
end

local function values(rows, predictions, options)
    local gold, said, list = {}, {}, {}
    for i, row in ipairs(rows) do
        local number = problems.number(row.label)
        if not number then fault.raisef("%s: %q is not a number", row.where, tostring(row.label)) end
        gold[i - 1], said[i - 1] = number, predictions[i].value
        list[i] = { where = row.where, difference = math.abs(number - predictions[i].value), gold = number,
            predicted = predictions[i].value, text = shown_text(row) }
    end
    local metrics = figures.values(gold, said, #rows)
    if options.ranked then
        metrics.mse, metrics.mae = nil, nil
        local x, y = correlation.ranks(gold, #rows), correlation.ranks(said, #rows)
        for i, entry in ipairs(list) do entry.difference = math.abs(x[i - 1] - y[i - 1]) end
    end
    return { kind = "value", rows = #rows, metrics = metrics, ranked = options.ranked,
        worst = most(list, "difference", options.worst) }
end

--- Tags of words.
local function tags(rows, predictions, options)
    local gold, said, wrong, words = {}, {}, {}, 0
    for i, row in ipairs(rows) do
        local record = predictions[i]
        if #record.tags ~= #row.tags then
            fault.raisef("%s: %s, but %d predicted", row.where, plural.count(#row.tags, "gold tag"), #record.tags)
        end
        gold[i], said[i], words = row.tags, record.tags, words + #row.tags
        for w, tag in ipairs(row.tags) do
            if tag ~= record.tags[w] then
                wrong[#wrong + 1] = { where = row.where, score = record.scores and record.scores[w] or 0, gold = tag,
                    predicted = record.tags[w], text = row.words[w] .. ": " .. shown_text(row) }
            end
        end
    end
    local scheme = spans.scheme(gold)
    local metrics = figures.tags(gold, said, scheme ~= nil)
    local result = { kind = "tags", rows = #rows, words = words, scheme = scheme, metrics = metrics, wrong = #wrong,
        worst = most(wrong, "score", options.worst) }
    local _, all = figures.tags(gold, said, false)
    with_confusion(result, all.names, all)
    if not scheme then return result end
    result.classes = {}
    for name, scores in pairs(metrics.types) do
        result.classes[#result.classes + 1] = { name = name, precision = scores.precision, recall = scores.recall,
            f1 = scores.f1, support = scores.support }
    end
    table.sort(result.classes, function(a, b) return a.name < b.name end)
    return result
end

local KINDS = { label = single, labels = multiple, value = values, tags = tags }

--- Refuse a prediction that is not of its gold row, or of another kind than the first.
local function check(kind, row, record, place)
    if M.kind_of(record) ~= kind then
        fault.raisef("%s: no prediction with a %s like the first one's", place, kind)
    end
    local same = true
    if type(record.text) == "string" and row.text then same = record.text == row.text end
    if type(record.words) == "table" and row.words then
        same = table.concat(record.words, " ") == table.concat(row.words, " ")
    end
    if not same then
        fault.raisef("%s: a prediction of another text than that of %s: are they of the same file?", place, row.where)
    end
end

--- The numbers that gold names labels by where nobody named the model's: "1" for LABEL_1.
local function name_numbers(rows, predictions)
    for _, record in ipairs(predictions) do
        for _, label in ipairs(record.labels or { record.label }) do
            if not label:find "^LABEL_%d+$" then return end
        end
    end
    local function named(label)
        return type(label) == "string" and label:find "^%d+$" and "LABEL_" .. label or label
    end
    for _, row in ipairs(rows) do
        if type(row.label) == "table" then
            local list = {}
            for i, label in ipairs(row.label) do list[i] = named(label) end
            row.label = list
        else
            row.label = named(row.label)
        end
    end
end

--- Refuse several gold labels in one text that nothing parts: "a;b" where predictions have a and b.
local function check_separator(rows, predictions)
    local known = {}
    for _, record in ipairs(predictions) do
        for _, label in ipairs(record.labels) do known[label] = true end
    end
    for _, row in ipairs(rows) do
        if type(row.label) == "string" and not known[row.label] then
            for label in pairs(known) do
                if row.label:find(label, 1, true) then
                    fault.raisef("%s: %q seems to be several labels: --label-separator says what parts them", row.where,
                        row.label)
                end
            end
        end
    end
end

--- Labels or tags of gold that a model does not know: {name, where it occurs first}, and how many rows or words have
-- such ones.
local function unknown_of(rows, names)
    local known, list, seen, count = labels.numbers(names), {}, {}, 0
    for _, row in ipairs(rows) do
        for _, label in ipairs(row.tags or { row.label }) do
            if not known[label] then
                count = count + 1
                if not seen[label] then list[#list + 1], seen[label] = { label, row.where }, true end
            end
        end
    end
    return list, count
end

--- Compare.
-- @param rows gold: label or tags, text or words, where
-- @param predictions as recipes/predict.lua writes them, one a row
-- @param options worst: how many; names: all labels of the model, nil: those that occur; separator of several labels;
--   ranked: numbers are of another scale than the gold ones, so that only their order counts; place(i): what messages
--   call prediction i
-- @return result; with names also unknown, a list of {label, place} that the model does not know, and how many are
--   of_unknown
function M.compare(rows, predictions, options)
    local kind = M.kind_of(predictions[1])
    if kind == "labels" and not options.separator then check_separator(rows, predictions) end
    for i, row in ipairs(rows) do
        check(kind, row, predictions[i], options.place(i))
        if kind == "labels" then
            row.label = problems.list_of(row.label, options.separator)
        elseif kind == "label" and type(row.label) == "table" then
            fault.raisef("%s: the gold label is a list, but the predictions are of one label", row.where)
        elseif kind == "label" and row.label == "" then
            fault.raisef("%s: the label is empty", row.where)
        end
    end
    if kind == "label" or kind == "labels" then name_numbers(rows, predictions) end
    local result = KINDS[kind](rows, predictions, options)
    if options.names and (kind == "label" or kind == "tags") then
        result.unknown, result.of_unknown = unknown_of(rows, options.names)
    end
    return result
end

--- A result as eval.json holds it.
function M.encode(result)
    local record = { rows = result.rows, words = result.words, worst = json.array(result.worst) }
    for name, value in pairs(result.metrics) do record[name] = value end
    if result.classes and not record.types then
        record.classes = {}
        for _, class in ipairs(result.classes) do
            record.classes[class.name] = { precision = class.precision, recall = class.recall, f1 = class.f1,
                support = class.support }
        end
    end
    record.confusions = result.confusions and json.array(result.confusions)
    return json.encode(record, { pretty = true }) .. "\n"
end

return M
