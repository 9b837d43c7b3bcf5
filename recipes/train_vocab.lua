--- Learn a WordPiece vocabulary from your own text.
--
--     bertlua recipes/train_vocab.lua --input-dir text --output-file vocab.txt --vocab-size 8000
--
-- This is how the demo, and any other language, work without a published vocabulary.

local recipe = require "bertlua.recipe"

recipe.main("corpus.train_vocab", {
    vocab_size = 30522,
    do_lower_case = true,
    min_frequency = 2,
    alphabet_limit = 1000,
}, "Learn a WordPiece vocabulary from text files.")
