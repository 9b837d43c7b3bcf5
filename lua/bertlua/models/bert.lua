--- BERT: the encoder, and the model that is pre-trained on masked words and next sentences (arXiv 1810.04805), or on
-- masked words alone (arXiv 1907.11692, section 4.2).
--
-- A batch is a table of i32 tensors (see bertlua.data.loader): ids, positions,
-- types [T]; segments [B,2] (first row and length of each sequence); cls_index
-- [B]; masked_index and masked_labels [M] (-1 = filler); nsp_labels [B]; and the
-- numbers batch_size, max_length, rows. Padded and packed batches differ only
-- in these tensors.

local BertConfig = require "bertlua.models.bert_config"
local Embeddings = require "bertlua.nn.embeddings"
local Encoder = require "bertlua.nn.encoder"
local F = require "bertlua.autograd.functional"
local Module = require "bertlua.nn.module"
local Pooler = require "bertlua.nn.pooler"
local PretrainingHeads = require "bertlua.nn.pretraining_heads"
local ops = require "bertlua.ops"
local size_check = require "bertlua.models.size_check"

local BertModel = Module.class("BertModel")

--- Create the encoder with its embeddings and pooler.
-- @param config BertConfig
-- @param store ParameterStore
-- @param prefix "bert" if it is part of a larger model
-- @param options {pooler = true}: false leaves the pooler out
function BertModel.new(config, store, prefix, options)
    size_check.require(config)
    local self = Module.init(BertModel, store, prefix)
    self.config = config
    self.embeddings = self:add("embeddings", Embeddings.new(store, self:name("embeddings"), config))
    self.encoder = self:add("encoder", Encoder.new(store, self:name("encoder"), config))
    if not options or options.pooler ~= false then
        self.pooler = self:add("pooler", Pooler.new(store, self:name("pooler"),
            config.hidden_size, { std = config.initializer_range }))
    end
    return self
end

--- @return variable [T,H]: the last layer's output for every row
function BertModel:forward(tape, batch)
    return self.encoder:forward(tape, self.embeddings:forward(tape, batch), batch)
end

--- Bytes of the step arena that a training step of a model on top of this encoder needs at its peak: never less than
-- the truth, and little more.
--
-- At the end of the forward pass, each row holds in each layer 3H (q, k, v) +
-- 5H (context, two sums, two normalised) + 2I (before and after GELU), and the
-- heads are there too. The backward pass adds the gradients of one layer,
-- which do not fit the gaps that the heads leave.
-- @param shape {rows=, batch_size=, max_length=} as in the batches to come; precision: of a model that is not
--   allocated yet
-- @param head_bytes function(bytes of an activation) -> bytes that the heads hold, bytes that their gradients add
-- @return bytes
function BertModel:activation_bytes(shape, head_bytes)
    local config, rows = self.config, shape.rows
    local size = (shape.precision or self.store.precision or "fp32") == "fp32" and 4 or 2
    local hidden, inner = config.hidden_size, config.intermediate_size
    -- Of each query a float for the backward, and the bits of what dropout keeps.
    local words = config.attention_probs_dropout_prob > 0 and ops.attention_kept_words(shape.max_length) or 0
    local attention = 4 * shape.batch_size * config.num_attention_heads * (shape.max_length + words)
    local layer = rows * (size * (8 * hidden + 2 * inner) + 16) + attention
    local layers = self.encoder:held_bytes(layer, rows * size * hidden)
    local heads, gradients = head_bytes(size)
    return rows * (size * hidden + 8) + layers + heads + size * rows * (hidden + inner) + gradients
end

local BertForPretraining = Module.class("BertForPretraining")
BertForPretraining.architecture = "BertForPreTraining"

--- Create a model for pre-training. Call `model.store:allocate{...}` before use.
-- @param config BertConfig
-- @param store ParameterStore (default: its own)
-- @param options {next_sentence = true}: false leaves out the pooler and the head of NSP, as in transformers'
--   BertForMaskedLM
function BertForPretraining.new(config, store, options)
    local self = Module.root(BertForPretraining, store)
    self.config = config
    self.predicts_next = not options or options.next_sentence ~= false
    if not self.predicts_next then self.store.architecture = "BertForMaskedLM" end
    self.bert = self:add("bert", BertModel.new(config, self.store, "bert", { pooler = self.predicts_next }))
    self.heads = self:add("cls", PretrainingHeads.new(self.store, "cls", config, self.bert.embeddings.word,
        { next_sentence = self.predicts_next }))
    return self
end

local function heads(self, tape, batch)
    local hidden = self.bert:forward(tape, batch)
    local words = self.heads:words(tape, hidden, batch.masked_index)
    if not self.predicts_next then
        tape:free(hidden)
        return words
    end
    local pooled = self.bert.pooler:forward(tape, hidden, batch.cls_index)
    tape:free(hidden)
    local next_sentence = self.heads:next_sentence(tape, pooled)
    tape:free(pooled)
    return words, next_sentence
end

--- Forward pass with losses: mean MLM cross-entropy over masked words + mean NSP cross-entropy.
-- @return table of f32 [1] scalars loss (a variable, for tape:backward), mlm_loss, nsp_loss, mlm_accuracy,
--   nsp_accuracy; their values are valid until the next forward. Without NSP there are no nsp_ fields, and loss is
--   mlm_loss
function BertForPretraining:forward(tape, batch)
    local results = self:scalars("loss", "mlm_loss", "nsp_loss", "mlm_accuracy", "nsp_accuracy")
    local words, next_sentence = heads(self, tape, batch)
    local mlm_loss = F.cross_entropy(tape, words, batch.masked_labels, self.config.vocab_size,
        { loss = results.mlm_loss, correct = results.mlm_accuracy })
    tape:free(words)
    if not next_sentence then
        return { loss = mlm_loss, mlm_loss = results.mlm_loss, mlm_accuracy = results.mlm_accuracy }
    end
    local nsp_loss = F.cross_entropy(tape, next_sentence, batch.nsp_labels, 2,
        { loss = results.nsp_loss, correct = results.nsp_accuracy })
    tape:free(next_sentence)
    local loss = F.add(tape, mlm_loss, nsp_loss, results.loss)
    return {
        loss = loss, mlm_loss = results.mlm_loss, nsp_loss = results.nsp_loss, mlm_accuracy = results.mlm_accuracy,
        nsp_accuracy = results.nsp_accuracy,
    }
end

--- Scores without losses, for predictions and for losses of one's own.
-- @return {mlm = [M,V], nsp = [B,2], or nil without NSP} variables in the step arena
function BertForPretraining:logits(tape, batch)
    local words, next_sentence = heads(self, tape, batch)
    local vocab_size = self.config.vocab_size
    if words.dims[2] ~= vocab_size then
        -- The scores of the padding mean nothing and must not be learned from.
        local padded = words
        words = F.slice(tape, padded, 2, 1, vocab_size)
        tape:free(padded)
    end
    return { mlm = words, nsp = next_sentence }
end

--- Floating-point operations of the matrix products of one forward and backward pass.
--
-- The forward pass counts 2 K N per row of a [K] -> [N] matmul and, for
-- attention, 4 L^2 H per sequence of length L (its true length, without padding);
-- the backward pass counts twice the forward. Rows are those of the batch as
-- computed, padded or packed; filler of the masked positions counts. Softmax,
-- GELU, LayerNorm, recomputation and the optimizer are not counted.
-- @param batch as in forward()
-- @return number of operations
function BertForPretraining:flops(batch)
    local config = self.config
    local hidden, inner = config.hidden_size, config.intermediate_size
    local squares = 0
    for _, segment in ipairs(batch.segments:tolist()) do squares = squares + segment[2] ^ 2 end
    local rows, masked, sequences = batch.ids:dims()[1], batch.masked_index:dims()[1], batch.cls_index:dims()[1]
    local layer = 2 * rows * (4 * hidden * hidden + 2 * hidden * inner) + 4 * squares * hidden
    local mlm = 2 * masked * hidden * (hidden + config.padded_vocab_size)
    local nsp = self.predicts_next and 2 * sequences * hidden * (hidden + 2) or 0
    return 3 * (config.num_hidden_layers * layer + mlm + nsp)
end

--- Bytes of the step arena that a training step needs at its peak.
-- @param shape as in BertModel:activation_bytes, and masked=
function BertForPretraining:activation_bytes(shape)
    local config, masked = self.config, shape.masked
    local hidden = config.hidden_size
    local bytes = self.bert:activation_bytes(shape, function(size)
        local pooled = self.predicts_next and shape.batch_size * size * (2 * hidden + 2) or 0
        return masked * (size * (4 * hidden + config.padded_vocab_size) + 12) + pooled, size * masked * 2 * hidden
    end)
    return bytes
end

return { BertConfig = BertConfig, BertModel = BertModel, BertForPretraining = BertForPretraining }
