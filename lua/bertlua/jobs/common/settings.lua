--- Settings that every training job has, each declared once, and how a task
-- builds its own table of settings from them.
--
-- A setting added to a list below appears in every job, on its command line, in
-- its --help and in docs/settings.md. `lasting = true` marks one that a resumed
-- run must keep: its value goes into progress.json, and a resume with another
-- value is reported. With "changed" it goes there only where it differs from
-- the default, so that the files of runs without it stay as they were; "fixed" is
-- that, and a resume with another value is refused; what is "told" has a file of
-- its own in the checkpoint, settings.json (see told.lua). `recorded_as` is its name
-- there, where its own is taken. Rules between settings do not belong here: see
-- plan.lua.

local settings = require "bertlua.settings"

local M = {}

local MODELS = { "bert-base-uncased", "bert-base-cased", "bert-large-uncased", "bert-large-cased", "custom" }

local schedule = require "bertlua.train.schedule"

local JOB = {
    { name = "output_dir", type = "path", help = "checkpoints go to OUTPUT_DIR/BERT_MODEL/TASK/STEP" },
    { name = "bert_model", type = "choice", choices = MODELS, default = "bert-large-uncased", help = "model" },
    { name = "config_file", type = "path", accepts = { table = true },
        help = "model configuration; unset: bert_configs/BERT_MODEL.json; required with bert_model custom" },
    { name = "model", type = "lua", accepts = { table = true, ["function"] = true }, lasting = "changed",
        help = "{ base = NAME, field = value, ... } changes fields of a configuration; function(config, store), or "
            .. "`new` in the table, returns a model of the recipe's own" },
    { name = "vocab_file", type = "path",
        help = "vocabulary, one token per line; checked against the model and copied into its checkpoints; unset: "
            .. "vocab/BERT_MODEL-vocab.txt" },
    { name = "from_pretrained_params", type = "path",
        help = "parameters to start from: a checkpoint, a Hugging Face folder, or a .safetensors, .bin, .pt, .pdparams "
            .. "or .npz file; the optimizer starts from scratch" },
    { name = "from_checkpoint", type = "path",
        help = "checkpoint to resume from: parameters, optimizer and schedule; either one STEP folder or the folder "
            .. "that holds them" },
    { name = "last_step_of_checkpoint", type = "choice", choices = { "none", "auto" }, or_integer = true,
        default = "none",
        help = "step to resume from; auto takes the newest complete checkpoint, or starts from scratch if there is "
            .. "none" },
    { name = "steps_this_run", type = "integer", min = 1, help = "updates in this run; unset: up to max_steps" },
    { name = "log_freq", type = "integer", min = 1, default = 10, help = "steps between two log lines" },
    { name = "num_steps_per_checkpoint", type = "integer", min = 1, default = 100,
        help = "steps between two checkpoints; one more is written at the end" },
    { name = "seed", type = "integer", min = 0, default = 42, lasting = true,
        help = "random seed of initial weights, shuffling and dropout" },
    { name = "on_step", type = "lua", accepts = { ["function"] = true, table = true },
        help = "called after a step, or with { every = N, function(event) ... end } after every N steps" },
    { name = "on_checkpoint", type = "lua", accepts = { ["function"] = true },
        help = "called after a checkpoint is written" },
    { name = "on_evaluate", type = "lua", accepts = { ["function"] = true }, help = "called after an evaluation" },
    { name = "evaluate", type = "lua", accepts = { table = true }, lasting = true,
        help = "evaluate while training, { every = N, ... }; fields: docs/recipes.md" },
    { name = "report_file", type = "path", default = "./report.json", help = "log in dllogger's JSON lines format" },
    { name = "model_prefix", type = "string", default = "model", help = "checkpoints hold MODEL_PREFIX.safetensors" },
    { name = "show_config", type = "boolean", choices = { "all" }, default = true,
        help = "print the settings before the run: those that differ from their defaults; all: every one" },
    { name = "enable_cpu_affinity", type = "boolean", default = true,
        help = "pin each thread to a core if threads equals the number of cores this process may use" },
    { name = "benchmark", type = "boolean", default = false, help = "measure speed; writes no checkpoint" },
    { name = "benchmark_steps", type = "integer", min = 1, default = 20, help = "steps measured" },
    { name = "benchmark_warmup_steps", type = "integer", min = 0, default = 20, help = "steps run before those" },
}

local TRAINING = {
    { name = "optimizer", type = "choice", choices = { "Lamb", "AdamW", "DistributedFusedLamb" }, default = "Lamb",
        lasting = true,
        help = "DistributedFusedLamb is Lamb with moments and master weights divided among the processes; with Lamb "
            .. "and AdamW each process keeps all of them" },
    { name = "gradient_merge_steps", type = "integer", min = 1, default = 1, lasting = true,
        help = "micro-steps whose gradients are averaged into one update" },
    { name = "world_size", type = "integer", min = 1,
        help = "number of processes the batch settings are meant for: with fewer or more, gradient_merge_steps grows "
            .. "or shrinks so that the global batch stays the same; unset: as many as there are" },
    { name = "loss", type = "lua", accepts = { ["function"] = true }, lasting = "changed",
        recorded_as = "loss_function",
        help = "function(tape, model, batch) returns { loss = variable, name = scalar, ... } in place of the model" },
    { name = "learning_rate", type = "number", above = 0, default = 1e-4, lasting = true,
        help = "peak learning rate" },
    { name = "schedule", type = "choice", choices = schedule.NAMES, accepts = { ["function"] = true },
        default = "linear", lasting = true, help = "learning rate after the warm-up" },
    { name = "schedule_power", type = "number", above = 0, lasting = "told",
        help = "of schedule polynomial; unset: 1" },
    { name = "decay_proportion", type = "number", min = 0, max = 1, lasting = "told",
        help = "share of max_steps that schedule warmup_stable_decay decays over; unset: 0.1" },
    { name = "warmup_start_lr", type = "number", min = 0, default = 0, lasting = "told",
        help = "learning rate at the start of the warm-up" },
    { name = "warmup_proportion", type = "number", min = 0, max = 1, default = 0.01, lasting = "told",
        help = "share of max_steps spent on warm-up; the schedule follows" },
    { name = "beta1", type = "number", min = 0, below = 1, default = 0.9, lasting = "told",
        help = "decay of the first moment" },
    { name = "beta2", type = "number", min = 0, below = 1, default = 0.999, lasting = "told",
        help = "decay of the second moment" },
    { name = "epsilon", type = "number", above = 0, default = 1e-6, lasting = "told",
        help = "added to the root of the second moment" },
    { name = "weight_decay", type = "number", min = 0, default = 0.01, lasting = "told",
        help = "not applied to biases and LayerNorm" },
    { name = "freeze", type = "lua", accepts = { table = true }, lasting = "changed",
        help = "patterns of names of parameters that keep their values, which also saves their part of the backward "
            .. "pass: { \"embeddings\", \"encoder.layer.[0-5]\" }" },
    { name = "lr_scale", type = "lua", accepts = { ["function"] = true, table = true }, lasting = "changed",
        help = "what the learning rate of each parameter is multiplied by: function(name), or a table of numbers by "
            .. "pattern; unset or nil: 1" },
    { name = "weight_decay_of", type = "lua", accepts = { ["function"] = true, table = true }, lasting = "changed",
        help = "weight decay of each parameter: function(name), or a table of numbers by pattern; unset or nil: that "
            .. "of weight_decay" },
    { name = "max_grad_norm", type = "number", min = 0, default = 1.0, lasting = "told",
        help = "gradients are clipped to this global norm; 0: no clipping" },
}

local ADVANCED = {
    { name = "amp", type = "boolean", default = false, help = "mixed precision, the same as precision amp" },
    { name = "precision", type = "choice", choices = { "fp32", "tf32", "amp" }, lasting = "told",
        help = "of matrices and activations; weights, moments and sums are always fp32; tf32: fp32 with products "
            .. "rounded to TF32, on a GPU; unset: determined by amp" },
    { name = "amp_dtype", type = "choice", choices = { "bf16", "fp16" }, default = "bf16",
        help = "low precision of amp; fp16 requires loss scaling" },
    { name = "scale_loss", type = "number", above = 0, default = 1.0, help = "loss scale; the initial one if dynamic" },
    { name = "use_dynamic_loss_scaling", type = "boolean", default = false,
        help = "skip an update that overflows and halve the scale; double it after 2000 good ones" },
    { name = "use_pure_fp16", type = "boolean", default = false,
        help = "all matrices, tables and activations in fp16, on a GPU; the optimizer keeps fp32 master weights, as "
            .. "NVIDIA's does" },
    { name = "fuse_mha", type = "boolean", default = true,
        help = "one fused kernel for attention; false: attention unfused, on a GPU only" },
    { name = "attention", type = "choice", choices = { "auto", "native", "cudnn", "unfused" }, default = "auto",
        help = "attention kernels on a GPU; auto: the fastest that fits" },
    { name = "pack_sequences", type = "boolean", default = true, lasting = "told",
        help = "leave padding tokens out of the computation" },
    { name = "activation_checkpointing", type = "boolean", default = false,
        help = "keep only the activations between layers and recompute the others in the backward pass: less memory, "
            .. "about a third more work, the same gradients" },
    { name = "cuda_graph", type = "boolean", default = true,
        help = "on a GPU, record the step once per batch shape and replay it as one launch" },
    { name = "matmul_choices", type = "path",
        help = "file with the fastest algorithm for each matrix product on a GPU; missing ones are timed; a resumed "
            .. "run is bit-identical only with the same file. FILE.rankN for the other processes; unset: the "
            .. "library's first suggestion" },
}

local MACHINE = {
    { name = "gradient_reduction_dtype", type = "choice", choices = { "fp32", "bf16" }, default = "fp32",
        lasting = "told",
        help = "format in which processes exchange gradients; sums are added in fp32" },
    { name = "gradient_bucket_mib", type = "number", above = 0, max = 4096, default = 25,
        help = "MiB of fp32 gradients that are reduced at a time while the backward pass continues" },
    { name = "device", type = "choice", choices = { "auto", "cpu", "cuda" }, default = "auto",
        help = "where to compute; auto: on a GPU if one is found" },
    { name = "threads", type = "integer", min = 0, default = 0,
        help = "0: OMP_NUM_THREADS, or all cores; the processes of a machine share its cores" },
    { name = "comm_timeout", type = "number", above = 0, default = 600,
        help = "seconds that a process may stay silent, or keep the others waiting, before the job is ended" },
    { name = "trace_file", type = "path",
        help = "timeline of a step for chrome://tracing or Perfetto; FILE.rankN.json for the other processes; unset: "
            .. "not written" },
    { name = "activation_memory", type = "number", above = 0, max = 4096,
        help = "limit in GiB for the activations of one micro-step; unset: 32, or all of a GPU's memory" },
    { name = "tensorboard_dir", type = "path", default = "auto",
        help = "TensorBoard event files; auto: next to the checkpoints; none: not written" },
}

-- What fine-tuning adds and changes.
local FINETUNING = { { "Job", {
    { name = "config_file", help = "model configuration; unset: bert_configs/BERT_MODEL.json, or config.json of "
        .. "from_pretrained_params with bert_model custom" },
    { name = "vocab_file", help = "vocabulary, one token per line, or a tokenizer.json; unset: "
        .. "vocab/BERT_MODEL-vocab.txt, or that of from_pretrained_params with bert_model custom" },
    { name = "do_lower_case", type = "boolean",
        help = "lower-case the text; unset: as recorded with the pretrained model, else by the vocabulary" },
} }, { "Training", {
    { name = "epochs", type = "integer", min = 1, default = 3, lasting = true,
        help = "number of passes over the training data" },
    { name = "max_steps", type = "integer", min = -1, lasting = true,
        help = "maximum number of updates; unset or -1: as many as the epochs take" },
    { name = "train_batch_size", type = "integer", min = 1, default = 32, lasting = true,
        help = "sequences per micro-step, per device" },
    { name = "predict_batch_size", type = "integer", min = 1, default = 8, help = "sequences per batch in prediction" },
} } }

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
function M.finetuning(own)
    local spec = define { own, FINETUNING, SHARED }
    return spec
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
