--- Job: fine-tune on SQuAD, answer, evaluate.
--
-- OUTPUT_DIR/BERT_MODEL/squad/ gets the model (as a folder that transformers
-- opens), predictions.json, nbest_predictions.json, null_odds.json (v2.0) and
-- eval.json; its integer-named folders are checkpoints to go on from. Rules
-- between settings: squad_plan.lua. What is printed: squad_logs.lua. Answering
-- and evaluating: prediction.lua.

local BertConfig = require "bertlua.models.bert_config"
local BertForQuestionAnswering = require "bertlua.models.question_answering"
local reader = require "bertlua.squad.reader"
local checkpoint = require "bertlua.train.checkpoint"
local clock = require "bertlua.util.clock"
local context = require "bertlua.context"
local fault = require "bertlua.fault"
local loader = require "bertlua.squad.loader"
local logs = require "bertlua.jobs.squad.logs"
local plan = require "bertlua.jobs.squad.plan"
local published = require "bertlua.squad.published"
local signal = require "bertlua.signal"
local prediction = require "bertlua.jobs.squad.prediction"
local squad_data = require "bertlua.jobs.squad.data"
local training = require "bertlua.jobs.common.training"

local M = {}

-- Settings that a run must keep to go on exactly.
local LASTING = { "max_steps", "seed", "features", "null_window_share", "train_batch_size", "gradient_merge_steps",
    "learning_rate", "optimizer" }

local function load_config(run, values)
    local config = BertConfig.load(run.config_file)
    if values.max_seq_length > config.max_position_embeddings then
        fault.raisef("--max-seq-length %d, but %s has max_position_embeddings %d", values.max_seq_length,
            run.config_file, config.max_position_embeddings)
    end
    if config.type_vocab_size < 2 then
        fault.raisef("%s has type_vocab_size %d, expected at least 2: question and context are told apart by it",
            run.config_file, config.type_vocab_size)
    end
    return config
end

--- Questions to train on and to answer, with the lines that say what they are.
local function load_data(run, values, words)
    local data, lines = {}, {}
    for _, kind in ipairs { "train", "predict" } do
        if run.work[kind] then
            local loaded = squad_data.load(run[kind .. "_file"], words, values, kind == "train")
            data[kind] = loaded
            lines[#lines + 1] = loaded.line
            for _, warning in ipairs(loaded.warnings) do run.warnings[#run.warnings + 1] = warning end
        end
    end
    if data.train and data.train.set.count == 0 then
        fault.raisef("%s: its contexts have no token: nothing to train on", run.train_file)
    end
    return data, lines
end

--- Model and, to train, optimizer, loader and schedule.
local function build(run, values, config, batches, ranks)
    local parts = { config = config, loader = batches, accumulation = run.accumulation, fields = { "loss" },
        ranks = ranks }
    parts.pinned = values.enable_cpu_affinity and context.pin_threads()
    parts.model = BertForQuestionAnswering.new(config)
    if run.work.train then
        parts.memory = training.allocate(run, values, parts.model, {
            batch_size = values.train_batch_size, max_seq_length = values.max_seq_length, max_predictions_per_seq = 0,
            accumulation = values.gradient_merge_steps, batch_option = "--train-batch-size",
        }, ranks)
    else
        parts.model.store:allocate { precision = run.precision, seed = values.seed, training = false }
    end
    parts.tape = training.tape(run, values)
    if not run.work.train then return parts end
    parts.graphs = training.graphs(values)
    parts.optimizer = training.optimizer(run, values, parts.model.store, ranks)
    parts.gradients = training.gradients(values, parts.model.store, ranks)
    parts.schedule = training.schedule(run, values)
    return parts
end

--- Parameters, and for a resumed training the optimizer, from where the plan says.
local function restore(run, parts, values)
    local target = { store = parts.model.store, config = parts.config, vocab_file = run.vocab_file,
        do_lower_case = run.do_lower_case, model_prefix = values.model_prefix, ranks = parts.ranks }
    -- Without training first, a fresh head would answer at random.
    if run.start.kind ~= "resume" and not run.work.train and not values.benchmark then target.missing = {} end
    training.restore(run, parts.optimizer, target)
end

local function progress_of(run, values, step, record)
    local progress = {
        step = step, phase = run.phase, max_steps = run.max_steps, seed = values.seed, features = run.features,
        train_batch_size = values.train_batch_size, gradient_merge_steps = run.accumulation,
        samples = step * values.train_batch_size * run.accumulation, epochs = values.epochs,
        null_window_share = values.null_window_share, learning_rate = values.learning_rate,
        optimizer = training.optimizer_family(values), loss = record.loss,
        do_lower_case = run.do_lower_case,
    }
    for _, name in ipairs(reader.SETTINGS) do progress[name] = values[name] end
    return progress
end

local function run_training(run, parts, values, log, held)
    log:begin_training()
    local outcome = training.train(run, parts, values, log, function(step, record)
        return progress_of(run, values, step, record)
    end, held)
    log:end_training()
    return outcome
end

local function benchmark_training(run, parts, values, log)
    return training.benchmark(run, parts, values, log, values.train_batch_size)
end

--- Train, unless all steps were done before. Outcome of the trainer.
local function train(run, parts, values, log, held)
    if run.first_step > run.last_step then
        log:note(("%s: all %d steps are done"):format(run.start.path, run.max_steps))
        return { status = "finished", step = run.start.step, checkpoint = run.start.path }
    end
    parts.first_step, parts.last_step = run.first_step, run.last_step
    parts.pending_signal = signal.pending
    signal.trap()
    local outcome = (values.benchmark and benchmark_training or run_training)(run, parts, values, log, held)
    signal.untrap()
    return outcome
end

--- The model in the job's own folder, for transformers and for prediction.
local function export(run, parts, values)
    checkpoint.export(run.checkpoint_dir, {
        store = parts.model.store, config = parts.config, vocab_file = run.vocab_file,
        do_lower_case = run.do_lower_case, model_prefix = values.model_prefix, ranks = parts.ranks,
    })
    if parts.ranks.main then fault.check(reader.write_settings(run.checkpoint_dir, values)) end
    return run.checkpoint_dir
end

--- Whether the training of this run is complete, so that its model may be used.
local function is_trained(run, outcome)
    return outcome.status == "finished" and outcome.step >= run.max_steps
end

local function close(parts, held)
    if held then held:release() end
    if parts.loader then parts.loader:close() end
    if parts.optimizer then parts.optimizer:free() end
    if parts.gradients then parts.gradients:free() end
    parts.tape:close()
    parts.model.store:free()
end

--- Config, tokenizer, data with lines about it, training batches; the steps are settled once the data are counted.
local function prepare(run, values)
    local config = load_config(run, values)
    local words = squad_data.tokenizer(run, config)
    local data, lines = load_data(run, values, words)
    local batches
    if run.work.train then
        batches = loader.open(data.train.set, { batch_size = values.train_batch_size, seed = values.seed,
            pack_sequences = values.pack_sequences, null_window_share = values.null_window_share,
            few_shapes = context.device() ~= "cpu" })
        plan.set_steps(run, values, batches.samples)
    end
    return { config = config, words = words, data = data, lines = lines, batches = batches }
end

--- Answers after, or without, training. Rank 0 alone gives them; the other ranks wait for it.
local function predict(run, parts, values, prepared, log, outcome)
    if not run.work.predict or not parts.ranks.main then return end
    parts.ranks.comm:busy(true)
    if values.benchmark then
        outcome.benchmark = prediction.benchmark(run, parts, values, prepared.data.predict,
            training.benchmark_setup(run, values, values.predict_batch_size), log)
    elseif not run.work.train or is_trained(run, outcome) then
        prediction.run(run, parts, values, prepared.words, prepared.data.predict, log, outcome)
    end
    parts.ranks.comm:busy(false)
end

--- What rank 0 finds out for all ranks: the plan, with the files it lacked fetched.
local function resolve(values, sources, size)
    local run = plan.resolve(values, sources or {}, size)
    for _, path in ipairs(run.downloads) do published.fetch(path, values.squad_url) end
    return run
end

--- Run the job.
-- @param values resolved settings (jobs/squad/settings.lua)
-- @param sources where each came from
-- @return outcome: status "finished" or "interrupted" (then signal), step, plan; prediction, metrics, seconds
function M.run(values, sources)
    local begun = clock.monotonic()
    local ranks = training.join(values)
    local run = ranks:first(function() return resolve(values, sources, ranks.size) end)
    -- Rank 0 first: it leaves converted features behind for the others.
    local prepared = ranks:together(function() return ranks.main and prepare(run, values) end)
    prepared = ranks:together(function() return prepared or prepare(run, values) end)
    if run.work.train then
        training.compare_progress(run, progress_of(run, values, run.start.step, {}), LASTING)
    end
    local parts = ranks:together(function()
        local parts = build(run, values, prepared.config, prepared.batches, ranks)
        restore(run, parts, values)
        return parts
    end)
    training.check_equal_start(parts.model.store, ranks)
    local held = training.hold(run, values, ranks)
    local log = ranks.main and logs.open(run, values) or logs.quiet()
    log:start(parts, prepared.lines)
    local outcome = { status = "finished", step = run.start.step }
    if run.work.train then
        outcome = train(run, parts, values, log, held)
        if not values.benchmark and is_trained(run, outcome) then outcome.model = export(run, parts, values) end
    end
    outcome.plan = run
    ranks:together(function() predict(run, parts, values, prepared, log, outcome) end)
    outcome.seconds = clock.monotonic() - begun
    log:finish(outcome)
    close(parts, held)
    return outcome
end

return M
