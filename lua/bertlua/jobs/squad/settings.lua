--- The settings of fine-tuning on SQuAD: names and defaults as in NVIDIA's BERT
-- scripts, in snake_case; rate, warm-up and epochs are those of its published
-- runs, and the same call resumes, as with every fine-tuning task. Rules that
-- relate several settings do not belong here: see plan.lua.

local extraction = require "bertlua.squad.extraction"
local features = require "bertlua.squad.features"
local settings = require "bertlua.jobs.common.settings"

return settings.finetuning({
    { "Job", {
        { name = "mode", type = "choice", passing = "what is done after training",
            choices = { "train", "eval", "prediction", "train_eval" },
            help = "what to do; the same as do_train, do_predict + do_eval, do_predict, or all three" },
        { name = "do_train", type = "boolean", passing = "what is done", default = false,
            help = "fine-tune on train_file" },
        { name = "do_predict", type = "boolean", passing = "what is done after training", default = false,
            help = "answer the questions of predict_file" },
        { name = "do_eval", type = "boolean", passing = "what is done after training", default = false,
            help = "exact match and F1 of the answers" },
        { name = "train_file", type = "path", passing = "its bytes are compared",
            help = "SQuAD JSON to train on; unset: data/squad/v1.1/train-v1.1.json or its v2.0 counterpart. A missing "
                .. "file with a published name is downloaded and verified" },
        { name = "predict_file", type = "path", passing = "answered anew in each run",
            help = "SQuAD JSON to answer; unset: data/squad/v1.1/dev-v1.1.json or its v2.0 counterpart, as above" },
        { name = "squad_url", type = "string", passing = "where files come from",
            help = "web folder that holds the published files; unset: the official one" },
        { name = "eval_script", type = "path", passing = "it checks what was answered",
            help = "evaluator to run as well, a program or a .py file for python3; its scores must match ours; unset: "
                .. "only the built-in one" },
        { name = "version_2_with_negative", type = "boolean", default = false,
            help = "SQuAD v2.0: questions may have no answer" },
        { name = "output_dir",
            help = "model and answers go to OUTPUT_DIR/BERT_MODEL/squad, checkpoints to its STEP folders" },
        { name = "seed", help = "of the head, shuffling and dropout" },
        { name = "benchmark",
            help = "measure training, or inference with mode prediction; writes no checkpoint and no answers" },
    } },
    { "Training", {
        { name = "epochs", help = "number of passes over the training features" },
    } },
    { "Features", features.settings },
    { "Features", {
        { name = "null_window_share", type = "number", min = 0, max = 1, default = 1,
            help = "share used of the training windows that lack their question's answer, chosen by seed; a long "
                .. "context has many such windows" },
        { name = "cache_dir", type = "path", passing = "where files go",
            help = "folder for converted features; unset: next to the data" },
    } },
    { "Answers", extraction.settings },
}, { learning_rate = 4.6e-5, warmup_proportion = 0.2, epochs = 2, last_step_of_checkpoint = "auto" })
