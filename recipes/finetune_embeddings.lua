--- Fine-tune BERT on sentence embeddings.
-- Trains, evaluates, predicts.
--
--     bertlua recipes/finetune_embeddings.lua --train-file train.tsv --dev-file dev.tsv \
--         --text-column question --pair-column answer \
--         --bert-model custom --from-pretrained-params MODEL --output-dir results
--
-- Data are tables (.csv, .tsv, JSON lines) of pairs that belong together; with --negative-column also of texts that do
-- not; with --label-column of pairs and how alike they are. Without --train-file MODEL, or the model in OUTPUT_DIR, is
-- evaluated. Run it again to resume.

local recipe = require "bertlua.recipe"

recipe.run("embeddings", {
    output_dir = "results",
    optimizer = "AdamW",
    train_batch_size = 32,
    predict_batch_size = 32,
    learning_rate = 2e-5,
    warmup_proportion = 0.1,
    epochs = 1,
    last_step_of_checkpoint = "auto",
}, "Fine-tune BERT on sentence embeddings, evaluate them, predict.")
