--- BERT-large as published for 8 A100 80 GB in mixed precision: 65536 sequences per update
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
        amp = true,
        scale_loss = 2 ^ 20,
        use_dynamic_loss_scaling = true,
    },
    phase1 = { batch_size = 256, gradient_merge_steps = 32 },
    phase2 = { batch_size = 32, gradient_merge_steps = 128 },
}, "Pre-train BERT-large with the settings published for 8 A100 80 GB, mixed precision.")
