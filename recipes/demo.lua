--- From raw text to a BERT that guesses words.
-- In a few minutes on two cores.
--
--     bertlua recipes/demo.lua                     the text of Debian's jargon-text
--     bertlua recipes/demo.lua --corpus FOLDER     your own .txt files
--
-- Run it again to see the results again, or to resume after an interruption.
-- To experiment: a larger model or more steps; every change starts from scratch.

local recipe = require "bertlua.recipe"

recipe.demo({
    output_dir = "results/demo",
    vocab_size = 2000,
    hidden_size = 128,
    num_hidden_layers = 2,
    num_attention_heads = 4,
    initializer_range = 0.05, -- BERT's 0.02 is too small for a narrow model
    dropout = 0,              -- a few minutes are not enough to overfit
    batch_size = 32,
    learning_rate = 1.5e-3,
    phase1_steps = 5000,
    phase2_steps = 1200,
}, "Train a small BERT on a small text: vocabulary, samples, both phases, results.")
