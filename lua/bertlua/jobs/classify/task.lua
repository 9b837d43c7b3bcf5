--- Task: fine-tune on classification, evaluate, predict.
--
-- OUTPUT_DIR/BERT_MODEL/classify/ gets the model (as a folder that transformers
-- opens), eval.json and predictions.jsonl; its integer-named folders are
-- checkpoints to resume from.

local BertConfig = require "bertlua.models.bert_config"
local BertForSequenceClassification = require "bertlua.models.sequence_classification"
local array = require "bertlua.array"
local classify_data = require "bertlua.jobs.classify.data"
local context = require "bertlua.context"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local inference = require "bertlua.train.inference"
local json = require "bertlua.util.json"
local model_files = require "bertlua.jobs.common.model_files"
local progress = require "bertlua.util.progress"
local sequences = require "bertlua.data.sequences"
local task = require "bertlua.jobs.common.task"

local function make_plan(run, values)
    local files = { train = values.train_file, evaluate = values.dev_file, predict = values.predict_file }
    if not next(files) then fault.raise("nothing to do: name a --train-file, --dev-file or --predict-file") end
    run.work = {}
    for part, path in pairs(files) do
        if not fs.is_file(path) then fault.raisef("%s: no such file", path) end
        run.work[part] = true
    end
end

--- The labels of a model that was trained before: those of its folder; nil for one that starts to train.
local function trained_labels(run)
    if run.work.train and run.start.kind ~= "resume" or not run.start.path then return nil end
    local file = fs.join(run.start.path, "config.json")
    local labels = fs.is_file(file) and BertConfig.load(file).labels
    if not labels then fault.raisef("%s: no id2label in it: it does not say what its labels are called", file) end
    return labels
end

local function open(job)
    local run, values = job.run, job.values
    local config, words = model_files.load(run, values)
    local data = { config = config, words = words, lines = {} }
    local texts = run.work.train and classify_data.read(values.train_file, values, true)
    config.labels = trained_labels(run) or texts and classify_data.labels(texts, values.label_column)
        or { "LABEL_0", "LABEL_1" }
    if #config.labels < 2 then
        fault.raisef("%s: all of its texts have the label %q, expected at least two labels", values.train_file,
            config.labels[1])
    end
    for _, name in ipairs { "train", "dev" } do
        local path = values[name .. "_file"]
        if path then
            local loaded = classify_data.load(path, values, words, config.labels, name == "train" and texts or nil)
            data[name .. "_set"], data.lines[#data.lines + 1] = loaded, loaded.line
            run.warnings[#run.warnings + 1] = loaded.warning
        end
    end
    if run.work.train then
        data.train = sequences.open(data.train_set.set, { batch_size = values.train_batch_size,
            seed = values.seed, pack_sequences = values.pack_sequences, few_shapes = context.device() ~= "cpu" })
    end
    return data
end

--- Records to predict, as classify_data.load returns them.
local function to_predict(job)
    local values, data = job.values, job.data
    if not values.predict_file then return data.dev_set end
    local list = classify_data.read(values.predict_file, values, false)
    local set = classify_data.sequences(list, values, data.words, data.config.labels)
    return { path = values.predict_file, records = list, set = set }
end

--- The likeliest label of every sequence, as its number from 0, and its probability.
local function classify(job, set)
    local values, classes = job.values, #job.data.config.labels
    local best, probability = array.int32(set.count), array.float(set.count)
    local bar = progress.new { total = set.count, label = "predict", unit = "texts" }
    local totals = inference.run(job.parts.model, job.parts.tape, set, {
        batch_size = values.predict_batch_size, pack_sequences = values.pack_sequences, cuda_graph = values.cuda_graph,
        on_batch = function(done) bar:update(done) end,
    }, function(batch, logits)
        local scores = array.wrap(logits)
        for b, s in ipairs(batch.members) do
            local row, top, sum = (b - 1) * classes, 0, 0
            for c = 1, classes - 1 do
                if scores[row + c] > scores[row + top] then top = c end
            end
            for c = 0, classes - 1 do sum = sum + math.exp(scores[row + c] - scores[row + top]) end
            best[s], probability[s] = top, 1 / sum
        end
    end)
    bar:finish()
    return best, probability, totals
end

--- Accuracy, and the mean F1 of the labels that occur among gold or predictions (sklearn's f1_score, "macro").
local function metrics_of(gold, best, count, classes)
    local right, hits, golds, guesses = 0, {}, {}, {}
    for c = 0, classes - 1 do hits[c], golds[c], guesses[c] = 0, 0, 0 end
    for i = 0, count - 1 do
        local is, said = gold[i], best[i]
        golds[is], guesses[said] = golds[is] + 1, guesses[said] + 1
        if is == said then right, hits[is] = right + 1, hits[is] + 1 end
    end
    local sum, labels = 0, 0
    for c = 0, classes - 1 do
        if golds[c] + guesses[c] > 0 then
            sum, labels = sum + 2 * hits[c] / (golds[c] + guesses[c]), labels + 1
        end
    end
    return { accuracy = right / count, macro_f1 = sum / labels }
end

local function write_predictions(path, values, list, labels, best, probability)
    local lines = {}
    for i, record in ipairs(list) do
        lines[i] = json.encode({ text = record[values.text_column],
            text_pair = values.text_pair_column and record[values.text_pair_column],
            label = labels[best[i - 1] + 1], score = tonumber(probability[i - 1]) },
            { order = { "text", "text_pair", "label", "score" } })
    end
    fault.check(fs.write(path, table.concat(lines, "\n") .. "\n"))
end

local function predict(job, outcome)
    local values, folder, labels = job.values, job.run.checkpoint_dir, job.data.config.labels
    fault.check(fs.mkdirs(folder))
    local wanted, dev = to_predict(job), job.data.dev_set
    local best, probability, totals = classify(job, wanted.set)
    write_predictions(fs.join(folder, "predictions.jsonl"), values, wanted.records, labels, best, probability)
    outcome.prediction = totals
    totals.file = fs.join(folder, "predictions.jsonl")
    if not dev then return end
    if dev ~= wanted then best = classify(job, dev.set) end
    outcome.metrics = metrics_of(dev.set.labels.labels, best, dev.set.count, #labels)
    fault.check(fs.write(fs.join(folder, "eval.json"), json.encode(outcome.metrics, { pretty = true }) .. "\n"))
end

return task.define {
    name = "classify",
    settings = require "bertlua.jobs.classify.settings",
    batch_setting = "train_batch_size",
    results = { { name = "loss", column = "loss", kept = true }, { name = "accuracy", column = "acc" } },
    plan = make_plan,
    open = open,
    model = function(data) return BertForSequenceClassification.new(data.config) end,
    exported = function() end,
    predict = predict,
    inference = function(job) return to_predict(job).set end,
    rows = function(outcome)
        local rows, metrics = {}, outcome.metrics
        if outcome.prediction then rows[1] = { "labels", outcome.prediction.file } end
        if metrics then
            rows[#rows + 1] = { "result", ("accuracy %.2f %%, macro F1 %.2f %%"):format(100 * metrics.accuracy,
                100 * metrics.macro_f1) }
        end
        return rows
    end,
}
