--- Task: fine-tune on sentence embeddings from pairs, triples or scored pairs; evaluate, predict.

local SentenceEmbedding = require "bertlua.models.sentence_embedding"
local array = require "bertlua.array"
local choice = require "bertlua.jobs.embeddings.choice"
local context = require "bertlua.context"
local fault = require "bertlua.fault"
local files = require "bertlua.jobs.embeddings.data"
local model_files = require "bertlua.jobs.common.model_files"
local plural = require "bertlua.util.plural"
local sentence_transformers = require "bertlua.weights.sentence_transformers"
local sequences = require "bertlua.data.sequences"
local similarity = require "bertlua.jobs.embeddings.similarity"
local task = require "bertlua.jobs.common.task"
local term = require "bertlua.util.term"
local texts = require "bertlua.jobs.common.texts"

local SCORED = { spearman = "higher", pearson = "higher" }
local RETRIEVAL = { mrr = "higher", recall_at_1 = "higher", recall_at_5 = "higher", recall_at_10 = "higher" }

--- The loss of a run.
local function objective_of(values)
    return values.objective or values.label_column and "cosine" or "multiple_negatives"
end

--- Tell which rows are left out, and how many texts lose their end.
-- @param count of texts
local function warn(job, found, cut, count)
    if found.skipped.count > 0 then
        job.run.warnings[#job.run.warnings + 1] = ("%s: %s left out, the first: %s"):format(found.path,
            plural.count(found.skipped.count, "bad row"), found.skipped.first)
    end
    texts.warn_of_cut(job, found.path, { cut = cut }, count)
end

--- What scores of the training file are divided by.
local function divisor_of(job, found)
    local values = job.values
    if objective_of(values) ~= "cosine" then return 1 end
    local most = math.max(math.abs(found.least), math.abs(found.most))
    if values.max_score and most > values.max_score then
        fault.raisef("%s: scores go from %.6g to %.6g, but --max-score is %.6g", found.path, found.least, found.most,
            values.max_score)
    end
    return values.max_score or math.max(1, most)
end

--- A file to train on.
local function load_train(job, path)
    local values, data = job.values, job.data
    local found = files.read(path, data.columns, values)
    local divisor = found.scores and divisor_of(job, found) or 1
    local set, cut = files.groups(found, data.words, values.max_seq_length, divisor)
    data.lines[#data.lines + 1] = files.line(found, set)
        .. (divisor ~= 1 and (", divided by %.6g"):format(divisor) or "")
    warn(job, found, cut, set.count)
    if objective_of(values) == "multiple_negatives" and #found.rows < values.train_batch_size then
        fault.raisef("%s: %s, but --train-batch-size is %d: a batch would hold a pair twice, the other one as wrong",
            path, plural.count(#found.rows, found.kind), values.train_batch_size)
    end
    return set
end

--- A file to evaluate on.
local function load(job, path)
    local values, data = job.values, job.data
    local found = files.read(path, data.columns, values)
    if found.scores and found.least == found.most then
        fault.raisef("%s: all scores are %.6g: no correlation is defined", path, found.least)
    end
    local cut, count = files.distinct(found, data.words, values.max_seq_length)
    data.lines[#data.lines + 1] = files.line(found, found.set)
    warn(job, found, cut, count)
    return found
end

local function open(job)
    local run, values = job.run, job.values
    local config = model_files.config(run)
    local chosen = choice.settle(job, config)
    model_files.check_length(values, config, run.config_file)
    local columns = files.columns(values)
    job.data = { config = config, columns = columns, lines = {}, sets = {}, options = { pooling = chosen.pooling,
        normalize = chosen.normalize, loss = objective_of(values), scale = values.similarity_scale,
        group = #columns.texts },
        words = model_files.tokenizer(run, config, { do_lower_case = run.do_lower_case }) }
    local data = job.data
    if values.train_file then
        local set = load_train(job, values.train_file)
        -- No text is longer: neither padding nor the plan of the memory needs to know of more.
        data.train = sequences.open(set, { batch_size = values.train_batch_size, max_length = set.longest,
            group = #columns.texts, seed = values.seed, pack_sequences = values.pack_sequences,
            few_shapes = context.device() ~= "cpu" })
    end
    for _, part in ipairs { "dev", "test" } do
        local path = values[texts.FILES[part]]
        if path then data.sets[part] = load(job, path) end
    end
    data.lines[#data.lines + 1] = ("vectors: %s, of up to %d tokens%s"):format(chosen.pooling == "cls"
        and "the first token" or "the mean of a text's tokens", values.max_seq_length,
        chosen.normalize and ", scaled to length 1" or "")
    return data
end

--- Vectors of every text of a file, and its figures.
-- @return metrics, predictions, totals of inference; or nil, nil, totals where that was stopped
local function infer(job, found, tick)
    local hidden = job.data.config.hidden_size
    local vectors = array.float(found.set.count * hidden)
    local totals = texts.infer(job, found.set, similarity.reader(vectors, hidden), tick)
    if totals.stopped then return nil, nil, totals end
    local measure = found.scores and similarity.scored or similarity.retrieval
    local metrics, predictions = measure(found, vectors, hidden)
    return metrics, predictions, totals
end

--- Evaluation while training.
local own_evaluation = {
    metric = "spearman",
    usual = function(values) return values.label_column and "spearman" or "mrr" end,
    metrics = function(values) return values.label_column and SCORED or RETRIEVAL end,
    run = function(job, found, tick)
        local metrics = infer(job, found, tick)
        -- A model that makes all vectors alike has no correlation, which is no better than any.
        if metrics and found.scores then
            metrics.spearman, metrics.pearson = metrics.spearman or 0 / 0, metrics.pearson or 0 / 0
        end
        return metrics
    end,
}

local function measure(job, part)
    local found = job.data.sets[part]
    local metrics, predictions, totals = infer(job, found)
    if found.scores and not metrics.spearman then
        term.warn(found.path .. ": all cosines are equal: no correlation is defined")
    end
    return metrics, predictions, { "text", "pair", "score", "rank", "best", "best_score" }, totals
end

--- Rules between the settings of the data and the loss.
local function check_objective(run, values)
    local objective, scored = objective_of(values), values.label_column ~= nil
    if scored and objective == "multiple_negatives" then
        fault.raise "--objective multiple_negatives takes no scores: leave out --label-column, or choose another"
    elseif not scored and objective ~= "multiple_negatives" then
        fault.raisef("--objective %s needs scores: name their column with --label-column", objective)
    end
    if values.max_score and objective ~= "cosine" then
        run.warnings[#run.warnings + 1] = ("max_score has no effect with objective %s"):format(objective)
    end
    if run.work.train and objective == "multiple_negatives" and values.train_batch_size == 1
        and not values.negative_column then
        fault.raise "--train-batch-size 1: a pair alone in its micro-batch has nothing to be told from"
    end
end

local evaluation, predict, inference = texts.evaluated("pairs", load, measure, own_evaluation)

return task.define {
    name = "embeddings",
    settings = require "bertlua.jobs.embeddings.settings",
    batch_setting = "train_batch_size",
    flat = true,
    results = { { name = "loss", column = "loss", kept = true } },
    results_of = function(values)
        local results = { { name = "loss", column = "loss", kept = true } }
        if objective_of(values) == "multiple_negatives" then
            results[2] = { name = "accuracy", column = "acc" }
        end
        return results
    end,
    plan = function(run, values)
        texts.plan(run, values)
        files.columns(values)
        check_objective(run, values)
    end,
    open = open,
    model = function(data) return SentenceEmbedding.new(data.config, data.options) end,
    exports = true,
    folds = function(values)
        local items = files.read(values.train_file, files.columns(values), values).lines
        for i, line in ipairs(items) do items[i] = { line = line, names = {} } end
        return items
    end,
    exported = function(job)
        local options = job.data.options
        sentence_transformers.write(job.run.model_dir, { pooling = options.pooling, normalize = options.normalize,
            max_length = job.values.max_seq_length, hidden = job.data.config.hidden_size })
    end,
    evaluation = evaluation,
    predict = predict,
    inference = inference,
    rows = function(outcome)
        local metrics, rows = outcome.metrics, {}
        if outcome.prediction then rows[1] = { "output", outcome.prediction.file } end
        if metrics and metrics.mrr then
            rows[#rows + 1] = { "result", ("%s: MRR %.2f %%, recall at 1 %.2f %%, at 5 %.2f %%, at 10 %.2f %%"):format(
                outcome.measured, 100 * metrics.mrr, 100 * metrics.recall_at_1, 100 * metrics.recall_at_5,
                100 * metrics.recall_at_10) }
        elseif metrics and metrics.spearman then
            rows[#rows + 1] = { "result", ("%s: Spearman %.2f %%, Pearson %.2f %%"):format(outcome.measured,
                100 * metrics.spearman, 100 * metrics.pearson) }
        end
        return rows
    end,
}
