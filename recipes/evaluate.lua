--- Measure predictions, or a model, against gold.
-- The figures of training, confusions, the worst rows.
--
--     bertlua recipes/evaluate.lua --predictions results/predictions.jsonl --gold test.csv
--     bertlua recipes/evaluate.lua --checkpoint results --gold test.csv --output eval.json
--
-- Answers to questions are measured by evaluate_squad.lua, masked words by evaluate_pretraining.lua.

local recipe = require "bertlua.recipe"

recipe.main("evaluate.evaluate", {}, "Measure predictions or a model against gold.")
