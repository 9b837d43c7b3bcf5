--- The settings of fine-tuning on sentence embeddings.

local sentence_transformers = require "bertlua.weights.sentence_transformers"
local settings = require "bertlua.jobs.common.settings"
local texts = require "bertlua.jobs.common.texts"

return settings.finetuning({
    { "Data", texts.settings "pairs of texts" },
    { "Data", {
        { name = "header", type = "boolean",
            help = "whether .csv and .tsv files have a line of column names; unset: they have none if all columns are "
                .. "given by number" },
        { name = "bad_rows", type = "choice", choices = { "error", "skip" }, default = "error",
            help = "on a row of another length, with an empty text or a score that is no number: stop and report it, "
                .. "or leave such rows out" },
        { name = "text_column", type = "string", default = "text",
            help = "column of the text: its name, or its number from 1" },
        { name = "pair_column", type = "string", default = "pair",
            help = "column of the text that belongs to it, or that it is compared with" },
        { name = "negative_column", type = "string",
            help = "column of a text that is near but does not belong to it; several: NAME,NAME; unset: none" },
        { name = "label_column", type = "string",
            help = "column of how alike the pair is, a number; unset: pairs belong together" },
        { name = "max_score", type = "number", above = 0,
            help = "what scores are divided by, for the loss cosine; unset: their largest absolute value, if it is "
                .. "above 1" },
        { name = "max_seq_length", type = "integer", min = 8, max = 4096,
            help = "maximum tokens per text; the end of a longer one is cut off; unset: as the model's folder says, "
                .. "else 128" },
    } },
    { "Training", {
        { name = "pooling", type = "choice", choices = sentence_transformers.POOLINGS,
            help = "a text's vector: the mean over its tokens, or its first one; unset: as the model's folder says, "
                .. "else mean" },
        { name = "normalize", type = "boolean",
            help = "vectors have length 1; unset: as the model's folder says, else false" },
        { name = "objective", type = "choice", choices = { "multiple_negatives", "cosine", "cosent" },
            help = "loss: multiple_negatives: a text's pair among all pairs and negatives of its micro-batch; cosine: "
                .. "squared error of cosines; cosent: their order; unset: cosine for scored pairs, else "
                .. "multiple_negatives" },
        { name = "similarity_scale", type = "number", above = 0, default = 20,
            help = "what cosines are multiplied by in the losses multiple_negatives and cosent" },
        { name = "train_batch_size", help = "pairs, with their negatives, per micro-step, per device" },
    } },
    { "Job", {
        { name = "output_dir",
            help = "the model goes to OUTPUT_DIR/model, figures and predictions to eval.json and predictions.jsonl, "
                .. "checkpoints to OUTPUT_DIR/checkpoints" },
    } },
}, settings.usual { learning_rate = 2e-5, epochs = 1 })
