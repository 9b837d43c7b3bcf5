--- Pre-training, one phase after the other.
-- Phase 2 starts from the parameters that phase 1 ended with.
--
--     bertlua recipes/pretrain.lua --phase1-input-dir data/phase1 --phase2-input-dir data/phase2
--
-- Settings of one phase are prefixed with its name: --phase1-max-steps 100.
-- --phase1 or --phase2 alone runs only that phase. Run it again to resume.

local recipe = require "bertlua.recipe"

recipe.pretrain_phases({
    common = {
        output_dir = "results",
        bert_model = "bert-large-uncased",
        amp = true,
        scale_loss = 2 ^ 20,
        use_dynamic_loss_scaling = true,
        last_step_of_checkpoint = "auto",
    },
    phase1 = {
        input_dir = "data/phase1",
        max_seq_length = 128,
        max_predictions_per_seq = 20,
        batch_size = 256,
        gradient_merge_steps = 256,
        learning_rate = 6e-3,
        warmup_proportion = 0.2843,
        max_steps = 7038,
        num_steps_per_checkpoint = 200,
    },
    phase2 = {
        input_dir = "data/phase2",
        max_seq_length = 512,
        max_predictions_per_seq = 80,
        batch_size = 32,
        gradient_merge_steps = 1024,
        learning_rate = 4e-3,
        warmup_proportion = 0.128,
        max_steps = 1563,
        num_steps_per_checkpoint = 200,
    },
}, "Pre-train BERT, phase 1 and then phase 2.")
