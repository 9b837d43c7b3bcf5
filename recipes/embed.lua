--- Vectors of texts, from a file or a pipe.
-- As .npy, safetensors or JSON lines.
--
--     bertlua recipes/embed.lua --checkpoint all-MiniLM-L6-v2 --input texts.txt --output vectors.npy
--     head texts.txt | bertlua recipes/embed.lua --checkpoint all-MiniLM-L6-v2
--
-- The input is text lines, .csv, .tsv or JSON lines, of any size. A run that was killed goes on with the same command.

local recipe = require "bertlua.recipe"

recipe.main("embed.embed", {}, "Turn texts into vectors.")
