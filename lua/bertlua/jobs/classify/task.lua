--- Task: fine-tune on classification, evaluate, predict.
--
-- OUTPUT_DIR/BERT_MODEL/classify/ gets the model (as a folder that transformers
-- opens), eval.json and predictions.jsonl; its integer-named folders are
-- checkpoints to resume from.

local BertConfig = require "bertlua.models.bert_config"
local BertForSequenceClassification = require "bertlua.models.sequence_classification"
local array = require "bertlua.array"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local model_choice = require "bertlua.jobs.common.model_choice"
local model_files = require "bertlua.jobs.common.model_files"
local own_data = require "bertlua.jobs.common.own_data"
local plural = require "bertlua.util.plural"
local records = require "bertlua.data.records"
local sequences = require "bertlua.data.sequences"
local task = require "bertlua.jobs.common.task"
local texts = require "bertlua.jobs.common.texts"

--- Labels of records, sorted; numerically if all are numbers.
local function labels_of(list, column)
    local seen, labels, numeric = {}, {}, true
    for _, record in ipairs(list) do
        local label = record[column]
        if not seen[label] then seen[label], labels[#labels + 1] = true, label end
        numeric = numeric and tonumber(label) ~= nil
    end
    table.sort(labels, numeric and function(a, b) return tonumber(a) < tonumber(b) end or nil)
    return labels
end

--- The labels of a model that was already trained, as recorded in its folder; nil for one that was not.
local function trained_labels(run, values)
    if run.work.train and run.start.kind ~= "resume" or not run.start.path then return nil end
    local file = fs.join(run.start.path, "config.json")
    local labels = fs.is_file(file) and BertConfig.load(file, { own = model_choice.is_own(values) }).labels
    if not labels then fault.raisef("%s: contains no id2label: the names of the model's labels are unknown", file) end
    return labels
end

--- Records of a file, and their texts as sequences with labels {labels = i32 [N]}, -1 where there is none.
-- @param job with data.words, data.config
-- @param path of the file
-- @param list, lines the records, or nil to read them
local function load(job, part, path, list, lines)
    local values, data = job.values, job.data
    local pair, label_column = data.pair_column, part ~= "predict" and values.label_column or nil
    if not list then list, lines = records.read(path, { values.text_column, pair or label_column, label_column }) end
    local builder, ids, numbers = sequences.builder(data.words, values.max_seq_length), array.int32(#list), {}
    for i, label in ipairs(data.config.labels) do numbers[label] = i - 1 end
    for i, record in ipairs(list) do
        builder:add(record[values.text_column], pair and record[pair])
        local label = record[label_column]
        if label == "" then fault.raisef("%s:%d: the label is empty", path, lines[i]) end
        if label and not numbers[label] then
            fault.raisef("%s:%d: label %q is not one of the model's %d", path, lines[i], label, #data.config.labels)
        end
        ids[i - 1] = label and numbers[label] or -1
    end
    local set = builder:finish { labels = ids }
    data.lines[#data.lines + 1] = ("%s: %s of up to %d tokens, %d labels"):format(path, plural.count(#list, "text"),
        set.longest, #data.config.labels)
    texts.warn_of_cut(job, path, builder, #list)
    return { records = list, set = set }
end

--- Records of the recipe's own data.
local function own_records(job)
    local values, data = job.values, job.data
    local pair = values.text_pair_column or "pair"
    job.words = data.words
    local list, numbers, has_pairs, position = own_data.records(job, { text = values.text_column, pair = pair,
        label = values.label_column })
    if has_pairs ~= (values.text_pair_column ~= nil) and (values.dev_file or values.predict_file) then
        fault.raisef("data yields %s, but text_pair_column, a column of the other files, is %s", has_pairs
            and "pairs" or "single texts", values.text_pair_column or "not set")
    end
    data.pair_column, data.position = has_pairs and pair or nil, position
    return list, numbers
end

local function open(job)
    local run, values = job.run, job.values
    local config, words = model_files.load(run, values)
    local data = { config = config, words = words, lines = {}, pair_column = values.text_pair_column }
    job.data = data
    local file = values.data and "data" or values.train_file or values.dev_file
    local list, lines
    if values.data then
        list, lines = own_records(job)
    elseif file then
        list, lines = records.read(file, { values.text_column, values.label_column, values.text_pair_column })
    end
    config.labels = trained_labels(run, values) or list and labels_of(list, values.label_column) or { "0", "1" }
    if #config.labels < 2 then
        fault.raisef("%s: all texts have the label %q, expected at least two labels", file, config.labels[1])
    end
    for _, part in ipairs { "train", "evaluate", "predict" } do
        local path = values[texts.FILES[part]] or "data"
        if run.work[part] then data[part .. "_set"] = load(job, part, path, file == path and list, lines) end
    end
    data.train = run.work.train and texts.batches(job, data.train_set.set)
    return data
end

--- The most likely label of every sequence, as its number from 0, and its probability.
-- @param tick as in texts.infer, or nil
local function classify(job, set, tick)
    local classes = #job.data.config.labels
    local best, probability = array.int32(set.count), array.float(set.count)
    local totals = texts.infer(job, set, function(batch, scores)
        for b, s in ipairs(batch.members) do
            local row, top, sum = (b - 1) * classes, 0, 0
            for c = 1, classes - 1 do
                if scores[row + c] > scores[row + top] then top = c end
            end
            for c = 0, classes - 1 do sum = sum + math.exp(scores[row + c] - scores[row + top]) end
            if sum ~= sum then
                fault.raisef("the model's scores of text %d are NaN: its parameters hold NaN, or the learning rate was "
                    .. "too high", s)
            end
            best[s], probability[s] = top, 1 / sum
        end
    end, tick)
    return best, probability, totals
end

--- Accuracy, and the mean F1 of the labels that occur in gold or predictions (like scikit-learn's macro average).
local function metrics_of(gold, best, count, classes)
    local right, sum, occurring, hits, marks = 0, 0, 0, {}, {}
    for c = 0, classes - 1 do hits[c], marks[c] = 0, 0 end
    for i = 0, count - 1 do
        local is, said = gold[i], best[i]
        marks[is] = marks[is] + 1
        marks[said] = marks[said] + 1
        if is == said then right, hits[is] = right + 1, hits[is] + 1 end
    end
    for c = 0, classes - 1 do
        if marks[c] > 0 then sum, occurring = sum + 2 * hits[c] / marks[c], occurring + 1 end
    end
    return { accuracy = right / count, macro_f1 = sum / occurring }
end

--- Evaluation while training: on dev_file, or a file of its own.
local evaluation = {
    fields = { "dev_file" }, metric = "accuracy",
    metrics = function() return { accuracy = "higher", macro_f1 = "higher" } end,
    plan = function(_, values, evaluate)
        local path = evaluate.dev_file or values.dev_file
        if not path then fault.raise "evaluate: no dev_file: name a file of labeled texts, here or as --dev-file" end
        if not fs.is_file(path) then fault.raisef("evaluate: dev_file %s: no such file", path) end
        evaluate.dev_file = path
    end,
    open = function(job)
        local path, data = job.run.evaluate.dev_file, job.data
        return path == job.values.dev_file and data.evaluate_set or load(job, "evaluate", path)
    end,
    run = function(job, gold, tick)
        local best, _, totals = classify(job, gold.set, tick)
        if totals.stopped then return nil end
        return metrics_of(gold.set.labels.labels, best, gold.set.count, #job.data.config.labels)
    end,
    close = function() end,
}

local function predict(job, outcome)
    local values, data = job.values, job.data
    local wanted, predictions, gold = data.predict_set or data.evaluate_set, {}, data.evaluate_set
    local best, probability, totals = classify(job, wanted.set)
    for i, record in ipairs(wanted.records) do
        predictions[i] = { text = record[values.text_column], text_pair = record[values.text_pair_column],
            label = data.config.labels[best[i - 1] + 1], score = tonumber(probability[i - 1]) }
    end
    totals.file = texts.write(job, "predictions.jsonl", predictions, { "text", "text_pair", "label", "score" })
    outcome.prediction = totals
    if not gold then return end
    if gold ~= wanted then best = classify(job, gold.set) end
    outcome.metrics = metrics_of(gold.set.labels.labels, best, gold.set.count, #data.config.labels)
    texts.write(job, "eval.json", { outcome.metrics })
end

return task.define {
    name = "classify",
    settings = require "bertlua.jobs.classify.settings",
    batch_setting = "train_batch_size",
    results = { { name = "loss", column = "loss", kept = true }, { name = "accuracy", column = "acc" } },
    plan = texts.plan,
    open = open,
    model = function(data) return BertForSequenceClassification.new(data.config) end,
    exports = true,
    evaluation = evaluation,
    predict = predict,
    inference = function(job) return (job.data.predict_set or job.data.evaluate_set).set end,
    rows = function(outcome)
        local metrics, rows = outcome.metrics, {}
        if outcome.prediction then rows[1] = { "output", outcome.prediction.file } end
        rows[#rows + 1] = metrics and { "result", ("accuracy %.2f %%, macro F1 %.2f %%"):format(100 * metrics.accuracy,
            100 * metrics.macro_f1) }
        return rows
    end,
}
