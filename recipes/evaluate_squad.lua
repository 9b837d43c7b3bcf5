--- Exact match and F1 of answers to SQuAD.
-- As the official evaluators compute and print them.
--
--     bertlua recipes/evaluate_squad.lua --predict-file dev-v1.1.json --predictions predictions.json
--     bertlua recipes/evaluate_squad.lua --predict-file dev-v2.0.json --predictions predictions.json \
--         --version-2-with-negative --na-prob-file null_odds.json

local recipe = require "bertlua.recipe"

recipe.main("squad.evaluate", {
    version_2_with_negative = false,
}, "Evaluate SQuAD predictions.")
