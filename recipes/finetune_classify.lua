--- Fine-tune BERT to classify texts or pairs of texts.
-- Trains, evaluates, predicts.
--
--     bertlua recipes/finetune_classify.lua --train-file train.csv --dev-file dev.csv --text-column text \
--         --label-column label --bert-model custom --from-pretrained-params MODEL --output-dir results
--
-- Data are .csv or .tsv files with a header line, or JSON lines. Without
-- --train-file the model in OUTPUT_DIR is used. Run it again to resume.

local recipe = require "bertlua.recipe"

recipe.run("classify", {
    output_dir = "results",
    optimizer = "AdamW",
    train_batch_size = 32,
    predict_batch_size = 32,
    learning_rate = 5e-5,
    warmup_proportion = 0.1,
    epochs = 3,
    last_step_of_checkpoint = "auto",
}, "Fine-tune BERT to classify texts, evaluate it, predict.")
