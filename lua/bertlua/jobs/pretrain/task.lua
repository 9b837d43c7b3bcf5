--- A pre-training run from settings to final table: builds the parts that the
-- plan calls for, runs the trainer, writes logs and checkpoints.

local BertConfig = require "bertlua.models.bert_config"
local bert = require "bertlua.models.bert"
local context = require "bertlua.context"
local fault = require "bertlua.fault"
local loader = require "bertlua.data.loader"
local logs = require "bertlua.jobs.common.logs"
local plan = require "bertlua.jobs.common.plan"
local signal = require "bertlua.signal"
local tokenizer = require "bertlua.text.tokenizer"
local training = require "bertlua.jobs.common.training"

local M = {}

-- What a run must keep to go on exactly.
local LASTING = { "phase", "max_steps", "seed", "batch_size", "gradient_merge_steps", "learning_rate", "optimizer" }

--- Config of the model and its vocabulary, checked against each other and the shards' length.
local function load_model_files(run, values)
    local config = BertConfig.load(run.config_file)
    if values.max_seq_length > config.max_position_embeddings then
        fault.raisef("--max-seq-length %d, but %s has max_position_embeddings %d", values.max_seq_length,
            run.config_file, config.max_position_embeddings)
    end
    local words
    if run.vocab_file then
        -- Only size and ids matter here: the shards hold ids.
        words = tokenizer.load(run.vocab_file, { do_lower_case = true, any_casing = true })
        if words:size() ~= config.vocab_size then
            fault.raisef("%s has %d tokens, but %s has vocab_size %d", run.vocab_file, words:size(), run.config_file,
                config.vocab_size)
        end
    elseif values.dynamic_masking then
        fault.raise("--dynamic-masking needs --vocab-file: the id of [MASK] is looked up there")
    end
    return config, words
end

--- @param ranks the job, of which a process reads its own part; nil: all of it
local function open_loader(values, config, words, ranks)
    return loader.open {
        input_dir = values.input_dir,
        batch_size = values.batch_size,
        max_seq_length = values.max_seq_length,
        max_predictions_per_seq = values.max_predictions_per_seq,
        vocab_size = config.vocab_size,
        type_vocab_size = config.type_vocab_size,
        vocab_file = words and words.vocab_file,
        seed = values.seed,
        pack_sequences = values.pack_sequences,
        dynamic_masking = values.dynamic_masking,
        special_ids = words and { cls_id = words.cls_id, sep_id = words.sep_id, mask_id = words.mask_id },
        prefetch = values.num_workers > 0,
        few_shapes = context.device() ~= "cpu",
        rank = ranks and ranks.rank,
        ranks = ranks and ranks.size,
    }
end

--- Everything a run trains with: model, optimizer, loader, tape, schedule.
local function build(run, values, ranks)
    local config, words = load_model_files(run, values)
    local parts = { accumulation = run.accumulation, config = config, ranks = ranks }
    parts.loader = open_loader(values, config, words, ranks)
    parts.pinned = values.enable_cpu_affinity and context.pin_threads()
    parts.model = bert.BertForPretraining.new(config)
    parts.memory = training.allocate(run, values, parts.model, {
        batch_size = values.batch_size, max_seq_length = parts.loader.max_seq_length,
        max_predictions_per_seq = parts.loader.max_predictions_per_seq, accumulation = values.gradient_merge_steps,
    }, ranks)
    parts.optimizer = training.optimizer(run, values, parts.model.store, ranks)
    parts.gradients = training.gradients(values, parts.model.store, ranks)
    parts.tape = training.tape(run, values)
    parts.graphs = training.graphs(values)
    parts.schedule = training.schedule(run, values)
    return parts
end

--- What must stay the same when a run goes on, kept in progress.json.
local function progress_of(run, values, step, record)
    return {
        step = step, phase = run.phase, max_steps = run.max_steps, seed = values.seed,
        batch_size = values.batch_size, gradient_merge_steps = run.accumulation,
        samples = step * values.batch_size * run.accumulation,
        learning_rate = values.learning_rate, optimizer = training.optimizer_family(values),
        loss = record.loss, mlm_loss = record.mlm_loss, nsp_loss = record.nsp_loss,
    }
end

--- A fault if model files or shards do not fit the settings; trains nothing.
-- @param values resolved settings
function M.check(values)
    local config_file, vocab_file = plan.model_files(values)
    local config, words = load_model_files({ config_file = config_file, vocab_file = vocab_file }, values)
    open_loader(values, config, words):close()
end

--- Train or measure; the signals that come are answered.
local function train(run, parts, values, log, held)
    signal.trap()
    local outcome
    if values.benchmark then
        outcome = training.benchmark(run, parts, values, log, values.batch_size)
    else
        outcome = training.train(run, parts, values, log, function(step, record)
            return progress_of(run, values, step, record)
        end, held)
    end
    signal.untrap()
    return outcome
end

-- A second phase may follow in this process.
local function close(parts, held)
    if held then held:release() end
    parts.loader:close()
    parts.tape:close()
    parts.optimizer:free()
    if parts.gradients then parts.gradients:free() end
    parts.model.store:free()
end

--- Run pre-training.
-- @param values resolved settings (jobs/pretrain/settings.lua)
-- @param sources where each came from
-- @param options as in jobs/common/logs
-- @return outcome of the trainer with plan; status "nothing to do" if all steps were done before
function M.run(values, sources, options)
    local ranks = training.join(values)
    local run = ranks:first(function()
        local run = plan.resolve(values, sources, ranks.size)
        training.compare_progress(run, progress_of(run, values, run.start.step, {}), LASTING)
        return run
    end)
    if run.first_step > run.last_step then
        if ranks.main then io.stdout:write(("%s: all %d steps are done\n"):format(run.start.path, run.max_steps)) end
        return { status = "nothing to do", step = run.start.step, checkpoint = run.start.path, plan = run }
    end
    local parts = ranks:together(function()
        local parts = build(run, values, ranks)
        training.restore(run, parts.optimizer, { store = parts.model.store, config = parts.config,
            vocab_file = run.vocab_file, model_prefix = values.model_prefix, ranks = ranks })
        return parts
    end)
    training.check_equal_start(parts.model.store, ranks)
    -- Only now: what cannot start must not empty the report of an earlier run.
    local held = training.hold(run, values, ranks)
    local log = ranks.main and logs.open(run, values, options) or logs.quiet()
    parts.first_step, parts.last_step = run.first_step, run.last_step
    parts.pending_signal = signal.pending
    log:start(parts)
    local outcome = train(run, parts, values, log, held)
    outcome.plan = run
    outcome.activation_peak = select(2, parts.tape:memory())
    log:finish(outcome)
    close(parts, held)
    return outcome
end

return M
