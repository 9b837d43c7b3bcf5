--- A task of your own, in one file: learn the number that belongs to each text, measure the error, predict.
--
--     bertlua examples/own_task.lua --train-file train.csv --dev-file dev.csv
--
-- The files have the columns text and score. The model is small and starts from nothing; without the line `model` it
-- is a whole BERT, which --from-pretrained-params fills. lua/bertlua/jobs/common/task.lua lists what a task may
-- declare. Logs, checkpoints, resuming, processes and devices are the engine's. docs/tutorial.md walks through it.

local BertModel = require("bertlua.models.bert").BertModel
local F = require "bertlua.autograd.functional"
local array = require "bertlua.array"
local model_files = require "bertlua.jobs.common.model_files"
local nn = require "bertlua.nn"
local recipe = require "bertlua.recipe"
local records = require "bertlua.data.records"
local sequences = require "bertlua.data.sequences"
local settings = require "bertlua.jobs.common.settings"
local task = require "bertlua.jobs.common.task"
local texts = require "bertlua.jobs.common.texts"

-- Batches hold integers: scores travel in thousandths.
local UNIT = 1000

local Scorer = nn.Module.class("BertForScores")

function Scorer.new(config)
    local self = nn.Module.root(Scorer)
    self.config = config
    self.bert = self:add("bert", BertModel.new(config, self.store, "bert"))
    self.head = self:add("head", nn.Linear.new(self.store, "head", config.hidden_size, 1))
    return self
end

--- @return variable [B,1]: the score of each text
function Scorer:logits(tape, batch)
    local hidden = self.bert:forward(tape, batch)
    return self.head:forward(tape, self.bert.pooler:forward(tape, hidden, batch.cls_index))
end

--- Mean squared error.
function Scorer:forward(tape, batch)
    local scores = F.reshape(tape, F.cast(tape, self:logits(tape, batch), "f32"), batch.batch_size)
    local loss = ((scores - F.cast(tape, batch.scores, "f32") / UNIT) ^ 2):mean()
    return { loss = loss }
end

--- A file's texts as sequences, with their scores.
local function load(job, path)
    local list = records.read(path, { "text", "score" })
    local builder, scores = sequences.builder(job.data.words, job.values.max_seq_length), array.int32(#list)
    for i, record in ipairs(list) do
        builder:add(record.text)
        scores[i - 1] = UNIT * assert(tonumber(record.score), "a score is no number")
    end
    texts.warn_of_cut(job, path, builder, #list)
    return builder:finish { scores = scores }
end

local function open(job)
    local config, words = model_files.load(job.run, job.values)
    job.data = { config = config, words = words, lines = {} }
    if job.run.work.train then job.data.train = texts.batches(job, load(job, job.values.train_file)) end
    if job.run.work.evaluate then job.data.held_out = load(job, job.values.dev_file) end
    return job.data
end

local function predict(job, outcome)
    local set, lines, squares = job.data.held_out, {}, 0
    outcome.prediction = texts.infer(job, set, function(batch, scores)
        for b, s in ipairs(batch.members) do
            local right = set.labels.scores[s] / UNIT
            lines[s + 1], squares = { score = scores[b - 1], expected = right }, squares + (scores[b - 1] - right) ^ 2
        end
    end)
    texts.write(job, "scores.jsonl", lines, { "score", "expected" })
    outcome.metrics = { rmse = math.sqrt(squares / set.count) }
end

local scoring = task.define {
    name = "scores",
    settings = settings.finetuning { { "Data", {
        { name = "train_file", type = "path", passing = "its bytes are compared",
            help = "texts to train on; unset: no training" },
        { name = "dev_file", type = "path", passing = "measured anew in each run",
            help = "texts to measure the error on; unset: no evaluation" },
        { name = "max_seq_length", type = "integer", min = 8, default = 128, help = "tokens per text" },
    } } },
    batch_setting = "train_batch_size",
    results = { { name = "loss", column = "mse", kept = true } },
    plan = texts.plan, open = open, model = function(data) return Scorer.new(data.config) end,
    predict = predict, inference = function(job) return job.data.held_out end,
    rows = function(outcome)
        return { outcome.metrics and { "result", ("error (RMSE) %.3f"):format(outcome.metrics.rmse) } }
    end,
}

recipe.run(scoring, {
    output_dir = "results/own_task",
    bert_model = "bert-base-uncased",
    model = { num_hidden_layers = 2, hidden_size = 64, num_attention_heads = 2, intermediate_size = 128 },
    optimizer = "AdamW", learning_rate = 1e-3, epochs = 10,
    last_step_of_checkpoint = "auto",
}, "Learn the score of a text.")
