--- What the training jobs share: pre-training (pretrain.lua) and fine-tuning
-- (finetune_squad.lua) build, restore, run and measure through these. A `run`
-- is what a job's plan resolved; `values` are its settings.

local Optimizer = require "bertlua.train.optimizer"
local Tape = require "bertlua.autograd.tape"
local Trainer = require "bertlua.train.trainer"
local benchmark = require "bertlua.train.benchmark"
local checkpoint = require "bertlua.train.checkpoint"
local context = require "bertlua.context"
local memory_plan = require "bertlua.recipe.memory_plan"
local schedule = require "bertlua.train.schedule"

local M = {}

local GIB = 2 ^ 30

function M.optimizer(run, values, store)
    local optimizer = Optimizer.new {
        kind = values.optimizer, store = store,
        beta1 = values.beta1, beta2 = values.beta2, epsilon = values.epsilon, weight_decay = values.weight_decay,
        max_grad_norm = values.max_grad_norm, accumulation = run.accumulation,
        loss_scale = values.scale_loss, dynamic = values.use_dynamic_loss_scaling,
    }
    return optimizer
end

function M.schedule(run, values)
    local rate = schedule.polynomial {
        learning_rate = values.learning_rate, warmup_start_lr = values.warmup_start_lr,
        warmup_proportion = values.warmup_proportion, max_steps = run.max_steps,
    }
    return rate
end

function M.tape(run, values)
    local tape = Tape.new { capacity = values.activation_memory * GIB, seed = values.seed,
        accumulation = run.accumulation }
    return tape
end

--- Give the model of a training run its memory, and foretell what activations will take.
-- @param shape of a micro-batch, as in memory_plan.check_activations
-- @return bytes of activations foretold
function M.allocate(run, values, model, shape)
    -- Measured before anything is taken: pages that nobody touched yet count as free.
    local room = memory_plan.check_state(model.store, run.precision, memory_plan.available())
    model.store:allocate { precision = run.precision, seed = values.seed }
    local bytes = memory_plan.check_activations(model, shape, math.min(values.activation_memory * GIB, room))
    return bytes
end

--- Parameters, and for a resumed run the optimizer, from where the plan says.
-- @param target as in checkpoint.load and checkpoint.load_pretrained
function M.restore(run, optimizer, target)
    local start = run.start
    if start.kind == "fresh" then return end
    if start.kind == "resume" then
        target.optimizer = optimizer
        checkpoint.load(start.path, target)
        return
    end
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

--- Warn where a run goes on with settings other than those it began with.
-- @param now what progress.json would say of this run
-- @param names of the fields that must stay the same
function M.compare_progress(run, now, names)
    if run.start.kind ~= "resume" then return end
    local before = checkpoint.progress(run.start.path)
    for _, name in ipairs(names) do
        if before[name] ~= nil and before[name] ~= now[name] then
            run.warnings[#run.warnings + 1] = ("%s was %s in %s and is %s now: the run will differ from one that never "
                .. "stopped"):format(name, tostring(before[name]), run.start.path, tostring(now[name]))
        end
    end
end

--- Run the trainer with logs and checkpoints.
-- @param progress_of function(step, record) -> contents of progress.json
-- @return outcome of the trainer
function M.train(run, parts, values, log, progress_of)
    parts.log_freq = values.log_freq
    parts.on_step = function(step, record) log:step(step, record) end
    parts.on_log = function(record) log:record(record) end
    parts.checkpoint_freq = values.num_steps_per_checkpoint
    parts.save = function(step, record)
        return checkpoint.save(run.checkpoint_dir, step, {
            store = parts.model.store, optimizer = parts.optimizer, config = parts.config,
            vocab_file = run.vocab_file, model_prefix = values.model_prefix, progress = progress_of(step, record),
        })
    end
    return Trainer.new(parts):run()
end

--- How a measurement was set up, for the text under its figures.
function M.benchmark_setup(run, values, batch_size)
    return {
        warmup_steps = values.benchmark_warmup_steps, batch_size = batch_size, accumulation = run.accumulation,
        max_seq_length = values.max_seq_length, precision = run.precision, packed = values.pack_sequences,
        threads = context.threads(), device = values.device,
    }
end

--- Run the trainer and measure its steps after a warm-up; nothing is saved.
-- @return outcome of the trainer, with benchmark
function M.benchmark(run, parts, values, log, batch_size)
    local measured = {}
    parts.log_freq = run.last_step + 1
    parts.on_step = function(step, record)
        if step > values.benchmark_warmup_steps then measured[#measured + 1] = record end
    end
    local outcome = Trainer.new(parts):run()
    if #measured > 0 then
        outcome.benchmark = benchmark.summary(measured)
        log:benchmark(outcome.benchmark, benchmark.text(outcome.benchmark,
            M.benchmark_setup(run, values, batch_size)))
    end
    return outcome
end

return M
