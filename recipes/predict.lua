--- Predict with any model.
-- Labels or numbers of texts, tags of words, embeddings, answers, masked words.
--
--     bertlua recipes/predict.lua --checkpoint results --input texts.txt --output predictions.jsonl
--     echo "what a film" | bertlua recipes/predict.lua --checkpoint results
--
-- The model is the OUTPUT_DIR of a run, a checkpoint, or a folder that transformers wrote. The input is text lines,
-- .csv, .tsv, JSON lines or CoNLL columns; the output a JSON line for each row.

local recipe = require "bertlua.recipe"

recipe.main("predict.predict", {}, "Predict with any model.")
