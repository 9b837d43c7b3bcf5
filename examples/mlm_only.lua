--- Masked words alone, as RoBERTa is trained: no next-sentence head, and new masks each time a sample is read.
--
--     bertlua examples/mlm_only.lua --input-dir data/phase1 --bert-model bert-base-uncased --max-steps 1000
--
-- The checkpoints open in transformers as BertForMaskedLM.

local recipe = require "bertlua.recipe"

recipe.pretrain({
    phase1 = true,
    output_dir = "results/mlm_only",
    max_seq_length = 128,
    max_predictions_per_seq = 20,
    objectives = { "mlm" },
    dynamic_masking = true,
    learning_rate = 1e-3,
    last_step_of_checkpoint = "auto",
}, "Pre-train on masked words alone.")
