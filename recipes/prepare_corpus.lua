--- A Wikipedia dump, or any folder of text, to shards.
--
--     bertlua recipes/prepare_corpus.lua --output-dir data --vocab-file bert-base-uncased-vocab.txt
--
-- fetches the English Wikipedia and makes data/hdf5/seq128_pred20 (phase 1) and
-- data/hdf5/seq512_pred80 (phase 2). --wikipedia FILE uses a dump you already
-- have; --variant corpus --corpus-dir FOLDER uses your own text. If it is stopped
-- at any point, the same command resumes there.

local recipe = require "bertlua.recipe"

recipe.main("corpus.prepare", {
    variant = "wiki_only",
    language = "en",
    sets = "128:20,512:80",
    dupe_factor = 10,
    do_lower_case = true,
    seed = 12345,
}, "Turn a Wikipedia dump or a folder of text into shards of masked samples.")
