--- Fine-tune BERT to tag words, such as entities.
-- Trains, evaluates, predicts.
--
--     bertlua recipes/finetune_tokens.lua --train-file train.conll --dev-file dev.conll --test-file test.conll \
--         --bert-model custom --from-pretrained-params MODEL --output-dir results
--
-- Data are CoNLL columns (a word and its tag a line, a blank line between sentences), or JSON lines with "words" and
-- "tags". Without --train-file the model in OUTPUT_DIR is used. Run it again to resume.

local recipe = require "bertlua.recipe"

recipe.run("tokens", {
    output_dir = "results",
    optimizer = "AdamW",
    train_batch_size = 32,
    predict_batch_size = 32,
    learning_rate = 5e-5,
    warmup_proportion = 0.1,
    epochs = 3,
    last_step_of_checkpoint = "auto",
}, "Fine-tune BERT to tag words, evaluate it, predict.")
