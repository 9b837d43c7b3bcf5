--- Split texts into WordPiece tokens.
-- JSON lines {"text": ...} on standard input to {"tokens": [...], "ids": [...]}.
--
--     echo '{"text": "Hello, World!"}' | bertlua recipes/tokenize.lua \
--         --vocab-file bert-base-uncased-vocab.txt --do-lower-case true

local recipe = require "bertlua.recipe"

recipe.main("corpus.tokenize", {
    do_lower_case = true,
}, "Split texts into WordPiece tokens, one JSON line in, one out.")
