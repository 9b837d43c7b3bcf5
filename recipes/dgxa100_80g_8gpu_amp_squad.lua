--- SQuAD v1.1 on BERT-large with the settings published for 8 A100 80 GB, mixed precision:
-- 2 epochs of 256 sequences per update.
--
-- A single process keeps the global batch: world_size makes it accumulate 8
-- micro-steps, and the run reports it.
-- The data is train-v1.1.json and dev-v1.1.json, the parameters those that
-- pre-training ended with; --from-pretrained-params names others. The other
-- settings are those of lua/bertlua/bert_large.lua; --help shows them all.

local bert_large = require "bertlua.bert_large"
local recipe = require "bertlua.recipe"

recipe.finetune_squad(bert_large.squad {
    world_size = 8,
    amp = true,
    scale_loss = 128,
    use_dynamic_loss_scaling = true,
}, "Fine-tune BERT-large on SQuAD v1.1 with the settings published for 8 A100 80 GB, mixed precision.")
