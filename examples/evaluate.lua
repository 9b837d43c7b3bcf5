--- Evaluate while training: keep the best checkpoint, and stop when there is nothing more to gain.
--
--     bertlua examples/evaluate.lua --input-dir data/phase1 --max-steps 1000 --bert-model bert-base-uncased
--
-- The held-out shards are read from data/held_out; recipes/create_pretraining_data.lua makes them like any others. In
-- fine-tuning, predict_file (SQuAD) or dev_file (classification) takes the place of input_dir.

local recipe = require "bertlua.recipe"

recipe.pretrain({
    phase1 = true,
    output_dir = "results/evaluate",
    max_seq_length = 128,
    max_predictions_per_seq = 20,
    learning_rate = 1e-3,
    evaluate = {
        every = 2,                      -- steps; the last step is evaluated in any case
        input_dir = "data/held_out",
        metric = "mlm_loss",            -- also loss, nsp_loss, mlm_accuracy, nsp_accuracy
        keep = "best",                  -- its checkpoint stays, besides the newest three
        patience = 5,                   -- evaluations in a row without a better one, then the run ends
    },
    on_evaluate = function(event)
        event.note(("perplexity of masked words: %.1f"):format(math.exp(event.metrics.mlm_loss)))
    end,
    last_step_of_checkpoint = "auto",
}, "Pre-train, and evaluate on held-out shards meanwhile.")
