--- Text to HDF5 shards for pre-training.
--
--     bertlua recipes/create_pretraining_data.lua --input-dir text --output-dir data/phase1 \
--         --vocab-file bert-base-uncased-vocab.txt --num-workers 8
--
-- The text has one sentence per line and a blank line between documents; with
-- --text-form prose any .txt files will do. Other encodings, compressed files,
-- JSON lines and WikiExtractor's output are read too (docs/texts.md). For phase 2
-- make a second set with --max-seq-length 512 --max-predictions-per-seq 80.

local recipe = require "bertlua.recipe"

recipe.main("corpus.create_pretraining_data", {
    max_seq_length = 128,
    max_predictions_per_seq = 20,
    masked_lm_prob = 0.15,
    short_seq_prob = 0.1,
    dupe_factor = 10,
    do_lower_case = true,
    random_seed = 12345,
}, "Turn text into masked samples for pre-training.")
