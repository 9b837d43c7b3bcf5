--- Answer one question from a text.
-- With a model fine-tuned on SQuAD.
--
--     bertlua recipes/answer.lua --checkpoint results/bert-large-uncased/squad \
--         --question "Who designed it?" --context "The engine was designed by Charles Babbage."
--
-- A text of any length may come from --context-file or standard input. In the
-- prompt: bl.models.answer("results/bert-large-uncased/squad", question, context).

local recipe = require "bertlua.recipe"

recipe.answer({}, "Answer one question from a text.")
