--- Train a part of the model: embeddings and the lower half of the encoder keep their pre-trained values.
--
--     bertlua examples/freeze.lua --train-file train.csv --dev-file dev.csv --bert-model custom \
--         --from-pretrained-params MODEL
--
-- Frozen parameters have no gradient and no optimizer state, and there is no backward pass below the lowest layer that
-- is trained: a step takes less time and less memory. Patterns match whole parts of the names in model.safetensors:
-- "encoder.layer.1" is not layer 10.

local recipe = require "bertlua.recipe"

recipe.run("classify", {
    output_dir = "results/freeze",
    max_seq_length = 128,
    learning_rate = 5e-5,
    optimizer = "AdamW",
    epochs = 3,
    freeze = { "embeddings", "encoder.layer.[0-5]." },
    last_step_of_checkpoint = "auto",
}, "Fine-tune the upper layers of BERT.")
