--- The settings of fine-tuning on the tagging of words.

local settings = require "bertlua.jobs.common.settings"
local texts = require "bertlua.jobs.common.texts"

return settings.finetuning({
    { "Data", texts.settings("tagged words", "CoNLL columns, or JSON lines (.json, .jsonl)") },
    { "Data", {
        { name = "text_column", type = "string",
            help = "words: a field of JSON lines, or the number of a column; unset: words, or the first column" },
        { name = "label_column", type = "string",
            help = "their tags: a field of JSON lines, or the number of a column; unset: tags, or the last column" },
        { name = "max_seq_length", type = "integer", min = 8, max = 4096, default = 128,
            help = "maximum tokens per sequence; a longer sentence becomes several windows" },
        { name = "doc_stride", type = "integer", min = 1, default = 64,
            help = "tokens from the start of a window to that of the next" },
    } },
    { "Job", {
        { name = "output_dir",
            help = "the model goes to OUTPUT_DIR/model, figures and predictions to eval.json and predictions.jsonl, "
                .. "checkpoints to OUTPUT_DIR/checkpoints" },
    } },
}, settings.usual())
