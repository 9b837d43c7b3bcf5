--- The settings of pre-training: names and defaults as in NVIDIA's BERT
-- scripts, in snake_case, then bertlua's own. Rules that concern several
-- settings at once do not belong here: see jobs/common/plan.lua.

local settings = require "bertlua.settings"

local MODELS = { "bert-base-uncased", "bert-base-cased", "bert-large-uncased", "bert-large-cased", "custom" }

local GLOBAL = {
    { name = "input_dir", type = "path", help = "folder of HDF5 shards (*.hdf5, *.h5)" },
    { name = "output_dir", type = "path",
        help = "checkpoints go to OUTPUT_DIR/BERT_MODEL/phase1|phase2/STEP" },
    { name = "vocab_file", type = "path",
        help = "vocabulary, one token a line; checked against the model and kept beside its checkpoints; unset: "
            .. "vocab/BERT_MODEL-vocab.txt" },
    { name = "bert_model", type = "choice", choices = MODELS, default = "bert-large-uncased", help = "model" },
    { name = "config_file", type = "path",
        help = "model configuration; unset: bert_configs/BERT_MODEL.json; needed with bert_model custom" },
    { name = "max_steps", type = "integer", min = 1, help = "updates of the whole schedule; needed" },
    { name = "steps_this_run", type = "integer", min = 1, help = "updates of this run; unset: up to max_steps" },
    { name = "log_freq", type = "integer", min = 1, default = 10, help = "steps between two log lines" },
    { name = "num_steps_per_checkpoint", type = "integer", min = 1, default = 100,
        help = "steps between two checkpoints; one more is written at the end" },
    { name = "from_pretrained_params", type = "path",
        help = "parameters to start with: a checkpoint, a Hugging Face folder, or a .safetensors, .bin, .pt, .pdparams "
            .. "or .npz file; the optimizer starts afresh" },
    { name = "from_checkpoint", type = "path",
        help = "checkpoint folder to go on from: parameters, optimizer and schedule; either one STEP folder or the "
            .. "folder that holds them" },
    { name = "last_step_of_checkpoint", type = "choice", choices = { "none", "auto" }, or_integer = true,
        default = "none",
        help = "step to go on from; auto takes the newest complete checkpoint, or starts afresh where there is none" },
    { name = "from_phase1_final_params", type = "path",
        help = "phase 1 checkpoint whose parameters start phase 2; auto: the newest in OUTPUT_DIR/BERT_MODEL/phase1; "
            .. "ignored once phase 2 has a checkpoint to go on from" },
    { name = "seed", type = "integer", min = 0, default = 42, help = "of initial weights, shuffling and dropout" },
    { name = "report_file", type = "path", default = "./report.json", help = "dllogger's JSON lines" },
    { name = "model_prefix", type = "string", default = "model", help = "checkpoints hold MODEL_PREFIX.safetensors" },
    { name = "show_config", type = "boolean", default = true, help = "print the settings before the run" },
    { name = "enable_cpu_affinity", type = "boolean", default = true,
        help = "pin each thread to a core, when threads is the number of cores this process may use" },
    { name = "num_workers", type = "integer", min = 0, max = 1, default = 1,
        help = "1: a thread reads ahead; 0: read between steps" },
    { name = "benchmark", type = "boolean", default = false, help = "measure speed; writes no checkpoint" },
    { name = "benchmark_steps", type = "integer", min = 1, default = 20, help = "steps measured" },
    { name = "benchmark_warmup_steps", type = "integer", min = 0, default = 20, help = "steps run before" },
}

local TRAINING = {
    { name = "optimizer", type = "choice", choices = { "Lamb", "AdamW", "DistributedFusedLamb" }, default = "Lamb",
        help = "DistributedFusedLamb is Lamb with moments and master weights divided over the processes; of Lamb and "
            .. "AdamW each process keeps all" },
    { name = "gradient_merge_steps", type = "integer", min = 1, default = 1,
        help = "micro-steps whose gradients are averaged into one update" },
    { name = "world_size", type = "integer", min = 1,
        help = "processes the batch settings are meant for: with fewer or more, gradient_merge_steps grows or shrinks "
            .. "so that the global batch stays; unset: as many as there are" },
    { name = "learning_rate", type = "number", above = 0, default = 1e-4, help = "peak learning rate" },
    { name = "warmup_start_lr", type = "number", min = 0, default = 0,
        help = "learning rate that the warm-up rises from" },
    { name = "warmup_proportion", type = "number", min = 0, max = 1, default = 0.01,
        help = "share of max_steps that warms up; then linear decay to 0" },
    { name = "beta1", type = "number", min = 0, below = 1, default = 0.9, help = "decay of the first moment" },
    { name = "beta2", type = "number", min = 0, below = 1, default = 0.999, help = "decay of the second moment" },
    { name = "epsilon", type = "number", above = 0, default = 1e-6, help = "added to the root of the second moment" },
    { name = "weight_decay", type = "number", min = 0, default = 0.01, help = "not for biases and LayerNorm" },
    { name = "max_grad_norm", type = "number", min = 0, default = 1.0,
        help = "gradients are clipped to this global norm; 0: not clipped" },
    { name = "max_seq_length", type = "integer", min = 8, default = 512, help = "of the shards" },
    { name = "batch_size", type = "integer", min = 1, default = 32, help = "sequences a micro-step and device" },
    { name = "phase1", type = "boolean", default = false, help = "short sequences; excludes phase2" },
    { name = "phase2", type = "boolean", default = false, help = "long sequences; excludes phase1" },
    { name = "max_predictions_per_seq", type = "integer", min = 1, default = 80,
        help = "masked tokens a sequence, of the shards" },
    { name = "dynamic_masking", type = "boolean", default = false,
        help = "mask anew at every reading instead of as the shards say" },
}

local ADVANCED = {
    { name = "amp", type = "boolean", default = false, help = "mixed precision, the same as precision amp" },
    { name = "precision", type = "choice", choices = { "fp32", "tf32", "amp" },
        help = "of matrices and activations; weights, moments and sums are fp32 in all; tf32: fp32 whose products are "
            .. "rounded to TF32, on a GPU; unset: as amp says" },
    { name = "amp_dtype", type = "choice", choices = { "bf16", "fp16" }, default = "bf16",
        help = "low precision of amp; fp16 wants loss scaling" },
    { name = "scale_loss", type = "number", above = 0, default = 1.0, help = "loss scale, the first if dynamic" },
    { name = "use_dynamic_loss_scaling", type = "boolean", default = false,
        help = "skip an update that overflows and halve the scale; double it after 2000 good ones" },
    { name = "use_pure_fp16", type = "boolean", default = false,
        help = "all matrices, tables and activations in fp16, on a GPU; the optimizer keeps fp32 master weights, as "
            .. "NVIDIA's does" },
    { name = "fuse_mha", type = "boolean", default = true,
        help = "one fused kernel for attention; false: attention unfused, on a GPU only" },
    { name = "attention", type = "choice", choices = { "auto", "native", "cudnn", "unfused" }, default = "auto",
        help = "kernels of attention on a GPU; auto: the fastest that fits" },
    { name = "pack_sequences", type = "boolean", default = true, help = "compute no padding tokens" },
    { name = "activation_checkpointing", type = "boolean", default = false,
        help = "keep only the activations between layers and compute the others again in the backward pass: less "
            .. "memory, about a third more work, the same gradients" },
    { name = "cuda_graph", type = "boolean", default = true,
        help = "on a GPU, record the step once a batch shape and replay it as one launch" },
    { name = "matmul_choices", type = "path",
        help = "file of the fastest algorithm of each matrix product on a GPU, timed where it lacks one; a resumed run "
            .. "repeats the bits only with the same file. FILE.rankN for the other processes; unset: the library's "
            .. "first suggestion" },
}

local MACHINE = {
    { name = "gradient_reduction_dtype", type = "choice", choices = { "fp32", "bf16" }, default = "fp32",
        help = "what several processes send each other of their gradients; sums are added in fp32" },
    { name = "gradient_bucket_mib", type = "number", above = 0, max = 4096, default = 25,
        help = "MiB of fp32 gradients that are reduced at a time while the backward pass goes on" },
    { name = "device", type = "choice", choices = { "auto", "cpu", "cuda" }, default = "auto",
        help = "where to compute; auto: on a GPU where one is found" },
    { name = "threads", type = "integer", min = 0, default = 0,
        help = "0: OMP_NUM_THREADS, or all cores; several processes share a machine's cores out" },
    { name = "comm_timeout", type = "number", above = 0, default = 600,
        help = "seconds that a process may give no sign of life, or keep the others waiting, until the job is ended" },
    { name = "trace_file", type = "path",
        help = "what overlaps with what, for chrome://tracing or Perfetto; FILE.rankN.json for the other processes; "
            .. "unset: not written" },
    { name = "activation_memory", type = "number", above = 0, max = 4096,
        help = "most GiB that the activations of one micro-step may take; unset: 32, or what a GPU has" },
    { name = "tensorboard_dir", type = "path", default = "auto",
        help = "event files; auto: beside the checkpoints; none: not written" },
}

local list = {}
for _, group in ipairs { { "Global", GLOBAL }, { "Training", TRAINING }, { "Advanced", ADVANCED },
    { "Machine and logs", MACHINE } } do
    for _, setting in ipairs(group[2]) do
        setting.group = group[1]
        list[#list + 1] = setting
    end
end

return settings.define(list)
