--- Settings that every training job has, each declared once, and how a task
-- builds its own table of settings from them.
--
-- A setting added to a list below appears in every job, on its command line, in
-- its --help and in docs/settings.md. A run that resumes with another value says
-- so (began.lua), unless the declaration says why the value changes nothing of
-- the result: `passing = "where files go"`. `fixed = true`: another value is
-- refused. `rounding = true`: it only changes the order of sums, which is a note.
-- `evaluated = true`: it matters only to a run that evaluates while it trains.
-- Rules between settings do not belong here: see plan.lua.

local evaluating = require "bertlua.jobs.common.evaluation_settings"
local paths = require "bertlua.paths"
local repeats = require "bertlua.jobs.repeats.settings"
local settings = require "bertlua.settings"

local M = {}

local MODELS = { "bert-base-uncased", "bert-base-cased", "bert-large-uncased", "bert-large-cased", "custom" }

local schedule = require "bertlua.train.schedule"

local JOB = {
    { name = "output_dir", type = "path", passing = "where files go",
        help = "checkpoints go to OUTPUT_DIR/BERT_MODEL/TASK/STEP" },
    { name = "bert_model", type = "choice", passing = "config and vocabulary are compared themselves",
        choices = MODELS, default = "bert-large-uncased", help = "model" },
    { name = "config_file", type = "path", passing = "its fields are compared", accepts = { table = true },
        help = "model configuration; unset: bert_configs/BERT_MODEL.json; required with bert_model custom" },
    { name = "model", type = "lua", accepts = { table = true, ["function"] = true },
        help = "{ base = NAME, field = value, ... } changes fields of a configuration; function(config, store), or "
            .. "`new` in the table, returns a model of the recipe's own" },
    { name = "vocab_file", type = "path", find = paths.vocabulary, passing = "its words are compared",
        help = "vocabulary, one token per line: a path, or a name in bertlua's vocab/; checked against the model and "
            .. "copied into its checkpoints; unset: BERT_MODEL-vocab.txt" },
    { name = "from_pretrained_params", type = "path", passing = "the parameters are compared",
        help = "parameters to start from: a checkpoint, a Hugging Face folder, or a .safetensors, .bin, .pt, .pdparams "
            .. "or .npz file; the optimizer starts from scratch" },
    { name = "from_checkpoint", type = "path", passing = "where to go on from",
        help = "checkpoint to resume from: parameters, optimizer and schedule; one STEP folder, the folder that holds "
            .. "them, or the OUTPUT_DIR of a run" },
    { name = "last_step_of_checkpoint", type = "choice", passing = "where to go on from",
        choices = { "none", "auto" }, or_integer = true,
        default = "none",
        help = "step to resume from; auto takes the newest complete checkpoint, or starts from scratch if there is "
            .. "none" },
    { name = "steps_this_run", type = "integer", passing = "where to stop for now", min = 1,
        help = "updates in this run; unset: up to max_steps" },
    { name = "log_freq", type = "integer", passing = "what is shown", min = 1, default = 10,
        help = "steps between two log lines" },
    { name = "num_steps_per_checkpoint", type = "integer", passing = "how much a crash loses", min = 1, default = 100,
        help = "steps between two checkpoints; one more is written at the end" },
    { name = "seed", type = "integer", min = 0, default = 42,
        help = "random seed of initial weights, shuffling and dropout" },
    { name = "on_step", type = "lua", passing = "it watches; what it changes, it says",
        accepts = { ["function"] = true, table = true },
        help = "called after a step, or with { every = N, function(event) ... end } after every N steps" },
    { name = "on_checkpoint", type = "lua", passing = "it watches", accepts = { ["function"] = true },
        help = "called after a checkpoint is written" },
    { name = "on_evaluate", type = "lua", passing = "it watches", accepts = { ["function"] = true },
        help = "called after an evaluation" },
    { name = "evaluate", type = "lua", accepts = { table = true },
        help = "evaluate while training, { every = N, ... }; fields: docs/recipes.md" },
    { name = "report_file", type = "path", passing = "where a log goes",
        help = "log in dllogger's JSON lines format; unset: report.json in the run's folder, none of a benchmark" },
    { name = "model_prefix", type = "string", passing = "the name of a file", default = "model",
        help = "checkpoints hold MODEL_PREFIX.safetensors" },
    { name = "show_config", type = "boolean", passing = "what is shown", choices = { "all" }, default = true,
        help = "print the settings before the run: those to which the recipe or the command line gives another value "
            .. "than the task's default; all: every one" },
    { name = "enable_cpu_affinity", type = "boolean", passing = "where threads run", default = true,
        help = "pin each thread to a core if threads equals the number of cores this process may use" },
    { name = "benchmark", type = "boolean", passing = "it saves nothing", default = false,
        help = "measure speed; writes no checkpoint" },
    { name = "benchmark_steps", type = "integer", passing = "it saves nothing", min = 1, default = 20,
        help = "steps measured" },
    { name = "benchmark_warmup_steps", type = "integer", passing = "it saves nothing", min = 0, default = 20,
        help = "steps run before those" },
}

local TRAINING = {
    { name = "optimizer", type = "choice", choices = { "Lamb", "AdamW", "DistributedFusedLamb" }, default = "Lamb",
        help = "DistributedFusedLamb is Lamb with moments and master weights divided among the processes; with Lamb "
            .. "and AdamW each process keeps all of them" },
    { name = "gradient_merge_steps", type = "integer", min = 1, default = 1,
        help = "micro-steps whose gradients are averaged into one update" },
    { name = "world_size", type = "integer", rounding = true, min = 1,
        help = "number of processes the batch settings are meant for: with fewer or more, gradient_merge_steps grows "
            .. "or shrinks so that the global batch stays the same; unset: as many as there are" },
    { name = "loss", type = "lua", accepts = { ["function"] = true },
        help = "function(tape, model, batch) returns { loss = variable, name = scalar, ... } in place of the model" },
    { name = "learning_rate", type = "number", above = 0, default = 1e-4,
        help = "peak learning rate" },
    { name = "schedule", type = "choice", choices = schedule.NAMES, accepts = { ["function"] = true },
        default = "linear", help = "learning rate after the warm-up" },
    { name = "schedule_power", type = "number", above = 0,
        help = "of schedule polynomial; unset: 1" },
    { name = "decay_proportion", type = "number", min = 0, max = 1,
        help = "share of max_steps that schedule warmup_stable_decay decays over; unset: 0.1" },
    { name = "warmup_start_lr", type = "number", min = 0, default = 0,
        help = "learning rate at the start of the warm-up" },
    { name = "warmup_proportion", type = "number", min = 0, max = 1, default = 0.01,
        help = "share of max_steps spent on warm-up; the schedule follows" },
    { name = "beta1", type = "number", min = 0, below = 1, default = 0.9,
        help = "decay of the first moment" },
    { name = "beta2", type = "number", min = 0, below = 1, default = 0.999,
        help = "decay of the second moment" },
    { name = "epsilon", type = "number", above = 0, default = 1e-6,
        help = "added to the root of the second moment" },
    { name = "weight_decay", type = "number", min = 0, default = 0.01,
        help = "not applied to biases and LayerNorm" },
    { name = "always_adapt", type = "boolean", default = true,
        help = "LAMB's trust ratio for all parameters, as in its paper; false: not for those without weight decay, as "
            .. "NVIDIA's FusedLAMB and Paddle's Lamb do unless told otherwise" },
    { name = "freeze", type = "string", accepts = { table = true },
        help = "patterns of names of parameters that keep their values, which also saves their part of the backward "
            .. "pass: embeddings,encoder.layer.[0-5]" },
    { name = "lr_scale", type = "lua", accepts = { ["function"] = true, table = true },
        help = "what the learning rate of each parameter is multiplied by: function(name), or a table of numbers by "
            .. "pattern; unset or nil: 1" },
    { name = "weight_decay_of", type = "lua", accepts = { ["function"] = true, table = true },
        help = "weight decay of each parameter: function(name), or a table of numbers by pattern; unset or nil: that "
            .. "of weight_decay" },
    { name = "max_grad_norm", type = "number", min = 0, default = 1.0,
        help = "gradients are clipped to this global norm; 0: no clipping" },
}

local ADVANCED = {
    { name = "amp", type = "boolean", passing = "precision says what it comes to", default = false,
        help = "mixed precision, the same as precision amp; on a CPU that multiplies bf16 slower than fp32 it is "
            .. "fp32, unless amp_dtype is given" },
    { name = "precision", type = "choice", choices = { "fp32", "tf32", "amp" },
        help = "of matrices and activations; weights, moments and sums are always fp32; tf32: fp32 with products "
            .. "rounded to TF32, on a GPU; unset: determined by amp" },
    { name = "amp_dtype", type = "choice", passing = "precision says what it comes to",
        choices = { "bf16", "fp16" }, default = "bf16",
        help = "low precision of amp, also on a CPU where it is slower if given; fp16 requires loss scaling" },
    { name = "scale_loss", type = "number", above = 0, default = 1.0, help = "loss scale; the initial one if dynamic" },
    { name = "use_dynamic_loss_scaling", type = "boolean", default = false,
        help = "skip an update that overflows and halve the scale; double it after 2000 good ones" },
    { name = "use_pure_fp16", type = "boolean", passing = "precision says what it comes to", default = false,
        help = "all matrices, tables and activations in fp16, on a GPU; the optimizer keeps fp32 master weights, as "
            .. "NVIDIA's does" },
    { name = "fuse_mha", type = "boolean", passing = "attention says what it comes to", default = true,
        help = "one fused kernel for attention; false: attention unfused, on a GPU only" },
    { name = "attention", type = "choice", rounding = true,
        choices = { "auto", "native", "cudnn", "unfused" }, default = "auto",
        help = "attention kernels on a GPU; auto: the fastest that fits" },
    { name = "pack_sequences", type = "boolean", default = true,
        help = "leave padding tokens out of the computation" },
    { name = "activation_checkpointing", type = "boolean", passing = "the same gradients", default = false,
        help = "keep only the activations between layers and recompute the others in the backward pass: less memory, "
            .. "about a third more work, the same gradients" },
    { name = "cuda_graph", type = "boolean", passing = "the same kernels", default = true,
        help = "on a GPU, record the step once per batch shape and replay it as one launch" },
    { name = "matmul_choices", type = "path", rounding = true, default = "auto",
        help = "file with the fastest algorithm for each matrix product on a GPU; missing ones are timed; a resumed "
            .. "run is bit-identical only with the same file. FILE.rankN for the other processes. auto: next to the "
            .. "checkpoints, begun with what earlier runs timed (~/.cache/bertlua); none: the library's first "
            .. "suggestion" },
}

local MACHINE = {
    { name = "gradient_reduction_dtype", type = "choice", choices = { "fp32", "bf16" }, default = "fp32",
        help = "format in which processes exchange gradients; sums are added in fp32" },
    { name = "gradient_bucket_mib", type = "number", rounding = true, above = 0, max = 4096, default = 25,
        help = "MiB of fp32 gradients that are reduced at a time while the backward pass continues" },
    { name = "device", type = "choice", rounding = true, choices = { "auto", "cpu", "cuda" }, default = "auto",
        help = "where to compute; auto: on a GPU if one is found" },
    { name = "threads", type = "integer", rounding = true, min = 0, default = 0,
        help = "0: OMP_NUM_THREADS, or all cores (as many as a container's limit gives); processes share them" },
    { name = "comm_timeout", type = "number", passing = "when a silent process counts as lost", above = 0,
        default = 600,
        help = "seconds that a process may stay silent, or keep the others waiting, before the job is ended" },
    { name = "trace_file", type = "path", passing = "where a log goes",
        help = "timeline of a step for chrome://tracing or Perfetto; FILE.rankN.json for the other processes; unset: "
            .. "not written" },
    { name = "activation_memory", type = "number", passing = "a limit", above = 0, max = 4096,
        help = "limit in GiB for the activations of one micro-step; unset: 32, or all of a GPU's memory" },
    { name = "tensorboard_dir", type = "path", passing = "where a log goes", default = "auto",
        help = "TensorBoard event files; auto: next to the checkpoints; none: not written" },
}

-- What fine-tuning adds and changes.
local FINETUNING = { { "Job", {
    { name = "config_file", help = "model configuration; unset: bert_configs/BERT_MODEL.json, or config.json of "
        .. "from_pretrained_params with bert_model custom" },
    { name = "vocab_file", help = "vocabulary, one token per line, or a tokenizer.json: a path, or a name in bertlua's "
        .. "vocab/; unset: BERT_MODEL-vocab.txt, or that of from_pretrained_params with bert_model custom" },
    { name = "do_lower_case", type = "boolean",
        help = "lower-case the text; unset: as recorded with the pretrained model, else by the vocabulary" },
} }, { "Training", {
    { name = "epochs", type = "integer", min = 1, default = 3,
        help = "number of passes over the training data" },
    { name = "max_steps", type = "integer", min = -1,
        help = "maximum number of updates; unset or -1: as many as the epochs take" },
    { name = "train_batch_size", type = "integer", min = 1, default = 32,
        help = "sequences per micro-step, per device" },
    { name = "predict_batch_size", type = "integer", passing = "it trains nothing", min = 1, default = 8,
        help = "sequences per batch in prediction" },
    { name = "freeze_embeddings", type = "boolean", default = false,
        help = "the embeddings keep their values, as with freeze" },
    { name = "freeze_layers", type = "integer", min = 1,
        help = "the lowest N layers of the encoder keep their values; unset: none" },
    { name = "layerwise_lr_decay", type = "number", above = 0, max = 1,
        help = "each layer has this times the learning rate of the one above it, the embeddings the lowest; what is "
            .. "above the top layer has all of it; unset: the same for all" },
} }, evaluating.SETTINGS, repeats.SETTINGS }

local SHARED = { { "Job", JOB }, { "Training", TRAINING }, { "Advanced", ADVANCED }, { "Machine and logs", MACHINE } }

local function merged(shared, own)
    local setting = {}
    for key, value in pairs(shared or {}) do setting[key] = value end
    for key, value in pairs(own) do setting[key] = value end
    return setting
end

--- Settings of several layers, each a list of groups {title, settings}, the most special one first: a setting stands
-- where the first layer that has it puts it, with the fields of the last one, as changed by those before it.
local function define(layers)
    local by_name, list, taken = {}, {}, {}
    for i = #layers, 1, -1 do
        for _, group in ipairs(layers[i]) do
            for _, setting in ipairs(group[2]) do by_name[setting.name] = merged(by_name[setting.name], setting) end
        end
    end
    for _, layer in ipairs(layers) do
        for _, group in ipairs(layer) do
            for _, setting in ipairs(group[2]) do
                if not taken[setting.name] then
                    taken[setting.name] = true
                    list[#list + 1] = merged(by_name[setting.name], { group = group[1] })
                end
            end
        end
    end
    -- A group stays together, at the place where it first occurs.
    local order, sorted = {}, {}
    for i, setting in ipairs(list) do
        order[setting.group] = order[setting.group] or i
        sorted[i] = { setting, order[setting.group], i }
    end
    table.sort(sorted, function(a, b)
        if a[2] ~= b[2] then return a[2] < b[2] end
        return a[3] < b[3]
    end)
    for i, entry in ipairs(sorted) do list[i] = entry[1] end
    return settings.define(list)
end

--- The settings of a task: its own, then those of every job.
-- @param own list of groups {title, list of settings}; the groups that all jobs have are "Job", "Training", "Advanced"
--   and "Machine and logs". An entry with the name of a shared setting replaces the fields that it gives:
--   { name = "output_dir", help = "..." }
-- @return settings.Spec
function M.task(own)
    local spec = define { own, SHARED }
    return spec
end

--- The settings of a fine-tuning task: its own, those of every fine-tuning, those of every job.
-- @param own as in task()
-- @param defaults {name = value} for settings that it shares with others, or nil; such as M.usual()
function M.finetuning(own, defaults)
    local spec = define { own, FINETUNING, SHARED }
    if not defaults then return spec end
    local changed = {}
    for name, value in pairs(defaults) do changed[#changed + 1] = merged(spec.by_name[name], { default = value }) end
    return spec:extend(changed)
end

--- Defaults of the fine-tuning tasks that come with bertlua. They are the tasks' and not those of the recipes, so that
-- a recipe of one's own trains as the one that comes with it. What every job has are the reference's.
-- @param changes {name = value} for a task that has others, or nil
function M.usual(changes)
    local defaults = { optimizer = "AdamW", learning_rate = 5e-5, warmup_proportion = 0.1, predict_batch_size = 32,
        last_step_of_checkpoint = "auto" }
    for name, value in pairs(changes or {}) do defaults[name] = value end
    return defaults
end

local by_name = M.task({}).by_name

--- One of the shared settings, for jobs that have few of them.
-- @param changes fields to replace, or nil
function M.shared(name, changes)
    local setting = merged(by_name[name], changes or {})
    setting.group = nil
    return setting
end

return M
