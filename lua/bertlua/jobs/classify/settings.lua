--- The settings of fine-tuning on classification.

local settings = require "bertlua.jobs.common.settings"
local texts = require "bertlua.jobs.common.texts"

local files = texts.settings "labeled texts"

return settings.finetuning {
    { "Data", {
        files[1],
        { name = "data", type = "lua", accepts = { ["function"] = true },
            help = "called with run; returns an iterator of { text = ..., pair = ..., label = ... } to train on, in "
                .. "place of train_file" },
        files[2], files[3], files[4], files[5],
        { name = "text_column", type = "string", default = "text", help = "column of the text" },
        { name = "pair_column", type = "string",
            help = "column of a second text, for pairs; unset: single texts" },
        { name = "label_column", type = "string", default = "label", help = "column of the label" },
        { name = "max_seq_length", type = "integer", min = 8, max = 4096, default = 128,
            help = "maximum tokens per sequence; in a longer one, the end of its longer text is cut off" },
    } },
    { "Job", {
        { name = "output_dir",
            help = "the model goes to OUTPUT_DIR/model, figures and predictions to eval.json and predictions.jsonl, "
                .. "checkpoints to OUTPUT_DIR/checkpoints" },
    } },
}
