--- The one path from a task's settings to its final table: ranks, plan, memory,
-- start or resume, training or measuring, checkpoints, export, prediction,
-- evaluation. What differs between tasks lives in the task (see task.lua).

local began = require "bertlua.jobs.common.began"
local callbacks = require "bertlua.jobs.common.callbacks"
local checkpoint = require "bertlua.train.checkpoint"
local clock = require "bertlua.util.clock"
local devices = require "bertlua.jobs.common.devices"
local disk_plan = require "bertlua.jobs.common.disk_plan"
local equal_files = require "bertlua.jobs.common.equal_files"
local evaluating = require "bertlua.jobs.common.evaluating"
local fault = require "bertlua.fault"
local leave = require "bertlua.leave"
local logs = require "bertlua.jobs.common.logs"
local measuring = require "bertlua.jobs.common.measuring"
local model_choice = require "bertlua.jobs.common.model_choice"
local own_data = require "bertlua.jobs.common.own_data"
local plan = require "bertlua.jobs.common.plan"
local signal = require "bertlua.signal"
local tasks = require "bertlua.jobs.common.task"
local term = require "bertlua.util.term"
local training = require "bertlua.jobs.common.training"

local M = {}

--- Rank 0's plan, after fetching the files it lacked.
local function resolve(job)
    local run = plan.resolve(job.task, job.values, job.sources, job.ranks.size)
    if job.task.prepare then job.task.prepare(run, job.values) end
    return run
end

--- The task's data: rank 0 first, as it may leave a cache behind for the others.
local function open(job)
    local ranks = job.ranks
    equal_files.check_inputs(job)
    local data = ranks:together(function() return ranks.main and job.task.open(job) end)
    data = ranks:together(function() return data or job.task.open(job) end)
    equal_files.check_shards(job, data.train)
    return data
end

--- The model and, for training, memory for everything, optimizer, gradients and schedule.
local function build(job)
    local run, values, data, ranks = job.run, job.values, job.data, job.ranks
    local parts = { config = data.config, loader = data.train, accumulation = run.accumulation, ranks = ranks }
    parts.pinned = values.enable_cpu_affinity and devices.pin()
    parts.model, parts.objective = model_choice.build(job)
    local store = parts.model.store
    job.results = not parts.objective and tasks.results(job.task, values, data) or {}
    if not parts.objective then parts.results = tasks.names(job.results) end
    if not run.work.train then
        store:allocate { precision = run.precision, seed = values.seed, training = false }
        parts.tape = training.tape(run, values)
        return parts
    end
    parts.memory = training.allocate(run, values, parts.model, {
        batch_size = values[job.task.batch_setting], max_seq_length = parts.loader.max_seq_length,
        max_predictions_per_seq = parts.loader.max_predictions_per_seq or 0, tensors = parts.loader.tensors,
        group = parts.loader.group, accumulation = values.gradient_merge_steps,
        batch_option = plan.option(job.task.batch_setting),
    }, ranks)
    parts.optimizer, parts.groups = training.optimizer(run, values, store, ranks)
    parts.gradients = training.gradients(values, store, ranks)
    parts.tape = training.tape(run, values, parts.memory)
    parts.graphs = training.graphs(values)
    parts.schedule = training.schedule(run, values)
    return parts
end

--- What files of the model's parameters are written from, or read into.
local function model_files(job)
    return {
        store = job.parts.model.store, config = job.parts.config, vocab_file = job.run.vocab_file,
        do_lower_case = job.run.do_lower_case, model_prefix = job.values.model_prefix, ranks = job.ranks,
    }
end

--- Load the parameters, and for a resumed training the optimizer, from where the plan names.
local function restore(job)
    local run, target = job.run, model_files(job)
    -- Without training first, a newly initialized head would answer at random.
    if run.start.kind ~= "resume" and not run.work.train and not job.values.benchmark then target.missing = {} end
    target.ignored = job.data.ignored
    training.restore(run, job.parts.optimizer, target)
end

--- What progress.json records of a step: what the run began with, and how far it has got.
local function progress_of(job, step, record)
    local run, values = job.run, job.values
    local progress = { step = step, do_lower_case = run.do_lower_case, began = job.began,
        samples = step * values[job.task.batch_setting] * run.accumulation }
    -- Those of a recipe's loss are not known before the first step.
    for _, result in ipairs(#job.results > 0 and job.results or job.task.results) do
        if result.kept then progress[result.name] = record[result.name] end
    end
    progress.evaluation = run.evaluation
    return progress
end

--- What this run began with, for its checkpoints, compared with what the one that it resumes began with.
local function compare_beginning(job)
    if not job.ranks.main or not job.run.work.train then return end
    job.began = began.of(job)
    began.compare(job, job.began, evaluating.is_done(job.run))
end

--- Why a resumed run has nothing left to train.
local function done_text(run)
    if run.ended_early then
        return ("%s: the run ended early at step %d: %s"):format(run.start.path, run.start.step, run.ended_early)
    end
    return ("%s: all %d steps are done"):format(run.start.path, run.max_steps)
end

--- Say that there is nothing to do, and what else the settings ask for.
local function tell_done(job)
    began.compare_settings(job)
    for _, warning in ipairs(job.run.warnings) do io.stdout:write(term.fit("stdout", "warning: " .. warning), "\n") end
    io.stdout:write(term.fit("stdout", done_text(job.run)), "\n")
end

--- Train or measure, handling signals meanwhile.
-- @return outcome of the trainer
local function train(job, held)
    local run, parts, values, log = job.run, job.parts, job.values, job.log
    if evaluating.is_done(run) then
        log:note(done_text(run))
        return { status = "finished", step = run.start.step, checkpoint = run.start.path }
    end
    parts.first_step, parts.last_step = run.first_step, run.last_step
    parts.pending_signal = signal.pending
    signal.trap()
    local outcome
    if values.benchmark then
        outcome = measuring.train(job)
    else
        log:begin_training()
        outcome = training.train(job, function(step, record)
            local progress = progress_of(job, step, record)
            -- Where no step has been made, the data stand where they stood.
            progress.data_position = step == run.start.step and checkpoint.progress(run.start.path).data_position
                or own_data.position(job, step)
            return progress
        end, held)
        if outcome.step == run.start.step then outcome.checkpoint = outcome.checkpoint or run.start.path end
        log:end_training()
    end
    signal.untrap()
    return outcome
end

--- Whether the training of this run is complete, so that its model may be used.
local function is_trained(job, outcome)
    return not job.values.benchmark and outcome.status == "finished"
        and (outcome.step >= job.run.max_steps or job.run.ended_early ~= nil)
end

--- The model in its folder, for transformers and for prediction.
local function export(job, held)
    job.ranks:together(function() if held then held:check() end end)
    local parts = model_files(job)
    parts.max_length = job.task.cuts and job.values.max_seq_length or nil
    checkpoint.export(job.run.model_dir, parts)
    if job.ranks.main and job.task.exported then job.task.exported(job) end
    return job.run.model_dir
end

--- What comes after, or without, training. Rank 0 alone does it; the other ranks wait.
local function predict(job, outcome)
    local run, ranks = job.run, job.ranks
    if not (run.work.predict or run.work.evaluate) or not ranks.main then return end
    ranks.comm:busy(true)
    if job.values.benchmark then
        outcome.benchmark = measuring.infer(job)
    elseif not run.work.train or is_trained(job, outcome) then
        job.task.predict(job, outcome)
        if outcome.metrics then
            local step = outcome.best and outcome.best.step or outcome.step
            job.log:metrics(step, outcome)
            callbacks.call(job, "on_evaluate", step, { metrics = outcome.metrics })
        end
    end
    ranks.comm:busy(false)
end

-- Another job may follow in this process. After a failure some of it may not be there.
local function close(job, held)
    local parts = job.parts or {}
    if held then held:release() end
    devices.unpin()
    evaluating.close(job)
    if parts.loader then parts.loader:close() end
    if parts.tape then parts.tape:close() end
    if parts.optimizer then parts.optimizer:free() end
    if parts.gradients then parts.gradients:free() end
    if parts.objective then parts.objective:free() end
    if parts.model then parts.model.store:free() end
end

--- Run a task.
-- @param task of task.define()
-- @param values resolved settings
-- @param sources where each came from
-- @param options as in logs.open
-- @return outcome: status "finished", "interrupted" (then signal) or "nothing to do"; step, plan, checkpoint, model:
--   path of the exported one, prediction, metrics, benchmark, seconds, and what the trainer returns
function M.run(task, values, sources, options)
    local job = { task = task, values = values, sources = sources or {}, begun = clock.monotonic() }
    local ranks = training.join(values)
    job.ranks = ranks
    job.run = ranks:first(function() return resolve(job) end)
    local run = job.run
    if evaluating.is_done(run) and not task.predict then
        if ranks.main then tell_done(job) end
        return { status = "nothing to do", step = run.start.step, checkpoint = run.start.path, plan = run }
    end
    local held
    local release = leave.on_failure(function() close(job, held) end)
    job.data = open(job)
    if run.work.train and not run.first_step then plan.set_steps(run, values, job.data.train.samples) end
    ranks:together(function() evaluating.open(job) end)
    own_data.begin(job)
    job.parts = ranks:together(function()
        job.parts = build(job)
        compare_beginning(job)
        restore(job)
        return job.parts
    end)
    training.check_equal_start(job.parts.model.store, ranks, job.parts.groups)
    ranks:first(function() disk_plan.check(job) end)
    -- Only now: a run that cannot start must not erase the report of an earlier one.
    held = training.hold(run, values, ranks)
    training.choose_products(run, values, ranks)
    job.log = ranks.main and logs.open(job, options) or logs.quiet()
    job.log:start()
    local outcome = { status = "finished", step = run.start.step }
    if run.work.train then
        outcome = train(job, held)
        if is_trained(job, outcome) then
            evaluating.take_best(job, outcome, task.exports and model_files(job))
            if task.exports then outcome.model = export(job, held) end
        end
    end
    outcome.plan = run
    ranks:together(function() predict(job, outcome) end)
    outcome.seconds = clock.monotonic() - job.begun
    outcome.activation_peak = select(2, job.parts.tape:memory())
    job.log:finish(outcome)
    leave.settled(release)
    close(job, held)
    return outcome
end

--- A fault if a task's files do not fit its settings; trains nothing.
function M.check(task, values, sources)
    local job = { task = task, values = values, sources = sources or {}, ranks = { rank = 0, size = 1, main = true } }
    job.run = { work = { train = true }, warnings = {}, effective = {} }
    job.run.config_file, job.run.vocab_file = plan.model_files(values)
    if values.data and job.run.vocab_file then
        job.run.do_lower_case = plan.casing(values, {}, job.run.vocab_file)
    end
    local data = task.open(job)
    if not data.train then fault.raisef("%s: nothing to train on", task.name) end
    data.train:close()
end

return M
