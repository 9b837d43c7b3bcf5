--- The settings of fine-tuning on classification.

local settings = require "bertlua.jobs.common.settings"

return settings.finetuning {
    { "Data", {
        { name = "train_file", type = "path", passing = "its bytes are compared",
            help = "labeled texts to train on: .csv or .tsv with a header line, or JSON lines; unset: no training" },
        { name = "data", type = "lua", accepts = { ["function"] = true },
            help = "called with run; returns an iterator of { text = ..., pair = ..., label = ... } to train on, in "
                .. "place of train_file" },
        { name = "dev_file", type = "path", passing = "measured anew in each run",
            help = "labeled texts to evaluate on; unset: no evaluation" },
        { name = "predict_file", type = "path", passing = "answered anew in each run",
            help = "texts to predict the labels of; unset: those of dev_file. Predictions go to predictions.jsonl" },
        { name = "text_column", type = "string", default = "text", help = "column of the text" },
        { name = "text_pair_column", type = "string",
            help = "column of a second text, for pairs; unset: single texts" },
        { name = "label_column", type = "string", default = "label", help = "column of the label" },
        { name = "max_seq_length", type = "integer", min = 8, max = 4096, default = 128,
            help = "maximum tokens per sequence; in a longer one, the end of its longer text is cut off" },
    } },
    { "Job", {
        { name = "output_dir",
            help = "model and results go to OUTPUT_DIR/BERT_MODEL/classify, checkpoints to its STEP folders" },
    } },
}
