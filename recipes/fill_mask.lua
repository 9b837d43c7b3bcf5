--- The most likely words in place of [MASK].
--
--     bertlua recipes/fill_mask.lua --checkpoint results/bert-large-uncased/phase2 "The [MASK] is mightier."

local recipe = require "bertlua.recipe"

recipe.fill_mask({}, "Guess the words in place of [MASK].")
