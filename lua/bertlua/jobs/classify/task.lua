--- Task: fine-tune on classification, evaluate, predict.

local BertForSequenceClassification = require "bertlua.models.sequence_classification"
local array = require "bertlua.array"
local fault = require "bertlua.fault"
local figures = require "bertlua.jobs.common.figures"
local fs = require "bertlua.util.fs"
local labels = require "bertlua.jobs.common.labels"
local model_files = require "bertlua.jobs.common.model_files"
local own_data = require "bertlua.jobs.common.own_data"
local plural = require "bertlua.util.plural"
local records = require "bertlua.data.records"
local sequences = require "bertlua.data.sequences"
local task = require "bertlua.jobs.common.task"
local texts = require "bertlua.jobs.common.texts"

--- Records of a file, and their texts as sequences with labels {labels = i32 [N]}.
-- @param job with data.words, data.config
-- @param path of the file
-- @param list, lines the records, or nil to read them
local function load(job, path, list, lines)
    local values, data = job.values, job.data
    local pair, label_column = data.pair_column, values.label_column
    if not list then
        list, lines = records.read(path, { values.text_column, pair or label_column, label_column }, values)
    end
    local builder, ids = sequences.builder(data.words, values.max_seq_length), array.int32(#list)
    local numbers = labels.numbers(data.config.labels)
    for i, record in ipairs(list) do
        builder:add(record[values.text_column], pair and record[pair])
        local label = record[label_column]
        if label == "" then fault.raisef("%s:%d: the label is empty", path, lines[i]) end
        if not numbers[label] then
            fault.raisef("%s:%d: label %q is not one of the model's %d", path, lines[i], label, #data.config.labels)
        end
        ids[i - 1] = numbers[label]
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
    local pair = values.pair_column or "pair"
    job.words = data.words
    local list, numbers, has_pairs, position = own_data.records(job, { text = values.text_column, pair = pair,
        label = values.label_column })
    if has_pairs ~= (values.pair_column ~= nil) and (values.dev_file or values.test_file) then
        fault.raisef("data yields %s, but pair_column, a column of the other files, is %s", has_pairs
            and "pairs" or "single texts", values.pair_column or "not set")
    end
    data.pair_column, data.position = has_pairs and pair or nil, position
    return list, numbers
end

local function open(job)
    local run, values = job.run, job.values
    local config, words = model_files.load(run, values)
    local data = { config = config, words = words, lines = {}, pair_column = values.pair_column }
    job.data = data
    local file = values.data and "data" or values.train_file or values.dev_file or values.test_file
    local list, lines
    if values.data then
        list, lines = own_records(job)
    elseif file then
        list, lines = records.read(file, { values.text_column, values.label_column, values.pair_column }, values)
    end
    config.labels = labels.trained(run, values) or list and labels.distinct(function(visit)
        for _, record in ipairs(list) do visit(record[values.label_column]) end
    end) or { "0", "1" }
    if #config.labels < 2 then
        fault.raisef("%s: all texts have the label %q, expected at least two labels", file, config.labels[1])
    end
    data.sets = {}
    for _, part in ipairs(texts.PARTS) do
        local path = values[texts.FILES[part]] or part == "train" and values.data and "data"
        if path then data.sets[part] = load(job, path, file == path and list, lines) end
    end
    data.train = run.work.train and texts.batches(job, data.sets.train.set)
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

--- Figures of predictions, those that are numbers.
local function metrics_of(gold, best, count, classes)
    local metrics = figures.single(gold, best, count, classes)
    return metrics
end

--- Evaluation while training: on dev_file, or a file of its own.
local evaluation = {
    fields = { "dev_file" }, metric = "accuracy",
    metrics = function()
        return { accuracy = "higher", macro_f1 = "higher", micro_f1 = "higher", matthews = "higher" }
    end,
    plan = function(_, values, evaluate)
        local path = evaluate.dev_file or values.dev_file
        if not path then fault.raise "evaluate: no dev_file: name a file of labeled texts, here or as --dev-file" end
        if not fs.is_file(path) then fault.raisef("evaluate: dev_file %s: no such file", path) end
        evaluate.dev_file = path
    end,
    open = function(job)
        local path, data = job.run.evaluate.dev_file, job.data
        return path == job.values.dev_file and data.sets.dev or load(job, path)
    end,
    run = function(job, gold, tick)
        local best, _, totals = classify(job, gold.set, tick)
        if totals.stopped then return nil end
        return metrics_of(gold.set.labels.labels, best, gold.set.count, #job.data.config.labels)
    end,
    close = function() end,
}

--- Figures and predictions of a file.
local function measure(job, part)
    local values, data, predictions = job.values, job.data, {}
    local gold = data.sets[part]
    local best, probability, totals = classify(job, gold.set)
    for i, record in ipairs(gold.records) do
        predictions[i] = { text = record[values.text_column], pair = record[values.pair_column],
            label = data.config.labels[best[i - 1] + 1], score = tonumber(probability[i - 1]) }
    end
    return metrics_of(gold.set.labels.labels, best, gold.set.count, #data.config.labels), predictions,
        { "text", "pair", "label", "score" }, totals
end

return task.define {
    name = "classify",
    settings = require "bertlua.jobs.classify.settings",
    batch_setting = "train_batch_size",
    flat = true,
    results = { { name = "loss", column = "loss", kept = true }, { name = "accuracy", column = "acc" } },
    plan = texts.plan,
    open = open,
    model = function(data) return BertForSequenceClassification.new(data.config) end,
    exports = true,
    evaluation = evaluation,
    predict = function(job, outcome)
        texts.evaluate(job, outcome, function(part) return measure(job, part) end)
    end,
    inference = function(job) return (job.data.sets.test or job.data.sets.dev).set end,
    rows = function(outcome)
        local metrics, rows = outcome.metrics, {}
        if outcome.prediction then rows[1] = { "output", outcome.prediction.file } end
        rows[#rows + 1] = metrics and { "result", ("%s: accuracy %.2f %%, macro F1 %.2f %%"):format(outcome.measured,
            100 * metrics.accuracy, 100 * metrics.macro_f1) }
        return rows
    end,
}
