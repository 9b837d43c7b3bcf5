--- BERT-large as published for 1 A100 80 GB in TF32: 65536 sequences an update
-- in phase 1, 32768 in phase 2.
--
-- One device accumulates 8 times as many micro-steps as each of the 8 of the
-- published run, so that the global batch is the same.
-- Settings of one phase carry its name: --phase1-max-steps 100. --phase1 or
-- --phase2 alone runs only that phase.

local recipe = require "bertlua.recipe"

recipe.pretrain_phases({
    common = {
        output_dir = "results",
        bert_model = "bert-large-uncased",
        world_size = 1,
        amp = false, -- TF32 is how an A100 multiplies fp32 matrices; the CPU multiplies them in fp32
        last_step_of_checkpoint = "auto",
    },
    phase1 = {
        input_dir = "data/phase1",
        max_seq_length = 128,
        max_predictions_per_seq = 20,
        batch_size = 128,
        gradient_merge_steps = 512,
        learning_rate = 6e-3,
        warmup_proportion = 0.2843,
        max_steps = 7038,
        num_steps_per_checkpoint = 200,
    },
    phase2 = {
        input_dir = "data/phase2",
        max_seq_length = 512,
        max_predictions_per_seq = 80,
        batch_size = 16,
        gradient_merge_steps = 2048,
        learning_rate = 4e-3,
        warmup_proportion = 0.128,
        max_steps = 1563,
        num_steps_per_checkpoint = 200,
    },
}, "Pre-train BERT-large with the settings published for 1 A100 80 GB, TF32.")
