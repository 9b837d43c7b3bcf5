--- A loss of your own: next sentences count half as much as masked words, and the log shows what the function returns.
--
--     bertlua examples/own_loss.lua --input-dir data/phase1 --bert-model bert-base-uncased --max-steps 1000
--
-- On a GPU the function runs when a step is recorded; replays repeat its ops, not its Lua.

local F = require "bertlua.autograd.functional"
local recipe = require "bertlua.recipe"

local function loss(tape, model, batch)
    local scores = model:logits(tape, batch)
    local words = F.cross_entropy(tape, scores.mlm, batch.masked_labels)
    local sentences = F.cross_entropy(tape, scores.nsp, batch.nsp_labels)
    return { loss = words + sentences / 2, mlm_loss = words, nsp_loss = sentences }
end

recipe.pretrain({
    phase1 = true,
    output_dir = "results/own_loss",
    max_seq_length = 128,
    max_predictions_per_seq = 20,
    learning_rate = 1e-3,
    loss = loss,
    last_step_of_checkpoint = "auto",
}, "Pre-train with a loss that a function computes.")
