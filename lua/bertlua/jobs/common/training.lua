--- Parts of a training run, from the settings of its job: the ranks, the lock, memory, optimizer, tape, schedule, and
-- the trainer with logs and checkpoints. A `run` is what plan.lua resolved; `values` are the settings.

local Gradients = require "bertlua.train.gradients"
local Graphs = require "bertlua.train.graphs"
local Optimizer = require "bertlua.train.optimizer"
local Ranks = require "bertlua.train.ranks"
local Partition = require "bertlua.nn.partition"
local Tape = require "bertlua.autograd.tape"
local Trainer = require "bertlua.train.trainer"
local callbacks = require "bertlua.jobs.common.callbacks"
local checkpoint = require "bertlua.train.checkpoint"
local comm = require "bertlua.comm"
local context = require "bertlua.context"
local devices = require "bertlua.jobs.common.devices"
local launch = require "bertlua.distributed.launch"
local device = require "bertlua.device"
local evaluating = require "bertlua.jobs.common.evaluating"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local heads = require "bertlua.weights.heads"
local lock = require "bertlua.util.lock"
local lua_value = require "bertlua.util.lua_value"
local memory_plan = require "bertlua.jobs.common.memory_plan"
local model_choice = require "bertlua.jobs.common.model_choice"
local parameter_groups = require "bertlua.jobs.common.parameter_groups"
local placement = require "bertlua.distributed.placement"
local plural = require "bertlua.util.plural"
local schedule = require "bertlua.train.schedule"
local storage = require "bertlua.storage"
local tasks = require "bertlua.jobs.common.task"
local term = require "bertlua.util.term"
local Trace = require "bertlua.util.trace"

local M = {}

local GIB = 2 ^ 30
-- Bytes for activations that will do where nothing is known about them and the system does not allow more.
local LEAST_ACTIVATIONS = 64 * 2 ^ 20

-- Optimizers whose state is divided among the ranks, by the one whose checkpoints they share and a single rank uses.
local DIVIDED = { DistributedFusedLamb = "Lamb" }

-- Settings that may differ from rank to rank.
local OWN = { threads = true, report_file = true, tensorboard_dir = true }

local function open_context(values, joined, threads)
    local name, choices = devices.open(values, joined, threads), values.matmul_choices
    if name ~= "cuda" and choices ~= "auto" and choices ~= "none" then
        fault.raise("--matmul-choices needs a GPU: on the CPU there is nothing to choose")
    end
end

-- Where runs share the timed algorithms of matrix products; nil if there can be no such folder.
local function shared_choices()
    local cache, home = os.getenv "XDG_CACHE_HOME" or "", os.getenv "HOME" or ""
    if cache == "" and home ~= "" then cache = fs.join(home, ".cache") end
    local folder = fs.join(cache, "bertlua")
    return cache ~= "" and fs.mkdirs(folder) and folder or nil
end

--- Say which file holds the algorithms of matrix products on a GPU. A run's own file lies beside its checkpoints, where
-- a run that resumes finds it; a benchmark has only the shared one.
function M.choose_products(run, values, ranks)
    local own, shared = values.matmul_choices, nil
    if context.device() ~= "cuda" or own == "none" then return end
    if own == "auto" then
        local saves = run.work.train and not values.benchmark and fs.is_directory(run.checkpoint_dir)
        own, shared = saves and fs.join(run.checkpoint_dir, "matmul_choices.txt") or nil, shared_choices()
    end
    if own and ranks.rank > 0 then own = ("%s.rank%d"):format(own, ranks.rank) end
    context.matmul_choices(own, shared)
end

--- Open the device and join the job that this process is part of.
-- @return its ranks (train/ranks.lua)
function M.join(values)
    local joined = launch.detect()
    open_context(values, joined, values.threads)
    local ranks = Ranks.new(comm.open { device = context.device(), timeout = values.comm_timeout, launch = joined })
    if ranks.size > 1 then
        local placed = placement.apply(ranks.comm, values.enable_cpu_affinity)
        if values.threads == 0 then open_context(values, joined, placement.threads(placed)) end
    end
    if ranks.size > 1 then
        local shared = {}
        for name, value in pairs(values) do
            if not OWN[name] then shared[#shared + 1] = ("%s=%s"):format(name, tostring(lua_value.identity(value))) end
        end
        table.sort(shared)
        ranks:require_equal(storage.crc32c(table.concat(shared, "\n")), "settings",
            "start every process with the same command line")
    end
    return ranks
end

--- Lock the run's folder, so that no other run writes there; a benchmark needs no lock.
-- @return lock on rank 0; nil on the other ranks
function M.hold(run, values, ranks)
    local held
    ranks:first(function()
        if not values.benchmark then held = lock.take(run.checkpoint_dir) end
    end)
    return held
end

--- The name under which an optimizer's state is saved.
function M.optimizer_family(values)
    return DIVIDED[values.optimizer] or values.optimizer
end

--- How the flat buffers are partitioned; nil for a single process.
local function partition_of(values, ranks)
    if ranks.size == 1 then return nil end
    local partition = Partition.new { rank = ranks.rank, size = ranks.size, divide = DIVIDED[values.optimizer] ~= nil,
        bucket_mib = values.gradient_bucket_mib }
    return partition
end

--- What reduces gradients over the ranks; nil for a single process.
function M.gradients(values, store, ranks)
    if ranks.size == 1 then return nil end
    local gradients = Gradients.new { store = store, comm = ranks.comm, dtype = values.gradient_reduction_dtype }
    return gradients
end

--- Every rank must start with the same parameters: read, or drawn from the seed; and treat each alike.
-- @param groups checksum of optimizer(); nil without training
function M.check_equal_start(store, ranks, groups)
    if ranks.size == 1 then return end
    ranks:require_equal(groups or 0, "lr_scale or weight_decay_of",
        "they must return the same numbers in every process")
    ranks:require_equal(tonumber(store:checksum(), 16), "parameters at the start",
        "check that all machines run the same build and read the same files")
end

--- The optimizer that the settings name, for an allocated store.
-- @return optimizer; a checksum of what lr_scale and weight_decay_of say
function M.optimizer(run, values, store, ranks)
    local decays, decays_text = parameter_groups.numbers("weight_decay_of", values, store)
    local rates, rates_text = parameter_groups.numbers("lr_scale", values, store)
    local optimizer = Optimizer.new {
        kind = ranks.size == 1 and M.optimizer_family(values) or values.optimizer, store = store, comm = ranks.comm,
        beta1 = values.beta1, beta2 = values.beta2, epsilon = values.epsilon, weight_decay = values.weight_decay,
        weight_decay_of = decays, lr_scale = rates,
        always_adapt = values.always_adapt, max_grad_norm = values.max_grad_norm, accumulation = run.accumulation,
        loss_scale = values.scale_loss, dynamic = values.use_dynamic_loss_scaling,
    }
    return optimizer, storage.crc32c(("%s; %s"):format(decays_text, rates_text))
end

--- Warn of a schedule that is 0 at every step, such as that of a single step without a warm-up, whose last step has 0.
local function warn_of_rates(run, values, rate)
    if values.benchmark then return end
    -- Most schedules say no at the first step or the second.
    for step = 1, run.max_steps do
        if rate(step) ~= 0 then return end
    end
    local why = values.learning_rate == 0 and "--learning-rate is 0"
        or type(values.schedule) == "function" and "as the recipe's schedule says"
        or ("with %s, as schedule %s ends at 0: train for more, or take --schedule constant"):format(
            plural.count(run.max_steps, "step"), values.schedule)
    run.warnings[#run.warnings + 1] = "the learning rate is 0 at every step, so nothing is learned: " .. why
end

--- function(step) -> learning rate, as the settings say.
function M.schedule(run, values)
    local settings = {
        learning_rate = values.learning_rate, warmup_start_lr = values.warmup_start_lr,
        warmup_proportion = values.warmup_proportion, max_steps = run.max_steps, power = values.schedule_power,
        decay_proportion = values.decay_proportion,
    }
    local rate = type(values.schedule) == "function" and schedule.from_function(values.schedule, settings)
        or schedule.make(values.schedule, settings)
    if run.max_steps > 0 then warn_of_rates(run, values, rate) end
    return rate
end

--- Maximum bytes of activations: address space, of which only the part that is used is touched.
local function activation_limit(values)
    if values.activation_memory then return values.activation_memory * GIB end
    local _, total = device.memory()
    return not device.is_host() and total or 32 * GIB
end

--- A tape with the run's seed, and address space for its activations: as much as the settings say, else 32 GiB, or
-- less where the system does not allow that much.
-- Where memory cannot be mapped it is what is planned.
-- @param plan of the memory, or nil
function M.tape(run, values, plan)
    context.attention(run.attention)
    local capacity = activation_limit(values)
    local least = not values.activation_memory and (plan and plan.activations or LEAST_ACTIVATIONS) or nil
    local made, tape = pcall(Tape.new, { capacity = capacity, least = least, planned = plan and plan.activations,
        seed = values.seed, accumulation = run.accumulation })
    if not made then
        fault.raisef("activations: cannot reserve %.2f GiB of address space (%s): %s, or raise the limit (ulimit -v)",
            (least or capacity) / GIB, fault.message(tape), values.activation_memory
                and ("lower --activation-memory, which is %g GiB"):format(values.activation_memory)
                or "use a smaller batch")
    end
    if tape.arena.whole then
        run.notes[#run.notes + 1] = ("activations take %.2f GiB at once, as the driver does not let memory be mapped; "
            .. "--activation-memory sets how much"):format(tape.arena.capacity / GIB)
    elseif tape.arena.capacity < capacity then
        run.notes[#run.notes + 1] = ("activations have %.2f GiB of address space, as the system does not allow %g GiB "
            .. "(ulimit -v); --activation-memory sets how much to reserve"):format(tape.arena.capacity / GIB,
            capacity / GIB)
    end
    return tape
end

--- Give the model of a training run its memory, and estimate what activations will take.
-- @param shape of a micro-batch, as in memory_plan.check_activations
-- @param ranks of the job
-- @return the memory plan
function M.allocate(run, values, model, shape, ranks)
    local partition = partition_of(values, ranks)
    model_choice.set_checkpointing(model, values)
    shape.checkpointing = values.activation_checkpointing
    parameter_groups.freeze(values, model.store)
    -- The scratch memory depends on which kernels run.
    context.attention(run.attention)
    -- Checked before anything is allocated: untouched pages count as free. The ranks of a machine share its memory.
    local options = {
        precision = run.precision, shape = shape, limit = activation_limit(values),
        parts = partition and partition.divide and ranks.size or 1,
        share = device.is_host() and ranks.comm.local_size or 1,
        unknown = model_choice.unknown_activations(model, values),
    }
    local plan = memory_plan.check(model, options)
    memory_plan.advise(model, shape, options)
    model.store:allocate { precision = run.precision, seed = values.seed, partition = partition }
    -- In one piece: growing it later would leave outgrown blocks behind.
    if plan.scratch then device.reserve_scratch(plan.scratch) end
    return plan
end

--- What replays recorded steps; warns if recording fails.
function M.graphs(values)
    local graphs = Graphs.new { enabled = values.cuda_graph, warn = term.warn }
    return graphs
end

--- Load the parameters, and for a resumed run the optimizer, from where the plan names.
-- @param target as in checkpoint.load and checkpoint.load_pretrained
function M.restore(run, optimizer, target)
    local start = run.start
    if start.kind == "fresh" then return end
    if start.kind == "resume" then
        target.optimizer = optimizer
        local _, report = checkpoint.load(start.path, target)
        if report.thawed then
            run.warnings[#run.warnings + 1] = ("%s frozen in %s: %s moments begin at zero"):format(
                plural.count(#report.thawed, "parameter was", "parameters were"), start.path,
                #report.thawed == 1 and "its" or "their")
        end
        return
    end
    local report = checkpoint.load_pretrained(start.path, target)
    if #report.missing > 0 then
        run.warnings[#run.warnings + 1] = ("%s lacks %s, which will be newly initialized"):format(start.path,
            heads.described(report.missing))
    end
    if #report.unexpected > 0 then
        run.warnings[#run.warnings + 1] = ("%s contains %s, which will be ignored"):format(start.path,
            heads.described(report.unexpected))
    end
end

--- Run the trainer, with a trace if the settings ask for one.
-- @return its outcome
function M.run_trainer(parts, values)
    if values.trace_file then
        parts.trace = fault.check(Trace.open(values.trace_file, { rank = parts.ranks.rank }))
        parts.ranks.comm:record()
    end
    local outcome = Trainer.new(parts):run()
    if parts.trace then
        parts.ranks.comm:record(false)
        fault.check(parts.trace:close())
    end
    return outcome
end

--- The checkpoint that a run resumes from makes room for later ones: where the vocabulary is its copy, that of the
-- newest checkpoint takes its place.
local function follow_vocabulary(run, path)
    local home = run.vocab_file and fs.dirname(fs.dirname(run.vocab_file))
    if home and run.start.kind == "resume" and fs.identity(home) == fs.identity(run.checkpoint_dir) then
        run.vocab_file = fs.join(path, "vocab.txt")
    end
end

--- Run the trainer with logs and checkpoints.
-- @param job of the runner
-- @param progress_of function(step, record) -> contents of progress.json
-- @param held the lock of the run's folder, or nil
-- @return outcome of the trainer
function M.train(job, progress_of, held)
    local run, parts, values, log = job.run, job.parts, job.values, job.log
    parts.log_freq = values.log_freq
    parts.on_micro_step = function(step, done, total) log:micro_step(step, done, total) end
    parts.on_step = function(step, record, stats)
        if step == run.first_step and parts.objective then log:learned() end
        log:step(step, record, stats)
        callbacks.call(job, "on_step", step, { metrics = record })
    end
    parts.on_results = function(names)
        evaluating.check_results(job, names)
        for i, result in ipairs(tasks.describe(job.task, names)) do job.results[i] = result end
    end
    parts.on_log = function(record) log:record(record) end
    parts.checkpoint_freq = values.num_steps_per_checkpoint
    parts.evaluation = evaluating.hook(job)
    parts.resumed_from = run.start.kind == "resume" and run.start.path or nil
    parts.save = function(step, record)
        -- None where the first step has not been made yet: what the checkpoint held that the run resumed from.
        record = record or checkpoint.progress(run.start.path)
        parts.ranks:together(function() if held then held:check() end end)
        local path = checkpoint.save(run.checkpoint_dir, step, {
            store = parts.model.store, optimizer = parts.optimizer, config = parts.config,
            vocab_file = run.vocab_file, model_prefix = values.model_prefix, progress = progress_of(step, record),
            ranks = parts.ranks, best = evaluating.best_step(run),
        })
        follow_vocabulary(run, path)
        callbacks.call(job, "on_checkpoint", step, { metrics = record, path = path })
        return path
    end
    local outcome = M.run_trainer(parts, values)
    return outcome
end

return M
