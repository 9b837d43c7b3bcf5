--- Job: predictions, or a model's, against gold.

local applicable = require "bertlua.jobs.predict.applicable"
local aside = require "bertlua.util.aside"
local comparing = require "bertlua.jobs.evaluate.comparing"
local devices = require "bertlua.jobs.common.devices"
local fault = require "bertlua.fault"
local json = require "bertlua.util.json"
local plural = require "bertlua.util.plural"
local predict = require "bertlua.jobs.predict.predict"
local progress = require "bertlua.util.progress"
local report = require "bertlua.jobs.evaluate.report"
local settings = require "bertlua.settings"
local term = require "bertlua.util.term"
local text_source = require "bertlua.data.text_source"

local M = {}

local function all_settings()
    local list = {
        { name = "gold", type = "path", required = true, group = "Files",
            help = "rows with their labels: .csv, .tsv, JSON lines, or CoNLL columns" },
        { name = "predictions", type = "path", group = "Files",
            help = "JSON lines of predict.lua, or predictions.jsonl of a run; unset: those of checkpoint" },
        { name = "checkpoint", type = "path", group = "Files",
            help = "a model to predict with, in place of predictions: OUTPUT_DIR of a run, a checkpoint, or a Hugging "
                .. "Face folder" },
        { name = "output", type = "path", group = "Files",
            help = "file for the figures, as JSON; unset: none" },
        { name = "worst", type = "integer", min = 0, max = 1000, default = 10, group = "Files",
            help = "show this many of the rows that are most surely wrong" },
        { name = "label_column", type = "string", group = "Data",
            help = "column of the label or number; unset: label; for tags the list tags of JSON lines, or the last "
                .. "column" },
        { name = "label_separator", type = "string", group = "Data",
            help = "what stands between several labels of a text, as in `news;sport`; JSON lines may have lists "
                .. "instead; unset: a label is taken as it is" },
    }
    for _, more in ipairs { predict.of_rows, predict.of_model } do
        for _, setting in ipairs(more) do
            -- Embeddings are measured by their cosine, which does not depend on their lengths.
            if setting.name ~= "normalize" then list[#list + 1] = setting end
        end
    end
    for _, name in ipairs { "device", "threads" } do list[#list + 1] = predict.settings.by_name[name] end
    return settings.define(list)
end

M.settings = all_settings()

-- What another recipe measures.
local ELSEWHERE = { answers = "`bertlua evaluate_squad` measures answers",
    mask = "`bertlua evaluate_pretraining` measures masked words" }

--- The gold rows, and what messages call each.
local function read_gold(values, kind)
    local label = values.label_column or kind ~= "tags" and "label" or nil
    local input = predict.open_rows(values, values.gold, kind, label, true)
    local list = {}
    for row in input.next, input do
        row.where = input:where(row)
        list[#list + 1] = row
    end
    input:tell_replaced()
    input:close()
    if #list == 0 then fault.raisef("%s: nothing in it to evaluate", input.name) end
    return list
end

--- Records of a file of predictions.
local function read_predictions(path)
    local text, list, lines, number = text_source.need(path), {}, {}, 0
    for line in (text .. "\n"):gmatch "(.-)\r?\n" do
        number = number + 1
        if line:find "%S" then
            local record = json.decode(line)
            if type(record) ~= "table" or not comparing.kind_of(record) then
                fault.raisef("%s:%d: no prediction: expected a JSON object with label, labels, value or tags", path,
                    number)
            end
            list[#list + 1], lines[#lines + 1] = record, number
        end
    end
    if #list == 0 then fault.raisef("%s: no prediction in it", path) end
    return list, lines
end

--- Cosines of pairs' embeddings, as numbers to compare with gold ones.
local function similarities(model, gold, values)
    local texts, options = {}, { batch_size = values.batch_size, pooling = values.pooling, normalize = true }
    for _, row in ipairs(gold) do
        texts[#texts + 1] = row.text
        texts[#texts + 1] = row.pair
    end
    local vectors, list = model:embed(texts, options):tolist(), {}
    for i in ipairs(gold) do
        local a, b, sum = vectors[2 * i - 1], vectors[2 * i], 0
        for h, x in ipairs(a) do sum = sum + x * b[h] end
        list[i] = { value = sum }
    end
    return list
end

--- A model's predictions of the gold rows.
local function predicted(model, kind, gold, values)
    if kind == "embeddings" then
        local list = similarities(model, gold, values)
        return list
    end
    local list, window = {}, 16 * values.batch_size
    local bar = progress.new { total = #gold, label = "predict", unit = "rows" }
    local function where(row) return row.where end
    for from = 1, #gold, window do
        local part = {}
        for i = from, math.min(#gold, from + window - 1) do part[#part + 1] = gold[i] end
        for _, record in ipairs(predict.window(model, kind, part, values, where)) do list[#list + 1] = record end
        bar:update(#list)
    end
    bar:finish()
    return list
end

local function with_model(values, sources)
    devices.open(values)
    local model, kind = predict.open_model(values, sources)
    if ELSEWHERE[kind] then fault.raisef("%s: %s", values.checkpoint, ELSEWHERE[kind]) end
    if kind == "embeddings" and not values.pair_column then
        fault.raisef("%s: embeddings are measured by pairs with a score: name their columns with --text-column, "
            .. "--pair-column and --label-column", values.checkpoint)
    end
    local gold, cut = read_gold(values, kind), 0
    model.on_cut = function(count) cut = cut + count end
    local predictions = predicted(model, kind, gold, values)
    if cut > 0 then
        term.warn(("%s: %s longer than %d tokens: the end is left out"):format(values.gold,
            plural.count(cut, kind == "tags" and "word is" or "text is", kind == "tags" and "words are"
            or "texts are"), model.limit))
    end
    local names = model.config.labels
    model:close()
    return gold, predictions, { names = names, ranked = kind == "embeddings",
        place = function(i) return gold[i].where end }
end

-- What kinds of predictions are of, in applicable.lua's words.
local USES = { value = "numbers" }

local function with_file(values, sources)
    for _, setting in ipairs(predict.of_model) do
        if sources[setting.name] then
            fault.raisef("%s is for --checkpoint, but --predictions %s runs no model: leave it out",
                settings.option(setting.name), values.predictions)
        end
    end
    local predictions, lines = read_predictions(values.predictions)
    local kind = comparing.kind_of(predictions[1])
    applicable.check(USES[kind] or kind, values.predictions, sources)
    local gold = read_gold(values, kind == "tags" and "tags" or "labels")
    if #gold ~= #predictions then
        fault.raisef("%s: %s, but %s has %d: are they of the same file?", values.predictions,
            plural.count(#predictions, "prediction"), values.gold, #gold)
    end
    return gold, predictions, { place = function(i) return ("%s:%d"):format(values.predictions, lines[i]) end }
end

--- Tell of labels that the model cannot say.
local function warn_of_unknown(result, path)
    local list = result.unknown
    if not list or #list == 0 then return end
    term.warn(("%s: %s of gold, %q, is not one of the model's%s: %s counted as wrong"):format(list[1][2] or path,
        result.kind == "tags" and "a tag" or "a label", list[1][1],
        #list > 1 and (", nor are %d others"):format(#list - 1) or "", plural.count(result.of_unknown,
        result.kind == "tags" and "word is" or "row is", result.kind == "tags" and "words are" or "rows are")))
end

--- Run the job: a report on standard output, and OUTPUT.
-- @param values of M.settings
-- @param sources where each was given, as Spec:parse returns it, or nil
-- @return result of comparing.lua
function M.run(values, sources)
    sources = sources or {}
    if (values.predictions ~= nil) == (values.checkpoint ~= nil) then
        fault.raise("give either --predictions or --checkpoint, whose predictions are to be measured")
    end
    predict.check_output(values.output, { gold = values.gold, predictions = values.predictions })
    local gold, predictions, options = (values.predictions and with_file or with_model)(values, sources)
    options.worst, options.separator = values.worst, values.label_separator
    local result = comparing.compare(gold, predictions, options)
    warn_of_unknown(result, values.gold)
    if values.output then
        local written, kept = aside.write(values.output, comparing.encode(result))
        fault.check(written, kept)
        if kept then term.warn(("%s was there already and differs: kept as %s"):format(values.output, kept)) end
    end
    io.stdout:write(report.text(result, values.gold, term.is_terminal "stdout" and term.columns "stdout" or nil))
    return result
end

--- What the recipe calls: its own settings, then the command line.
function M.main(overrides, description)
    return M.run(M.settings:parse(arg or {}, overrides, { description = description }))
end

return M
