--- Measure a pre-training checkpoint on shards.
-- Masked-word and next-sentence accuracy, compared with chance.
--
--     bertlua recipes/evaluate_pretraining.lua --checkpoint results/bert-large-uncased/phase1 \
--         --input-dir data/phase1 --split test

local recipe = require "bertlua.recipe"

recipe.evaluate({}, "Measure a pre-training checkpoint on shards.")
