--- The settings of fine-tuning on SQuAD: names and defaults as in NVIDIA's BERT
-- scripts, in snake_case; what pre-training has too comes from there. Rules
-- that concern several settings at once do not belong here: see
-- jobs/squad/plan.lua.

local extraction = require "bertlua.squad.extraction"
local features = require "bertlua.squad.features"
local pretraining = require "bertlua.jobs.pretrain.settings"
local settings = require "bertlua.settings"

local JOB = {
    { name = "mode", type = "choice", choices = { "train", "eval", "prediction", "train_eval" },
        help = "what to do; the same as do_train, do_predict + do_eval, do_predict, or all three" },
    { name = "do_train", type = "boolean", default = false, help = "fine-tune on train_file" },
    { name = "do_predict", type = "boolean", default = false, help = "answer the questions of predict_file" },
    { name = "do_eval", type = "boolean", default = false, help = "exact match and F1 of the answers" },
    { name = "train_file", type = "path",
        help = "SQuAD JSON to train on; unset: data/squad/v1.1/train-v1.1.json or its v2.0. A file with a published "
            .. "name that is not there is downloaded and checked" },
    { name = "predict_file", type = "path",
        help = "SQuAD JSON to answer; unset: data/squad/v1.1/dev-v1.1.json or its v2.0, as above" },
    { name = "squad_url", type = "string", help = "folder on the web that has the published files; unset: their own" },
    { name = "eval_script", type = "path",
        help = "evaluator to run too, a program or a .py file for python3; its figures must be the same; unset: only "
            .. "our own" },
    { name = "version_2_with_negative", type = "boolean", default = false,
        help = "SQuAD v2.0: questions may have no answer" },
    { name = "output_dir", type = "path",
        help = "model and answers go to OUTPUT_DIR/BERT_MODEL/squad, checkpoints to its STEP folders" },
    { name = "bert_model" },
    { name = "config_file", type = "path",
        help = "model configuration; unset: bert_configs/BERT_MODEL.json, or config.json of from_pretrained_params "
            .. "with bert_model custom" },
    { name = "vocab_file", type = "path",
        help = "vocabulary, one token a line; unset: vocab/BERT_MODEL-vocab.txt, or vocab.txt of "
            .. "from_pretrained_params with bert_model custom" },
    { name = "do_lower_case", type = "boolean",
        help = "lower-case the text; unset: as the pretrained model says, else as the vocabulary asks for" },
    { name = "from_pretrained_params" },
    { name = "from_checkpoint" },
    { name = "last_step_of_checkpoint" },
    { name = "log_freq" },
    { name = "num_steps_per_checkpoint" },
    { name = "steps_this_run" },
    { name = "seed", type = "integer", min = 0, default = 42, help = "of the head, shuffling and dropout" },
    { name = "report_file" },
    { name = "model_prefix" },
    { name = "show_config" },
    { name = "enable_cpu_affinity" },
    { name = "benchmark", type = "boolean", default = false,
        help = "measure training, or with mode prediction inference; writes no checkpoint and no answers" },
    { name = "benchmark_steps" },
    { name = "benchmark_warmup_steps" },
}

local TRAINING = {
    { name = "epochs", type = "integer", min = 1, default = 3, help = "times that every training feature is seen" },
    { name = "max_steps", type = "integer", min = -1,
        help = "updates, at most; unset or -1: as many as epochs need" },
    { name = "train_batch_size", type = "integer", min = 1, default = 32, help = "sequences a micro-step and device" },
    { name = "predict_batch_size", type = "integer", min = 1, default = 8, help = "sequences at a time in prediction" },
    { name = "optimizer" }, { name = "gradient_merge_steps" }, { name = "world_size" }, { name = "learning_rate" },
    { name = "warmup_start_lr" }, { name = "warmup_proportion" }, { name = "beta1" }, { name = "beta2" },
    { name = "epsilon" }, { name = "weight_decay" }, { name = "max_grad_norm" },
}

local FEATURES = {
    { name = "null_window_share", type = "number", min = 0, max = 1, default = 1,
        help = "share of the training windows without their question's answer that are used, drawn by seed; a long "
            .. "context has many of them" },
    { name = "cache_dir", type = "path", help = "folder for converted features; unset: beside the data" },
}

local ADVANCED = {
    { name = "amp" }, { name = "precision" }, { name = "amp_dtype" }, { name = "scale_loss" },
    { name = "use_dynamic_loss_scaling" }, { name = "use_pure_fp16" }, { name = "fuse_mha" },
    { name = "attention" }, { name = "pack_sequences" }, { name = "activation_checkpointing" }, { name = "cuda_graph" },
    { name = "matmul_choices" },
}

local MACHINE = {
    { name = "gradient_reduction_dtype" }, { name = "gradient_bucket_mib" },
    { name = "device" }, { name = "threads" }, { name = "comm_timeout" }, { name = "trace_file" },
    { name = "activation_memory" }, { name = "tensorboard_dir" },
}

--- A setting of its own, or pre-training's of that name; in a group.
local function complete(setting, group)
    local copy = {}
    for key, value in pairs(setting.type and setting or pretraining.by_name[setting.name]) do copy[key] = value end
    copy.group = group
    return copy
end

local list = {}
for _, group in ipairs { { "Job", JOB }, { "Training", TRAINING }, { "Features", features.settings },
    { "Features", FEATURES }, { "Answers", extraction.settings }, { "Advanced", ADVANCED },
    { "Machine and logs", MACHINE } } do
    for _, setting in ipairs(group[2]) do list[#list + 1] = complete(setting, group[1]) end
end

return settings.define(list)
