--- BERT for sentence embeddings: one vector a text (arXiv 1908.10084), learned from pairs, triples or scored pairs.
--
-- A batch is that of bertlua.models.bert (ids, positions, types, segments,
-- cls_index, max_length) over groups of k texts (bertlua.data.sequences): B
-- texts, then their B pairs, then B negatives for each further one of a group;
-- groups = B. Scored pairs have scores f32 [B]. Parameters are bert.* with
-- Hugging Face's names: BertModel without its pooler.
--
-- With u_i the vector of text i and c_j that of candidate j, each of length 1:
--
--     multiple_negatives  mean over i of -log softmax_j(scale * u_i . c_j)[i] over all pairs and negatives of the batch
--                         (arXiv 1705.00652)
--     cosine              mean over i of (u_i . c_i - score_i)^2
--     cosent              log(1 + sum of exp(scale * (u_j . c_j - u_i . c_i)) over i, j with score_i > score_j)
--                         (CoSENT, https://kexue.fm/archives/8847)

local BertModel = require("bertlua.models.bert").BertModel
local F = require "bertlua.autograd.functional"
local Module = require "bertlua.nn.module"
local memory = require "bertlua.memory"

local SentenceEmbedding = Module.class("SentenceEmbedding")
SentenceEmbedding.architecture = "BertModel"

-- As torch.nn.functional.normalize: no vector is divided by less.
local EPSILON = 1e-12
-- What stands for -inf among the differences that CoSENT leaves out.
local LEFT_OUT = -1e12

--- Create a model. Call `model.store:allocate{...}` before use.
-- @param config BertConfig
-- @param options pooling: "mean" of a text's tokens (default) or "cls", its first one; normalize: vectors get length 1
--   (the losses compare cosines in any case); loss: "multiple_negatives" (default), "cosine" or "cosent"; scale (20);
--   group: texts of a group (2)
-- @param store ParameterStore (default: its own)
function SentenceEmbedding.new(config, options, store)
    options = options or {}
    local self = Module.root(SentenceEmbedding, store)
    self.config, self.pooling, self.normalize = config, options.pooling or "mean", options.normalize or false
    self.loss, self.scale, self.group = options.loss or "multiple_negatives", options.scale or 20, options.group or 2
    self.bert = self:add("bert", BertModel.new(config, self.store, "bert", { pooler = false }))
    return self
end

--- The vector of each text before it gets length 1, in f32.
local function pooled(self, tape, batch)
    local hidden = self.bert:forward(tape, batch)
    local rows
    if self.pooling == "cls" then
        rows = F.gather(tape, hidden, batch.cls_index)
    else
        rows = F.segment_mean(tape, hidden, batch.segments)
    end
    tape:free(hidden)
    local wide = F.cast(tape, rows, "f32")
    if wide ~= rows then tape:free(rows) end
    return wide
end

--- x / max(|x|, 1e-12) for each row.
local function unit(tape, x)
    local square = F.pow(tape, x, 2)
    local sum = F.sum(tape, square, 2, true)
    tape:free(square)
    -- Below the smallest norm the gradient is 0, not 0 / 0.
    local bounded = F.maximum(tape, sum, EPSILON ^ 2)
    tape:free(sum)
    local norm = F.sqrt(tape, bounded)
    tape:free(bounded)
    local y = F.div(tape, x, norm)
    tape:free(norm)
    tape:free(x)
    return y
end

--- The vectors of a batch's texts.
-- @param tape, batch as above; its texts need not be groups
-- @return variable f32 [N,H]
function SentenceEmbedding:logits(tape, batch)
    local vectors = pooled(self, tape, batch)
    return self.normalize and unit(tape, vectors) or vectors
end

--- 0, 1, ... count - 1 and one f32 0, which outlive the step.
local function constants(self, count)
    if self.constant_count ~= count then
        local list = {}
        for i = 1, count do list[i] = i - 1 end
        local bytes = math.ceil(4 * count / 64) * 64
        self.constant_buffer = memory.buffer(bytes + 64)
        self.places = self.constant_buffer:tensor(0, "i32", { count }):set(list)
        self.zero = self.constant_buffer:tensor(bytes, "f32", { 1, 1 }):set { { 0 } }
        self.constant_count = count
    end
    return self.places, self.zero
end

--- Cosines of texts and their pairs [B].
local function cosines(tape, vectors, count)
    local texts, pairs_of = F.slice(tape, vectors, 1, 1, count), F.slice(tape, vectors, 1, count + 1, 2 * count)
    return F.sum(tape, F.mul(tape, texts, pairs_of), 2)
end

local function multiple_negatives(self, tape, batch, vectors)
    local count, results = batch.groups, self:scalars("loss", "accuracy")
    local texts = F.slice(tape, vectors, 1, 1, count)
    local candidates = F.slice(tape, vectors, 1, count + 1, self.group * count)
    local scores = F.affine(tape, F.matmul(tape, texts, candidates, false, true), self.scale, 0)
    local loss = F.cross_entropy(tape, scores, (constants(self, count)), nil,
        { loss = results.loss, correct = results.accuracy })
    return { loss = loss, accuracy = results.accuracy }
end

local function cosine(_, tape, batch, vectors)
    return { loss = F.mse_loss(tape, cosines(tape, vectors, batch.groups), batch.scores) }
end

local function cosent(self, tape, batch, vectors)
    local count, results = batch.groups, self:scalars("loss", "accuracy")
    local places, zero = constants(self, count)
    local of_pairs = cosines(tape, vectors, count)
    local differences = F.affine(tape, F.sub(tape, F.reshape(tape, of_pairs, 1, count),
        F.reshape(tape, of_pairs, count, 1)), self.scale, 0)
    local above = F.gt(tape, batch.scores:view(count, 1), batch.scores:view(1, count))
    local kept = F.reshape(tape, F.where(tape, above, differences, LEFT_OUT), 1, count * count)
    -- -log softmax of a 0 beside them is log(1 + the sum of their exponentials).
    local loss = F.cross_entropy(tape, F.cat(tape, { zero, kept }, 2), places:slice(1, 1, 1), nil,
        { loss = results.loss })
    return { loss = loss }
end

local LOSSES = { multiple_negatives = multiple_negatives, cosine = cosine, cosent = cosent }

--- Forward pass with loss.
-- @return table of f32 [1] scalars: loss (a variable, for tape:backward); with multiple_negatives also accuracy, the
--   share of texts whose pair is the nearest candidate
function SentenceEmbedding:forward(tape, batch)
    local results = LOSSES[self.loss](self, tape, batch, unit(tape, pooled(self, tape, batch)))
    return results
end

--- Bytes of the step arena that a training step needs at its peak.
-- @param shape as in BertModel:activation_bytes; batch_size in texts
function SentenceEmbedding:activation_bytes(shape)
    local texts, hidden = shape.batch_size, self.config.hidden_size
    local count = texts / self.group
    local table_size = self.loss == "multiple_negatives" and count * (texts - count)
        or self.loss == "cosent" and count * count or count
    local bytes = self.bert:activation_bytes(shape, function(size)
        -- Vectors: pooled, in f32, squared, of length 1, as parts; what is compared, several times; 64-byte borders.
        return texts * hidden * (size + 4 * 4) + texts * 4 * 4 + 4 * 4 * table_size + 20 * 64,
            size * shape.rows * hidden
    end)
    return bytes
end

return SentenceEmbedding
