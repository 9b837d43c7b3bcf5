--- Pre-training, phase 2: sequences of 512 tokens.
-- Starts from the parameters of phase 1.
--
--     bertlua recipes/pretrain_phase2.lua --input-dir data/phase2 --vocab-file vocab.txt
--
-- The published settings of BERT-large, as in pretrain_phase1.lua; edit the same
-- ones. Without phase 1's checkpoints, set from_phase1_final_params to another
-- checkpoint folder, or to none to start from random weights.

local recipe = require "bertlua.recipe"

recipe.pretrain({
    phase2 = true,
    input_dir = "data/phase2",
    output_dir = "results",
    bert_model = "bert-large-uncased",
    from_phase1_final_params = "auto", -- the newest phase 1 checkpoint in output_dir

    max_seq_length = 512,
    max_predictions_per_seq = 80,
    batch_size = 32,
    gradient_merge_steps = 1024,
    learning_rate = 4e-3,
    warmup_proportion = 0.128,
    max_steps = 1563,

    amp = true,
    scale_loss = 2 ^ 20,
    use_dynamic_loss_scaling = true,

    num_steps_per_checkpoint = 200,
    last_step_of_checkpoint = "auto",
}, "Pre-train BERT, phase 2: long sequences, from the parameters of phase 1.")
