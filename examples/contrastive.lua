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
    local x = model.bert.pooler:forward(tape, hidden, batch.cls_index):float()
    return x / (x * x):sum(2, true):sqrt()
end

local function loss(tape, model, batch)
    local first, second = embed(tape, model, batch), embed(tape, model, batch)
    local scores = first:matmul(second:t()) / TEMPERATURE
    -- The right answer of row i is column i; made once for each number of sequences.
    local count = batch.batch_size
    if not rows[count] then
        rows[count] = {}
        for i = 1, count do rows[count][i] = i - 1 end
        rows[count] = tensor.from(rows[count], "i32")
    end
    return { loss = F.cross_entropy(tape, scores, rows[count]), cosine = (first * second):sum(2):mean() }
end

recipe.pretrain({
    phase1 = true, output_dir = "results/contrastive",
    max_seq_length = 128, max_predictions_per_seq = 20,
    loss = loss, optimizer = "AdamW", learning_rate = 3e-5,
    last_step_of_checkpoint = "auto",
}, "Train sentence vectors on pairs of passes.")
