--- Contrastive learning of sentence vectors (SimCSE, arXiv 2104.08821): two passes of a sequence, with another dropout
-- each, must find one another among all sequences of the micro-step.
--
--     bertlua examples/contrastive.lua --input-dir data/phase1 --max-steps 1000 --bert-model bert-base-uncased \
--         --from-pretrained-params results/bert-base-uncased/phase1

local F = require "bertlua.autograd.functional"
local recipe = require "bertlua.recipe"
local tensor = require "bertlua.tensor"

local TEMPERATURE, rows = 0.05, {}

--- One vector of length 1 per sequence, f32 [B,H].
local function embed(tape, model, batch)
    local hidden = model.bert:forward(tape, batch)
    local x = F.cast(tape, model.bert.pooler:forward(tape, hidden, batch.cls_index), "f32")
    return F.div(tape, x, F.sqrt(tape, F.sum(tape, F.mul(tape, x, x), 2, true)))
end

local function loss(tape, model, batch)
    local first, second = embed(tape, model, batch), embed(tape, model, batch)
    local cosines = F.matmul(tape, first, second, false, true)
    -- The right answer of row i is column i; made once for each number of sequences.
    local count = batch.batch_size
    if not rows[count] then
        rows[count] = {}
        for i = 1, count do rows[count][i] = i - 1 end
        rows[count] = tensor.from(rows[count], "i32")
    end
    local contrast = F.cross_entropy(tape, F.div(tape, cosines, TEMPERATURE), rows[count])
    return { loss = contrast, cosine = F.mean(tape, F.sum(tape, F.mul(tape, first, second), 2)) }
end

recipe.pretrain({
    phase1 = true, output_dir = "results/contrastive",
    max_seq_length = 128, max_predictions_per_seq = 20,
    loss = loss, optimizer = "AdamW", learning_rate = 3e-5,
    last_step_of_checkpoint = "auto",
}, "Train sentence vectors on pairs of passes.")
