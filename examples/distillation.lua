--- Distillation (arXiv 1503.02531): a small student learns the softened word scores of a teacher, and the words.
--
--     TEACHER=results/bert-base-uncased/phase1 bertlua examples/distillation.lua --input-dir data/phase1 \
--         --max-steps 1000
--
-- TEACHER is a checkpoint, or a folder of transformers, whose vocabulary is that of the shards.

local F = require "bertlua.autograd.functional"
local recipe = require "bertlua.recipe"

local TEMPERATURE, teacher = 2, nil

--- Scores [M,V] of a model's words, and the logarithms of their softened probabilities.
local function softened(tape, model, batch)
    local scores = model:logits(tape, batch).mlm:float()
    return { scores = scores, log = (scores / TEMPERATURE):log_softmax() }
end

local function loss(tape, model, batch)
    teacher = teacher or recipe.load(os.getenv "TEACHER", { precision = model.store.precision })
    -- What is untracked is not differentiated, and has no dropout.
    local p, q = tape:untracked(softened, tape, teacher, batch), softened(tape, model, batch)
    local divergence = (p.log:exp() * (p.log - q.log)):sum(2)
    -- Places without a label only fill the batch up.
    local there = F.ge(tape, batch.masked_labels, 0)
    local kl = F.where(tape, there, divergence, 0):sum() / there:sum()
    local words = F.cross_entropy(tape, q.scores, batch.masked_labels)
    return { loss = kl * TEMPERATURE ^ 2 + words, kl = kl, mlm_loss = words }
end

recipe.pretrain({
    phase1 = true, output_dir = "results/distillation",
    model = { base = "bert-base-uncased", num_hidden_layers = 4 },
    objectives = { "mlm" }, loss = loss, learning_rate = 1e-3,
    max_seq_length = 128, max_predictions_per_seq = 20,
    last_step_of_checkpoint = "auto",
}, "Pre-train a student of four layers with a teacher.")
