--- Task: go on with pre-training on texts of one's own, without a step that prepares them: masked words, or next
-- sentences too (arXiv 1810.04805). The texts are tokenized when a run starts and stay in memory as tokens.

local BertForPretraining = require("bertlua.models.bert").BertForPretraining
local context = require "bertlua.context"
local fault = require "bertlua.fault"
local held_out = require "bertlua.jobs.mlm.held_out"
local leaks = require "bertlua.jobs.common.leaks"
local masked_sequences = require "bertlua.data.masked_sequences"
local model_choice = require "bertlua.jobs.common.model_choice"
local model_files = require "bertlua.jobs.common.model_files"
local plural = require "bertlua.util.plural"
local progress = require "bertlua.util.progress"
local pseudo_perplexity = require "bertlua.jobs.mlm.pseudo_perplexity"
local settings = require "bertlua.settings"
local task = require "bertlua.jobs.common.task"
local text_files = require "bertlua.data.text_files"
local texts = require "bertlua.jobs.mlm.texts"
local write = require("bertlua.jobs.common.texts").write

local PARTS = { "dev", "test" }
local FILES = { dev = "dev_file", test = "test_file" }

local function make_plan(run, values, sources)
    if values.dev_file and sources.dev_share and values.dev_share > 0 then
        fault.raise("--dev-file and --dev-share are both set: evaluate on a file of its own, or on a share of "
            .. "--train-file")
    end
    -- What is missing is told before anything is read.
    local train_files
    for _, name in ipairs { "train_file", "dev_file", "test_file" } do
        local option = settings.option(name)
        local files = values[name] and text_files.find(values[name], option)
        if name == "train_file" then
            train_files = files
        elseif files and train_files then
            leaks.warn_of_files(run, train_files, ("%s %s"):format(option, values[name]), files)
        end
    end
    local train, held = values.train_file ~= nil, values.dev_file or values.test_file
    if not train and not held then fault.raise("nothing to do: give a --train-file, --dev-file or --test-file") end
    -- A benchmark measures one thing.
    local evaluates = held or train and values.dev_share > 0
    run.work = { train = train, evaluate = evaluates and not (train and values.benchmark) }
    local most = values.max_predictions_per_seq
    if most and most > values.max_seq_length then
        fault.raisef("--max-predictions-per-seq %d is more than --max-seq-length %d: leave it out", most,
            values.max_seq_length)
    end
end

--- Config and tokenizer, which must have what masking needs.
local function load_model_files(job)
    local run, values = job.run, job.values
    local config = model_files.config(run)
    model_files.check_length(values, config, run.config_file)
    if values.next_sentence and config.type_vocab_size < 2 then
        fault.raisef("--next-sentence needs two token types, but %s has type_vocab_size %d", run.config_file,
            config.type_vocab_size)
    end
    local words = model_files.tokenizer(run, config, { do_lower_case = run.do_lower_case })
    for name, token in pairs { cls_id = "[CLS]", sep_id = "[SEP]", mask_id = "[MASK]" } do
        if not words[name] then fault.raisef("%s: the vocabulary has no %s", run.vocab_file, token) end
    end
    return config, words
end

local function batches(job, text)
    local values = job.values
    local loader = masked_sequences.open(text.set, {
        words = job.data.words, batch_size = values.train_batch_size, masked_lm_prob = values.masked_lm_prob,
        max_predictions_per_seq = values.max_predictions_per_seq, whole_words = values.whole_word_masking,
        seed = values.seed, pack_sequences = values.pack_sequences, few_shapes = context.device() ~= "cpu",
    })
    -- What checkpoints and other processes compare.
    loader.listed, loader.input_dir, loader.named_by = text.listed, text.path, "train_file"
    return loader
end

local function open(job)
    local run, values = job.run, job.values
    local config, words = load_model_files(job)
    local data = { config = config, words = words, lines = {}, held_out = {}, next_sentence = values.next_sentence }
    job.data = data
    if run.work.train then
        local text, dev = texts.training(job, values.train_file, values.dev_file ~= nil)
        data.held_out.dev = dev
        data.train = batches(job, text)
    end
    for _, part in ipairs(PARTS) do
        local path = values[FILES[part]]
        if path then data.held_out[part] = texts.held_out(job, FILES[part], path) end
    end
    return data
end

local METRICS = { loss = "lower", mlm_loss = "lower", nsp_loss = "lower", mlm_accuracy = "higher",
    nsp_accuracy = "higher", perplexity = "lower" }
local ALONE = { loss = "lower", mlm_loss = "lower", mlm_accuracy = "higher", perplexity = "lower" }

--- Evaluation while training: on the held-out share, dev_file, or a file of its own.
local evaluation = {
    fields = { "dev_file" }, metric = "mlm_loss",
    metrics = function(values)
        -- Those of a loss or a model of the recipe's show when it is called.
        if values.loss or model_choice.is_own(values) then return nil end
        return values.next_sentence and METRICS or ALONE
    end,
    plan = function(run, values, evaluate)
        local own = evaluate.dev_file
        if own and own ~= values.dev_file then
            leaks.warn_of_files(run, text_files.find(values.train_file, "--train-file"), "evaluate: dev_file " .. own,
                text_files.find(own, "evaluate: dev_file"))
        end
        evaluate.dev_file = own or values.dev_file
        if not evaluate.dev_file and values.dev_share == 0 then
            fault.raise("evaluate: nothing is held out: set --dev-share above 0, or name a --dev-file")
        end
    end,
    open = function(job)
        local path, dev = job.run.evaluate.dev_file, job.data.held_out.dev
        if path and path ~= job.values.dev_file then dev = texts.held_out(job, "dev_file", path) end
        local opened = held_out.open(job, dev.set)
        if dev.listed then opened.shards = { input_dir = dev.path, listed = dev.listed } end
        return opened
    end,
    run = function(job, opened, tick)
        local metrics = held_out.run(job, opened, tick)
        return metrics
    end,
    close = held_out.close,
}

--- Figures of one part for eval.json.
local function measure(job, part)
    local values, data, set = job.values, job.data, job.data.held_out[part].set
    local opened = held_out.open(job, set)
    local bar = progress.new { total = opened.batches.batches, label = "evaluate", unit = "batches" }
    local metrics, sequences = held_out.run(job, opened, function(done) bar:update(done) end)
    bar:finish()
    held_out.close(opened)
    metrics.sequences, metrics.tokens = sequences, set.corpus.token_count
    if values.pseudo_perplexity > 0 and not job.parts.objective and metrics.mlm_loss then
        bar = nil
        local found = pseudo_perplexity.run(job.parts.model, job.parts.tape, data.words, set.corpus, {
            limit = values.pseudo_perplexity, max_seq_length = values.max_seq_length,
            batch_size = values.predict_batch_size, pack_sequences = values.pack_sequences,
            on_batch = function(done, total)
                bar = bar or progress.new { total = total, label = "pseudo-perplexity", unit = "tokens" }
                bar:update(done)
            end,
        })
        bar:finish()
        metrics.pseudo_perplexity = found.pseudo_perplexity
        metrics.pseudo_perplexity_of = { sentences = found.sentences, tokens = found.tokens, cut = found.cut }
    end
    return metrics
end

local function predict(job, outcome)
    local figures = {}
    for _, part in ipairs(PARTS) do
        if job.data.held_out[part] then
            figures[part] = measure(job, part)
            outcome.metrics, outcome.measured = {}, part
            for name, value in pairs(figures[part]) do
                if type(value) == "number" then outcome.metrics[name] = value end
            end
        end
    end
    outcome.figures = write(job, "eval.json", { figures }, PARTS)
end

local function percent(x)
    return ("%.1f %%"):format(100 * x)
end

local function rows(outcome, record)
    local list, metrics = {}, outcome.metrics
    if record and record.mlm_accuracy then
        list[1] = { "loss", ("%.4f%s, mean of the last %s"):format(record.loss,
            record.nsp_loss and (" (MLM %.4f, NSP %.4f)"):format(record.mlm_loss, record.nsp_loss) or " (MLM)",
            plural.count(record.steps, "step")) }
    end
    if outcome.figures then list[#list + 1] = { "output", outcome.figures } end
    if metrics and metrics.mlm_loss then
        list[#list + 1] = { "result", ("%s: MLM loss %.4f (perplexity %.2f), accuracy %s%s%s"):format(outcome.measured,
            metrics.mlm_loss, metrics.perplexity, percent(metrics.mlm_accuracy),
            metrics.nsp_accuracy and ", NSP accuracy " .. percent(metrics.nsp_accuracy) or "",
            metrics.pseudo_perplexity and (", pseudo-perplexity %.2f"):format(metrics.pseudo_perplexity) or "") }
    end
    return list
end

return task.define {
    name = "mlm",
    settings = require "bertlua.jobs.mlm.settings",
    batch_setting = "train_batch_size",
    flat = true,
    results = {
        { name = "loss", column = "loss", kept = true },
        { name = "mlm_loss", column = "mlm", kept = true },
        { name = "nsp_loss", column = "nsp", kept = true },
        { name = "mlm_accuracy", bar = { "mlm", percent } },
        { name = "nsp_accuracy" },
    },
    results_of = function(values)
        if values.next_sentence then return nil end
        return {
            { name = "loss", column = "loss", kept = true },
            { name = "mlm_loss", kept = true },
            { name = "mlm_accuracy", bar = { "mlm", percent } },
        }
    end,
    plan = make_plan,
    open = open,
    model = function(data)
        local model = BertForPretraining.new(data.config, nil, { next_sentence = data.next_sentence })
        return model
    end,
    exports = true,
    evaluation = evaluation,
    predict = predict,
    inference = function()
        fault.raise("--benchmark measures training here: name a --train-file")
    end,
    rows = rows,
}
