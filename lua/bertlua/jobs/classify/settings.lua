--- The settings of fine-tuning on classification.

local settings = require "bertlua.jobs.common.settings"
local texts = require "bertlua.jobs.common.texts"

local files = texts.settings "labeled texts"

return settings.finetuning({
    { "Data", {
        files[1],
        { name = "data", type = "lua", accepts = { ["function"] = true },
            help = "called with run; returns an iterator of { text = ..., pair = ..., label = ... } to train on, in "
                .. "place of train_file" },
        files[2], files[3], files[4], files[5],
        { name = "header", type = "boolean",
            help = "whether .csv and .tsv files have a line of column names; unset: they have none if all columns are "
                .. "given by number" },
        { name = "bad_rows", type = "choice", choices = { "error", "skip" }, default = "error",
            help = "on a row of another length, without a label, or with a label that should be a number: stop and "
                .. "report it, or leave such rows out, and those without a text" },
        { name = "text_column", type = "string", default = "text",
            help = "column of the text: its name, or its number from 1" },
        { name = "pair_column", type = "string",
            help = "column of a second text, for pairs; unset: single texts" },
        { name = "label_column", type = "string", default = "label", help = "column of the label" },
        { name = "label_separator", type = "string",
            help = "what stands between several labels of a text, as in `news;sport`; JSON lines may have lists "
                .. "instead; unset: a label is taken as it is" },
        { name = "problem_type", type = "choice", choices = { "auto", "single_label_classification",
            "multi_label_classification", "regression" }, default = "auto",
            help = "what the model gives: one label a text, any number of labels, or a number; auto: that of a trained "
                .. "model, or several labels if there are lists or label_separator, a number if all labels are numbers "
                .. "and one has a fraction, else one label" },
        { name = "class_weights", type = "string", accepts = { table = true },
            help = "how much a text of each label counts in the loss: balanced (number of texts / (number of labels * "
                .. "texts of the label)), or label=weight,label=weight; in a recipe also { label = weight, ... }; "
                .. "unset: all alike" },
        { name = "max_seq_length", type = "integer", min = 8, max = 4096, default = 128,
            help = "maximum tokens per sequence; in a longer one, the end of its longer text is cut off" },
    } },
    { "Job", {
        { name = "output_dir",
            help = "the model goes to OUTPUT_DIR/model, figures and predictions to eval.json and predictions.jsonl, "
                .. "checkpoints to OUTPUT_DIR/checkpoints" },
    } },
}, settings.usual())
