--- BERT for sequence classification: one of C labels for a text or a pair of texts (arXiv 1810.04805, section 4.1).
--
-- A batch is that of bertlua.models.bert (ids, positions, types, segments,
-- cls_index, max_length) with labels i32 [B], -1 where there is none. Parameters
-- carry Hugging Face's names: bert.*, classifier.weight [C,H], classifier.bias [C].

local BertModel = require("bertlua.models.bert").BertModel
local F = require "bertlua.autograd.functional"
local Linear = require "bertlua.nn.linear"
local Module = require "bertlua.nn.module"

local BertForSequenceClassification = Module.class("BertForSequenceClassification")
BertForSequenceClassification.architecture = "BertForSequenceClassification"
-- Its config.json names the labels.
BertForSequenceClassification.labeled = true

--- Make a model. Call `model.store:allocate{...}` before use.
-- @param config BertConfig with labels
-- @param store ParameterStore (one of its own if left out)
function BertForSequenceClassification.new(config, store)
    local self = Module.root(BertForSequenceClassification, store)
    self.config, self.classes = config, #config.labels
    self.bert = self:add("bert", BertModel.new(config, self.store, "bert"))
    self.classifier = self:add("classifier", Linear.new(self.store, "classifier", config.hidden_size, self.classes,
        { std = config.initializer_range }))
    return self
end

--- Scores of every label.
-- @param tape, batch as above; labels are not required
-- @return variable [B,C] in the activation dtype
function BertForSequenceClassification:logits(tape, batch)
    local hidden = self.bert:forward(tape, batch)
    local pooled = self.bert.pooler:forward(tape, hidden, batch.cls_index)
    tape:free(hidden)
    local dropped = F.dropout(tape, pooled, self.config.classifier_dropout or self.config.hidden_dropout_prob)
    local logits = self.classifier:forward(tape, dropped)
    tape:free(pooled)
    if dropped ~= pooled then tape:free(dropped) end
    return logits
end

--- Forward pass with loss: mean cross-entropy over the sequences that have a label.
-- @return table of f32 [1] scalars loss (a variable, for tape:backward) and accuracy; their values stay until the next
--   forward
function BertForSequenceClassification:forward(tape, batch)
    local results = self:scalars("loss", "accuracy")
    local logits = self:logits(tape, batch)
    local loss = F.cross_entropy(tape, logits, batch.labels, self.classes,
        { loss = results.loss, correct = results.accuracy })
    tape:free(logits)
    return { loss = loss, accuracy = results.accuracy }
end

--- Bytes of the step arena that a training step needs at its peak.
-- @param shape as in BertModel:activation_bytes
function BertForSequenceClassification:activation_bytes(shape)
    local sequences, hidden = shape.batch_size, self.config.hidden_size
    local bytes = self.bert:activation_bytes(shape, function(size)
        -- Pooled before and after tanh and dropout, scores; each on a 64-byte border.
        return sequences * (size * (3 * hidden + self.classes) + 4) + 5 * 64, size * shape.rows * hidden
    end)
    return bytes
end

return BertForSequenceClassification
