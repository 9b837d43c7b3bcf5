--- BERT-large as published for 8 A100 80 GB in mixed precision: 65536 sequences an update
-- in phase 1, 32768 in phase 2.
--
-- One process in place of 8 keeps the global batch: world_size below makes it
-- accumulate 8 times as many micro-steps, and the run says so.
-- Settings of one phase carry its name: --phase1-max-steps 100. --phase1 or
-- --phase2 alone runs only that phase.

local recipe = require "bertlua.recipe"

recipe.pretrain_phases({
    common = {
        output_dir = "results",
        bert_model = "bert-large-uncased",
        world_size = 8,
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
        gradient_merge_steps = 32,
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
        gradient_merge_steps = 128,
        learning_rate = 4e-3,
        warmup_proportion = 0.128,
        max_steps = 1563,
        num_steps_per_checkpoint = 200,
    },
}, "Pre-train BERT-large with the settings published for 8 A100 80 GB, mixed precision.")
