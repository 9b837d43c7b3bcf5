--- Task: fine-tune on the tagging of words (entities, parts of speech), evaluate, predict.

local BertForTokenClassification = require "bertlua.models.token_classification"
local array = require "bertlua.array"
local fault = require "bertlua.fault"
local figures = require "bertlua.jobs.common.figures"
local labels = require "bertlua.jobs.common.labels"
local model_files = require "bertlua.jobs.common.model_files"
local plural = require "bertlua.util.plural"
local spans = require "bertlua.metrics.spans"
local tagged = require "bertlua.data.tagged"
local task = require "bertlua.jobs.common.task"
local texts = require "bertlua.jobs.common.texts"

--- Tags of sentences, for metrics.spans.
local function tags_of(sentences)
    local list = {}
    for i, sentence in ipairs(sentences) do list[i] = sentence.tags end
    return list
end

--- A fault where a file has a tag that the model does not know.
local function check_tags(path, sentences, numbers, count)
    for _, sentence in ipairs(sentences) do
        for w, tag in ipairs(sentence.tags) do
            if not numbers[tag] then
                fault.raisef("%s:%d: tag %q, of word %d of the sentence that begins there, is not one of the model's "
                    .. "%d", path, sentence.line, tag, w, count)
            end
        end
    end
end

--- Tell which tags contradict the scheme of the file's others.
local function warn_of_scheme(job, path, sentences)
    local scheme, first, count = spans.scheme(tags_of(sentences))
    if first then
        local sentence = sentences[first[1]]
        job.run.warnings[#job.run.warnings + 1] = ("%s:%d: word %d of the sentence that begins there is tagged %s, "
            .. "which contradicts the %s of the file's other tags%s; tags are used as they are"):format(path,
            sentence.line, first[2], sentence.tags[first[2]], scheme,
            count > 1 and (", as do %d more"):format(count - 1) or "")
    end
    return scheme
end

--- Sentences of a file as sequences.
local function load(job, path, sentences)
    local values, data = job.values, job.data
    sentences = sentences or tagged.read(path, { labeled = true, text_column = values.text_column,
        label_column = values.label_column, encoding = values.encoding, invalid_utf8 = values.invalid_utf8 })
    local names = data.config.labels
    local numbers = labels.numbers(names)
    check_tags(path, sentences, numbers, #names)
    local scheme = warn_of_scheme(job, path, sentences)
    local set = tagged.sequences(data.words, sentences, { max_length = values.max_seq_length,
        stride = values.doc_stride, numbers = numbers })
    data.lines[#data.lines + 1] = ("%s: %s of %s, up to %d tokens, %d tags%s%s"):format(path,
        plural.count(#sentences, "sentence"), plural.count(set.words, "word"), set.longest, #names,
        scheme and ", entities in " .. scheme or "", set.windows > 0
        and (", %d in several windows"):format(set.windows) or "")
    if set.cut > 0 then
        job.run.warnings[#job.run.warnings + 1] = ("%s: %s of more tokens than max_seq_length %d has room for: the end "
            .. "is left out"):format(path, plural.count(set.cut, "word is", "words are"), values.max_seq_length)
    end
    return { sentences = sentences, set = set, scheme = scheme }
end

local function open(job)
    local run, values = job.run, job.values
    local config, words = model_files.load(run, values)
    local data = { config = config, words = words, lines = {}, sets = {} }
    job.data = data
    local file = values.train_file or values.dev_file or values.test_file
    local sentences = tagged.read(file, { labeled = true, text_column = values.text_column,
        label_column = values.label_column, encoding = values.encoding, invalid_utf8 = values.invalid_utf8 })
    local trained = labels.trained(run, values)
    local found = labels.distinct(function(visit)
        for _, sentence in ipairs(sentences) do
            for _, tag in ipairs(sentence.tags) do visit(tag) end
        end
    end)
    if values.train_file then labels.check_resumed(run, trained, found) end
    config.labels = trained or found
    if #config.labels < 2 then
        fault.raisef("%s: all words have the tag %q, expected at least two tags", file, config.labels[1])
    end
    for _, part in ipairs(texts.PARTS) do
        local path = values[texts.FILES[part]]
        if path then data.sets[part] = load(job, path, path == file and sentences) end
    end
    data.train = run.work.train and texts.batches(job, data.sets.train.set)
    return data
end

--- Figures of predicted tags.
local function metrics_of(gold, predicted)
    local metrics = figures.tags(tags_of(gold.sentences), predicted, gold.scheme ~= nil)
    return metrics
end

--- Predicted tags of every sentence, and their probabilities.
local function infer(job, gold, tick)
    local names, set = job.data.config.labels, gold.set
    local best, probability = array.int32(set.words), array.float(set.words)
    local totals = texts.infer(job, set, tagged.reader(set, #names, best, probability), tick)
    local predicted, scores = tagged.by_sentence(gold.sentences, best, probability, names)
    return predicted, scores, totals
end

--- Evaluation while training.
local own_evaluation = {
    metric = "f1",
    -- Accuracy alone where tags are no spans: only the data say which.
    metrics = function() return nil end,
    run = function(job, gold, tick)
        local predicted, _, totals = infer(job, gold, tick)
        return not totals.stopped and metrics_of(gold, predicted) or nil
    end,
}

local function measure(job, part)
    local gold, predictions = job.data.sets[part], {}
    local predicted, scores, totals = infer(job, gold)
    for i, sentence in ipairs(gold.sentences) do
        predictions[i] = { words = sentence.words, tags = predicted[i], scores = scores[i] }
    end
    return metrics_of(gold, predicted), predictions, { "words", "tags", "scores" }, totals
end

--- The sentences of train_file, for cross-validation.
local function folds(values)
    local items = tagged.read(values.train_file, { labeled = true, text_column = values.text_column,
        label_column = values.label_column, encoding = values.encoding, invalid_utf8 = values.invalid_utf8 })
    for i, sentence in ipairs(items) do items[i] = { line = sentence.line, names = sentence.tags } end
    return items
end

local evaluation, predict, inference = texts.evaluated("tagged words", load, measure, own_evaluation)

return task.define {
    name = "tokens",
    settings = require "bertlua.jobs.tokens.settings",
    batch_setting = "train_batch_size",
    flat = true,
    results = { { name = "loss", column = "loss", kept = true }, { name = "accuracy", column = "acc" } },
    plan = function(run, values, sources)
        texts.plan(run, values)
        local room = values.max_seq_length - 2
        -- The default is for the default length.
        if not sources.doc_stride then values.doc_stride = math.min(values.doc_stride, math.ceil(room / 2)) end
        if values.doc_stride > room then
            fault.raisef("--doc-stride %d, but a window has room for %d tokens (--max-seq-length %d less [CLS] and "
                .. "[SEP]): words between two windows would be left out", values.doc_stride, room,
                values.max_seq_length)
        end
    end,
    open = open,
    model = function(data) return BertForTokenClassification.new(data.config) end,
    exports = true,
    cuts = true,
    folds = folds,
    evaluation = evaluation,
    predict = predict,
    inference = inference,
    rows = function(outcome)
        local metrics, rows = outcome.metrics, {}
        if outcome.prediction then rows[1] = { "output", outcome.prediction.file } end
        if metrics and metrics.precision then
            rows[#rows + 1] = { "result", ("%s: F1 %.2f %% (precision %.2f %%, recall %.2f %%), words %.2f %%"):format(
                outcome.measured, 100 * metrics.f1, 100 * metrics.precision, 100 * metrics.recall,
                100 * metrics.accuracy) }
        elseif metrics then
            rows[#rows + 1] = { "result", ("%s: accuracy %.2f %%, macro F1 %.2f %%"):format(outcome.measured,
                100 * metrics.accuracy, 100 * metrics.macro_f1) }
        end
        return rows
    end,
}
