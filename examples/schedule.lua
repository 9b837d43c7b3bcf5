--- A learning rate of your own: pre-training with a triangle wave that fades out.
--
--     bertlua examples/schedule.lua --input-dir data/phase1 --max-steps 1000 --bert-model bert-base-uncased
--
-- Named schedules need no function: schedule = "cosine", "polynomial", "constant" or "warmup_stable_decay".

local recipe = require "bertlua.recipe"

recipe.pretrain({
    phase1 = true,
    output_dir = "results/schedule",
    max_seq_length = 128,
    max_predictions_per_seq = 20,
    learning_rate = 1e-3,
    -- step counts from 1; run has learning_rate, max_steps, warmup_steps and warmup_proportion.
    schedule = function(step, run)
        local waves = 4
        local place = (step / run.max_steps * waves) % 1
        local triangle = 1 - math.abs(2 * place - 1)
        return run.learning_rate * triangle * (1 - step / (run.max_steps + 1))
    end,
    last_step_of_checkpoint = "auto",
}, "Pre-train with a learning rate that a function gives.")
