--- BERT for token classification: one of C labels for each token (arXiv 1810.04805, section 5.3).
--
-- A batch is that of bertlua.models.bert (ids, positions, types, segments,
-- max_length) with labels i32 [T], one for each row, -1 where there is none.
-- Parameters have Hugging Face's names: bert.*, classifier.weight [C,H],
-- classifier.bias [C].

local BertModel = require("bertlua.models.bert").BertModel
local F = require "bertlua.autograd.functional"
local Linear = require "bertlua.nn.linear"
local Module = require "bertlua.nn.module"

local BertForTokenClassification = Module.class("BertForTokenClassification")
BertForTokenClassification.architecture = "BertForTokenClassification"
-- Its config.json names the labels.
BertForTokenClassification.labeled = true

--- Create a model. Call `model.store:allocate{...}` before use.
-- @param config BertConfig with labels
-- @param store ParameterStore (default: its own)
function BertForTokenClassification.new(config, store)
    local self = Module.root(BertForTokenClassification, store)
    self.config, self.classes = config, #config.labels
    self.bert = self:add("bert", BertModel.new(config, self.store, "bert", { pooler = false }))
    self.classifier = self:add("classifier", Linear.new(self.store, "classifier", config.hidden_size, self.classes,
        { std = config.initializer_range }))
    return self
end

--- Scores of every label for every token.
-- @param tape, batch as above; labels are not required
-- @return variable [T,C] in the activation dtype; undefined in rows of no sequence
function BertForTokenClassification:logits(tape, batch)
    local hidden = self.bert:forward(tape, batch)
    local dropped = F.dropout(tape, hidden, self.config.classifier_dropout or self.config.hidden_dropout_prob)
    local logits = self.classifier:forward(tape, dropped)
    tape:free(hidden)
    if dropped ~= hidden then tape:free(dropped) end
    return logits
end

--- Forward pass with loss: mean cross-entropy over the tokens that have a label.
-- @return table of f32 [1] scalars loss (a variable, for tape:backward) and accuracy; their values stay until the next
--   forward
function BertForTokenClassification:forward(tape, batch)
    local results = self:scalars("loss", "accuracy")
    local logits = self:logits(tape, batch)
    local loss = F.cross_entropy(tape, logits, batch.labels, self.classes,
        { loss = results.loss, correct = results.accuracy })
    tape:free(logits)
    return { loss = loss, accuracy = results.accuracy }
end

--- Bytes of the step arena that a training step needs at its peak.
-- @param shape as in BertModel:activation_bytes
function BertForTokenClassification:activation_bytes(shape)
    local rows, hidden = shape.rows, self.config.hidden_size
    local bytes = self.bert:activation_bytes(shape, function(size)
        -- Dropped hidden states, scores and the loss of each; each on a 64-byte border.
        return rows * (size * (hidden + self.classes) + 4) + 4 * 64, size * rows * hidden
    end)
    return bytes
end

return BertForTokenClassification
