--- Pre-training, phase 1: sequences of 128 tokens.
-- 9/10 of all updates.
--
--     bertlua recipes/pretrain_phase1.lua --input-dir data/phase1 --vocab-file vocab.txt
--
-- These are the published settings of BERT-large with LAMB and a global batch of
-- 65536 sequences. For a first try on a laptop, edit or override: bert_model (or
-- config_file), batch_size, gradient_merge_steps and max_steps; with a smaller
-- global batch, a smaller learning_rate. Run it again to resume.

local recipe = require "bertlua.recipe"

recipe.pretrain({
    phase1 = true,
    input_dir = "data/phase1",
    output_dir = "results",
    bert_model = "bert-large-uncased",

    max_seq_length = 128,
    max_predictions_per_seq = 20,
    batch_size = 256,            -- sequences per micro-step; what fits in memory
    gradient_merge_steps = 256,  -- micro-steps per update
    learning_rate = 6e-3,        -- peak
    warmup_proportion = 0.2843,
    max_steps = 7038,

    amp = true,                  -- fp32 weights; bf16 activations, unless they are slower
    scale_loss = 2 ^ 20,
    use_dynamic_loss_scaling = true,

    num_steps_per_checkpoint = 200,
    last_step_of_checkpoint = "auto",
}, "Pre-train BERT, phase 1: short sequences.")
