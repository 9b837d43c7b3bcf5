--- Look into a run while it trains: log the size of the word embeddings, announce checkpoints.
--
--     bertlua examples/callbacks.lua --input-dir data/phase1 --max-steps 1000 --bert-model bert-base-uncased
--
-- The values appear in report.json and in TensorBoard, the notes among the log lines.

local recipe = require "bertlua.recipe"

recipe.pretrain({
    phase1 = true,
    output_dir = "results/callbacks",
    max_seq_length = 128,
    max_predictions_per_seq = 20,
    learning_rate = 1e-3,
    on_step = { every = 2, function(event)
        local words = event.model.store:get("bert.embeddings.word_embeddings.weight").value
        local sum, count = 0, 0
        for _, row in ipairs(words:slice(1, 1, 100):tolist()) do
            for _, x in ipairs(row) do sum, count = sum + x * x, count + 1 end
        end
        event.log("words/root_mean_square", math.sqrt(sum / count))
        if event.metrics.mlm_accuracy > 0.5 then event.note "more than half of the masked words are right" end
    end },
    on_checkpoint = function(event)
        event.note(("step %d is safe in %s"):format(event.step, event.path))
    end,
    last_step_of_checkpoint = "auto",
}, "Pre-train, and look into the run.")
