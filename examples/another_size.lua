--- A model of another size: the configuration stands in the recipe.
--
--     bertlua examples/another_size.lua --input-dir data/phase1 --vocab-file vocab.txt --max-steps 1000
--
-- The keys are those of Hugging Face's config.json; vocab_size must be that of the vocabulary.

local recipe = require "bertlua.recipe"

recipe.pretrain({
    phase1 = true,
    output_dir = "results/another_size",
    bert_model = "custom",
    config_file = {
        vocab_size = 30522,
        hidden_size = 256,
        num_hidden_layers = 4,
        num_attention_heads = 4,
        intermediate_size = 1024,
        max_position_embeddings = 128,
    },
    max_seq_length = 128,
    max_predictions_per_seq = 20,
    learning_rate = 1e-3,
    schedule = "cosine",
    last_step_of_checkpoint = "auto",
}, "Pre-train a small BERT whose configuration stands in the recipe.")
