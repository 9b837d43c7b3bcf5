--- A pre-training run from settings to final table: builds the parts that the
-- plan calls for, runs the trainer, writes logs and checkpoints.

local BertConfig = require "bertlua.models.bert_config"
local Optimizer = require "bertlua.train.optimizer"
local Tape = require "bertlua.autograd.tape"
local Trainer = require "bertlua.train.trainer"
local bert = require "bertlua.models.bert"
local benchmark = require "bertlua.train.benchmark"
local checkpoint = require "bertlua.train.checkpoint"
local context = require "bertlua.context"
local fault = require "bertlua.fault"
local loader = require "bertlua.data.loader"
local logs = require "bertlua.recipe.logs"
local memory_plan = require "bertlua.recipe.memory_plan"
local plan = require "bertlua.recipe.plan"
local schedule = require "bertlua.train.schedule"
local signal = require "bertlua.signal"
local tokenizer = require "bertlua.text.tokenizer"

local M = {}

local GIB = 2 ^ 30

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

local function open_loader(values, config, words)
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
    }
end

--- Everything a run trains with: model, optimizer, loader, tape, schedule.
local function build(run, values)
    local config, words = load_model_files(run, values)
    local parts = { accumulation = run.accumulation, config = config }
    parts.loader = open_loader(values, config, words)
    parts.pinned = values.enable_cpu_affinity and context.pin_threads()
    parts.model = bert.BertForPretraining.new(config)
    -- Measured before anything is taken: pages that nobody touched yet count as free.
    local room = memory_plan.check_state(parts.model.store, run.precision, memory_plan.available())
    parts.model.store:allocate { precision = run.precision, seed = values.seed }
    parts.optimizer = Optimizer.new {
        kind = values.optimizer, store = parts.model.store,
        beta1 = values.beta1, beta2 = values.beta2, epsilon = values.epsilon, weight_decay = values.weight_decay,
        max_grad_norm = values.max_grad_norm, accumulation = run.accumulation,
        loss_scale = values.scale_loss, dynamic = values.use_dynamic_loss_scaling,
    }
    parts.activation_bytes = memory_plan.check_activations(parts.model, {
        batch_size = values.batch_size, max_seq_length = parts.loader.max_seq_length,
        max_predictions_per_seq = parts.loader.max_predictions_per_seq, accumulation = run.accumulation,
    }, math.min(values.activation_memory * GIB, room))
    parts.tape = Tape.new { capacity = values.activation_memory * GIB, seed = values.seed,
        accumulation = run.accumulation }
    parts.schedule = schedule.polynomial {
        learning_rate = values.learning_rate, warmup_start_lr = values.warmup_start_lr,
        warmup_proportion = values.warmup_proportion, max_steps = run.max_steps,
    }
    return parts
end

--- Parameters, and for a resumed run the optimizer, from where the plan says.
local function restore(run, parts, values)
    local start = run.start
    if start.kind == "fresh" then return end
    local target = { store = parts.model.store, config = parts.config, vocab_file = run.vocab_file,
        model_prefix = values.model_prefix }
    if start.kind == "resume" then
        target.optimizer = parts.optimizer
        checkpoint.load(start.path, target)
    else
        local report = checkpoint.load_pretrained(start.path, target)
        if #report.missing > 0 then
            run.warnings[#run.warnings + 1] = ("%s lacks %s: these start with fresh values"):format(start.path,
                table.concat(report.missing, ", "))
        end
        if #report.unexpected > 0 then
            run.warnings[#run.warnings + 1] = ("%s has %s: not used here"):format(start.path,
                table.concat(report.unexpected, ", "))
        end
    end
end

--- What must stay the same when a run goes on, kept in progress.json.
local function progress_of(run, values, step, record)
    return {
        step = step, phase = run.phase, max_steps = run.max_steps, seed = values.seed,
        batch_size = values.batch_size, gradient_merge_steps = run.accumulation,
        samples = step * values.batch_size * run.accumulation,
        learning_rate = values.learning_rate, optimizer = values.optimizer,
        loss = record.loss, mlm_loss = record.mlm_loss, nsp_loss = record.nsp_loss,
    }
end

--- Warn where a run goes on with settings other than those it began with.
local function compare_progress(run, values, warnings)
    if run.start.kind ~= "resume" then return end
    local before = checkpoint.progress(run.start.path)
    local now = progress_of(run, values, run.start.step, {})
    for _, name in ipairs { "phase", "max_steps", "seed", "batch_size", "gradient_merge_steps", "learning_rate",
        "optimizer" } do
        if before[name] ~= nil and before[name] ~= now[name] then
            warnings[#warnings + 1] = ("%s was %s in %s and is %s now: the run will differ from one that never stopped")
                :format(name, tostring(before[name]), run.start.path, tostring(now[name]))
        end
    end
end

local function saver(run, parts, values)
    if values.benchmark then return nil end
    return function(step, record)
        return checkpoint.save(run.checkpoint_dir, step, {
            store = parts.model.store, optimizer = parts.optimizer, config = parts.config,
            vocab_file = run.vocab_file, model_prefix = values.model_prefix,
            progress = progress_of(run, values, step, record),
        })
    end
end

--- Run the trainer with benchmark's own bookkeeping: warm-up steps are not measured.
local function run_benchmark(run, parts, values, log)
    local measured = {}
    parts.log_freq = run.last_step + 1
    parts.on_step = function(step, record)
        if step > values.benchmark_warmup_steps then measured[#measured + 1] = record end
    end
    local outcome = Trainer.new(parts):run()
    if #measured > 0 then
        outcome.benchmark = benchmark.summary(measured)
        log:benchmark(outcome.benchmark, benchmark.text(outcome.benchmark, {
            warmup_steps = values.benchmark_warmup_steps, batch_size = values.batch_size,
            accumulation = run.accumulation, max_seq_length = values.max_seq_length,
            precision = run.precision, packed = values.pack_sequences, threads = context.threads(),
            device = values.device,
        }))
    end
    return outcome
end

local function run_training(run, parts, values, log)
    parts.log_freq = values.log_freq
    parts.on_step = function(step, record) log:step(step, record) end
    parts.on_log = function(record) log:record(record) end
    parts.checkpoint_freq = values.num_steps_per_checkpoint
    parts.save = saver(run, parts, values)
    return Trainer.new(parts):run()
end

--- Run pre-training.
-- @param values resolved settings (settings/pretraining.lua)
-- @param sources where each came from
-- @param options as in recipe/logs
-- @return outcome of the trainer with plan; status "nothing to do" if all steps were done before
function M.run(values, sources, options)
    local run = plan.resolve(values, sources)
    compare_progress(run, values, run.warnings)
    context.open { device = values.device, threads = values.threads }
    if run.first_step > run.last_step then
        io.stdout:write(("%s: all %d steps are done\n"):format(run.start.path, run.max_steps))
        return { status = "nothing to do", step = run.start.step, checkpoint = run.start.path, plan = run }
    end
    local log = logs.open(run, values, options)
    local parts = build(run, values)
    restore(run, parts, values)
    parts.first_step, parts.last_step = run.first_step, run.last_step
    parts.pending_signal = signal.pending
    log:start(parts)
    signal.trap()
    local outcome = (values.benchmark and run_benchmark or run_training)(run, parts, values, log)
    signal.untrap()
    outcome.plan = run
    outcome.activation_peak = select(2, parts.tape:memory())
    log:finish(outcome)
    -- A second phase may follow in this process.
    parts.loader:close()
    parts.tape:close()
    parts.optimizer:free()
    parts.model.store:free()
    return outcome
end

return M
