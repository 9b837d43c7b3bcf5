--- BERT-large as published for 8 A100 80 GB in TF32: 65536 sequences per update
-- in phase 1, 32768 in phase 2.
--
-- A single process keeps the global batch: world_size makes it accumulate 8
-- times as many micro-steps, and the run says so.
-- The other settings are those of lua/bertlua/bert_large.lua; --help
-- shows them all. Settings of one phase carry its name: --phase1-max-steps 100.
-- --phase1 or --phase2 alone runs only that phase.

local bert_large = require "bertlua.bert_large"
local recipe = require "bertlua.recipe"

recipe.pretrain_phases(bert_large.pretraining {
    common = {
        world_size = 8,
        amp = false, -- TF32 is how an A100 multiplies fp32 matrices; the CPU multiplies them in fp32
    },
    phase1 = { batch_size = 128, gradient_merge_steps = 64 },
    phase2 = { batch_size = 16, gradient_merge_steps = 256 },
}, "Pre-train BERT-large with the settings published for 8 A100 80 GB, TF32.")
