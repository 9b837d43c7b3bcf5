--- A model of another size: a published configuration, and what is different.
--
--     bertlua examples/another_size.lua --input-dir data/phase1 --max-steps 1000
--
-- The fields are those of Hugging Face's config.json. `base` is a model of bert_configs/, a config.json, or a folder
-- that holds one; its vocabulary is used too. Without `base` the fields change what bert_model or config_file name.

local recipe = require "bertlua.recipe"

recipe.pretrain({
    phase1 = true,
    output_dir = "results/another_size",
    model = {
        base = "bert-base-uncased",
        hidden_size = 256,
        num_hidden_layers = 4,
        num_attention_heads = 4,
        intermediate_size = 1024,
    },
    max_seq_length = 128,
    max_predictions_per_seq = 20,
    learning_rate = 1e-3,
    schedule = "cosine",
    last_step_of_checkpoint = "auto",
}, "Pre-train a small BERT whose size stands in the recipe.")
