--- Go on with pre-training on texts of your own.
-- Domain adaptation of a model: masked words, without preparing anything.
--
--     bertlua recipes/pretrain_continue.lua --train-file texts --bert-model custom --from-pretrained-params MODEL \
--         --output-dir results
--
-- Texts are a file, a folder or a pattern: plain, JSON lines or WikiExtractor's output, compressed or not. A share of
-- them is held out and measured. Run it again to resume.

local recipe = require "bertlua.recipe"

recipe.run("mlm", {
    output_dir = "results",
    optimizer = "AdamW",
    train_batch_size = 32,
    predict_batch_size = 32,
    learning_rate = 5e-5,
    warmup_proportion = 0.1,
    epochs = 3,
    last_step_of_checkpoint = "auto",
}, "Go on with pre-training a model on texts of your own.")
