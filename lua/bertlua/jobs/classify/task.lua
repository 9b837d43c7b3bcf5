--- Task: fine-tune on classification or regression, evaluate, predict.

local BertForSequenceClassification = require "bertlua.models.sequence_classification"
local checkpoint = require "bertlua.train.checkpoint"
local class_weights = require "bertlua.jobs.classify.class_weights"
local dataset = require "bertlua.jobs.classify.dataset"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local head = require "bertlua.jobs.classify.head"
local json = require "bertlua.util.json"
local labels = require "bertlua.jobs.common.labels"
local model_choice = require "bertlua.jobs.common.model_choice"
local model_files = require "bertlua.jobs.common.model_files"
local problems = require "bertlua.jobs.classify.problems"
local scoring = require "bertlua.jobs.classify.scoring"
local task = require "bertlua.jobs.common.task"
local texts = require "bertlua.jobs.common.texts"

--- Which problem records ask for, unless a setting says so.
local function kind_of(values, list, lines, path)
    if values.problem_type ~= "auto" then return values.problem_type end
    return problems.find(list, values.label_column, values.label_separator,
        function(i) return ("%s:%d"):format(path, lines[i]) end)
end

--- The problem and the labels that a trained model records.
-- @return problem, names; nil for a model that was not trained
local function trained(run, values, found, path)
    local names, kind = labels.trained(run, values)
    if not names then return nil end
    kind = kind or #names == 1 and problems.REGRESSION or nil
    if kind and values.problem_type ~= "auto" and values.problem_type ~= kind then
        fault.raisef("--problem-type %s, but the model in %s is one of %s", values.problem_type, run.start.path, kind)
    end
    kind = kind or values.problem_type ~= "auto" and values.problem_type
    if not kind then
        -- Several labels have no fractions, so numbers are the names of classes.
        kind = kind_of(values, found.list, found.lines, path)
        if kind == problems.REGRESSION then kind = problems.SINGLE end
    end
    if kind == problems.SINGLE and names[1] ~= "LABEL_0" then
        labels.check_resumed(run, names, (problems.names(kind, found.list, values.label_column)))
    end
    return kind, names
end

--- Tell where a model of pairs is measured on single texts, or one of single texts on pairs.
local function warn_of_pairs(run, values)
    if run.work.train or run.start.kind ~= "resume" then return end
    local began = checkpoint.progress(run.start.path).began
    local was = began and began.settings and began.settings.pair_column
    if not began or (was ~= nil) == (values.pair_column ~= nil) then return end
    run.warnings[#run.warnings + 1] = was and ("%s was trained on pairs (pair_column %s), and is measured on single "
        .. "texts: --pair-column names the other ones"):format(run.start.path, was)
        or ("%s was trained on single texts, and is measured on pairs"):format(run.start.path)
end

--- The labels that training data have, in the order of a head that goes on.
-- @return problem, names
local function new_labels(job, found, path)
    local run, values, data = job.run, job.values, job.data
    local kind, names = kind_of(values, found.list, found.lines, path), { problems.NUMBER }
    if kind ~= problems.REGRESSION then
        local counts, first
        for i, record in ipairs(found.list) do
            if kind == problems.SINGLE and type(record[values.label_column]) == "table" then
                fault.raisef("%s:%d: the label is a list, but the model gives one label a text", path, found.lines[i])
            end
        end
        names, counts, first = problems.names(kind, found.list, values.label_column, values.label_separator)
        if kind == problems.SINGLE and #names < 2 then
            fault.raisef("%s: all texts have the label %q, expected at least two labels", path, names[1])
        elseif #names == 0 then
            fault.raisef("%s: no text has a label", path)
        end
        dataset.warn_of_labels(run, path, found.lines, names, counts, first)
    end
    if not model_choice.is_own(values) then
        local why
        names, data.ignored, why = head.settle(run, values, kind, names)
        run.warnings[#run.warnings + 1] = why
    end
    return kind, names
end

--- Weights of the labels, from what the setting says and the texts to train on.
local function weigh(job, found, path)
    local values, data = job.values, job.data
    if not values.class_weights or not job.run.work.train then return end
    if data.kind ~= problems.SINGLE then
        fault.raisef("--class-weights is for one label a text, and these data are of %s: leave it out", data.kind)
    elseif values.loss or model_choice.is_own(values) then
        fault.raisef("--class-weights is for the loss of the task, and the recipe gives a %s of its own: leave it out",
            values.loss and "loss" or "model")
    end
    local _, counts = problems.names(data.kind, found.list, values.label_column)
    data.class_weights = class_weights.of(values.class_weights, data.config.labels, counts, path)
    data.lines[#data.lines + 1] = "weights of the labels: " .. class_weights.described(data.class_weights,
        data.config.labels)
end

--- Refuse a metric that another problem has; which one it is only the data say.
local function check_metric(run, kind)
    local wanted, known = run.evaluate, problems.METRICS[kind]
    if not wanted or known[wanted.metric] then return end
    local names = {}
    for name in pairs(known) do names[#names + 1] = name end
    table.sort(names)
    fault.raisef("evaluate: metric %s is none of %s: choose one of %s", wanted.metric, kind, table.concat(names, ", "))
end

local function open(job)
    local run, values = job.run, job.values
    local config, words = model_files.load(run, values)
    local data = { config = config, words = words, lines = {}, pair_column = values.pair_column, sets = {} }
    job.data = data
    local path, found = values.data and "data" or values.train_file or values.dev_file or values.test_file, {}
    if values.data then
        found.list, found.lines, found.by_number, found.skipped = dataset.own(job)
    else
        found.list, found.lines, found.by_number, found.skipped = dataset.read(values, path)
    end
    warn_of_pairs(run, values)
    data.kind, config.labels = trained(run, values, found, path)
    if not data.kind then data.kind, config.labels = new_labels(job, found, path) end
    config.problem_type = data.kind
    check_metric(run, data.kind)
    for _, part in ipairs(texts.PARTS) do
        local file = values[texts.FILES[part]] or part == "train" and values.data and "data"
        if file then data.sets[part] = dataset.load(job, file, file == path and found or nil) end
    end
    weigh(job, found, path)
    data.train = run.work.train and texts.batches(job, data.sets.train.set)
    return data
end

--- What the model predicts of every text, and its figures.
-- @param tick as in texts.infer, or nil
-- @return metrics, predicted, totals
local function infer(job, gold, tick)
    local set, kind, classes = gold.set, job.data.kind, #job.data.config.labels
    local predicted, read = scoring.reader(kind, set.count, classes)
    local totals = texts.infer(job, set, read, tick)
    if totals.stopped then return nil, nil, totals end
    return scoring.metrics(kind, set.labels.labels, predicted, set.count, classes), predicted, totals
end

--- Metrics of all problems, since only the data may say which it is.
local function all_metrics()
    local all = {}
    for _, metrics in pairs(problems.METRICS) do
        for name, better in pairs(metrics) do all[name] = better end
    end
    return all
end

--- Evaluation while training.
local own_evaluation = {
    metric = "accuracy", metrics = all_metrics,
    -- Each problem has another metric that decides, and the state of a run that resumes is compared with it.
    usual = function(values, evaluate)
        local path, kind = evaluate.dev_file or values.dev_file or values.train_file, values.problem_type
        if kind == "auto" then
            -- Of a file that is missing the plan tells.
            if not path or not fs.is_file(path) then return nil end
            local list, lines = dataset.read(values, path)
            kind = kind_of(values, list, lines, path)
        end
        return problems.DECIDES[kind]
    end,
    run = function(job, gold, tick) return (infer(job, gold, tick)) end,
}

--- Figures and predictions of a file.
local function measure(job, part)
    local values, data, predictions = job.values, job.data, {}
    local gold = data.sets[part]
    local metrics, predicted, totals = infer(job, gold)
    for name, value in pairs(metrics) do
        if value ~= value then metrics[name] = json.null end
    end
    for i, record in ipairs(gold.records) do
        local prediction = scoring.record(data.kind, predicted, i - 1, data.config.labels)
        prediction.text, prediction.pair = record[values.text_column], record[values.pair_column]
        predictions[i] = prediction
    end
    return metrics, predictions, { "text", "pair", "label", "score", "labels", "scores", "value" }, totals
end

local LOSS = { name = "loss", column = "loss", kept = true }
local SINGLE = { LOSS, { name = "accuracy", column = "acc" } }

--- The items of train_file, for cross-validation. Bad rows stay with the item before them, and are left out there.
local function folds(values)
    local list, lines = dataset.read(values, values.train_file)
    local kind, items = kind_of(values, list, lines, values.train_file), {}
    for i, record in ipairs(list) do
        local label = record[values.label_column]
        if kind == problems.REGRESSION then
            items[i] = { line = lines[i], names = {} }
        elseif kind == problems.MULTI then
            items[i] = { line = lines[i], names = problems.list_of(label, values.label_separator) }
        else
            items[i] = { line = lines[i], stratum = label, names = { label } }
        end
    end
    return items
end

local evaluation, predict, inference = texts.evaluated("labeled texts", dataset.load, measure, own_evaluation)

return task.define {
    name = "classify",
    settings = require "bertlua.jobs.classify.settings",
    batch_setting = "train_batch_size",
    flat = true,
    results = SINGLE,
    results_of = function(_, data) return data.kind == problems.SINGLE and SINGLE or { LOSS } end,
    plan = texts.plan,
    open = open,
    model = function(data)
        return BertForSequenceClassification.new(data.config, nil, { class_weights = data.class_weights })
    end,
    exports = true,
    cuts = true,
    folds = folds,
    evaluation = evaluation,
    predict = predict,
    inference = inference,
    rows = function(outcome)
        local rows = {}
        if outcome.prediction then rows[1] = { "output", outcome.prediction.file } end
        rows[#rows + 1] = outcome.metrics and { "result", ("%s: %s"):format(outcome.measured,
            scoring.summary(outcome.metrics)) }
        return rows
    end,
}
