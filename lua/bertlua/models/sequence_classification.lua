--- BERT for sequence classification: labels or a number for a text or a pair of texts (arXiv 1810.04805, section 4.1).
--
-- A batch is that of bertlua.models.bert (ids, positions, types, segments, cls_index, max_length) with labels, and the
-- loss is that of transformers' class, by config.problem_type:
--
--     single_label_classification  labels i32 [B], -1 where there is none; cross-entropy, weighted by class if asked
--     multi_label_classification   labels f32 [B,C] of 0 and 1; binary cross-entropy of each score, mean of all
--     regression                   labels f32 [B], or [B,C] with several numbers; mean squared error
--
-- Where config names none, it is regression with one label, else one label a text. Parameters carry Hugging Face's
-- names: bert.*, classifier.weight [C,H], classifier.bias [C].

local BertModel = require("bertlua.models.bert").BertModel
local F = require "bertlua.autograd.functional"
local Linear = require "bertlua.nn.linear"
local Module = require "bertlua.nn.module"
local tensor = require "bertlua.tensor"

local BertForSequenceClassification = Module.class("BertForSequenceClassification")
BertForSequenceClassification.architecture = "BertForSequenceClassification"
-- Its config.json names the labels.
BertForSequenceClassification.labeled = true

--- Make a model. Call `model.store:allocate{...}` before use.
-- @param config BertConfig with labels and, optionally, problem_type
-- @param store ParameterStore (one of its own if left out)
-- @param options class_weights: list of C numbers, by which one label a text is weighted; nil: all alike
function BertForSequenceClassification.new(config, store, options)
    local self = Module.root(BertForSequenceClassification, store)
    self.config, self.classes = config, #config.labels
    self.problem_type = config.problem_type
        or self.classes == 1 and "regression" or "single_label_classification"
    self.class_weights = options and options.class_weights
    if self.class_weights and (#self.class_weights ~= self.classes
        or self.problem_type ~= "single_label_classification") then
        error(("BertForSequenceClassification: got %d class_weights for %d labels of %s, expected one for each where a "
            .. "text has one label"):format(#self.class_weights, self.classes, self.problem_type), 2)
    end
    if self.class_weights then
        local numbers = {}
        for c = 1, self.classes do numbers[c] = c - 1 end
        self.weight_row = tensor.from({ self.class_weights }, "f32")
        self.number_row = tensor.from({ numbers }, "i32")
    end
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

--- sum(w l) / sum(w) over the texts that have a label, as PyTorch's CrossEntropyLoss(weight): l is the cross-entropy of
-- a text, w the weight of its label.
local function weighted_cross_entropy(self, tape, logits, labels)
    local is_label = F.eq(tape, labels:view(labels:numel(), 1), self.number_row)
    local weights = F.where(tape, is_label, self.weight_row, 0)
    local wide = F.cast(tape, logits, "f32")
    local logs = F.log_softmax(tape, wide)
    if wide ~= logits then tape:free(wide) end
    local weighted = F.mul(tape, weights, logs)
    tape:free(logs)
    local total, sum = F.sum(tape, weighted), F.sum(tape, weights)
    tape:free(weighted)
    tape:free(weights)
    tape:free(is_label)
    local mean = F.div(tape, total, sum)
    tape:free(total)
    tape:free(sum)
    local loss = F.neg(tape, mean)
    tape:free(mean)
    return loss
end

--- A composed loss in memory that stays until the next forward.
local function keep(tape, loss, results)
    results.zero:fill(0)
    local kept = F.add(tape, loss, tape:input(results.zero), results.loss)
    tape:free(loss)
    return kept
end

--- Forward pass with loss.
-- @return table of f32 [1] scalars loss (a variable, for tape:backward) and, where a text has one label, accuracy;
--   their values stay until the next forward
function BertForSequenceClassification:forward(tape, batch)
    local results = self:scalars("loss", "accuracy", "unweighted", "zero")
    local logits, labels = self:logits(tape, batch), batch.labels
    local loss
    if self.problem_type == "single_label_classification" then
        local input, out = logits, { loss = results.loss, correct = results.accuracy }
        -- With weights, it only counts what is right.
        if self.class_weights then input, out.loss = tape:input(tape:value_of(logits)), results.unweighted end
        loss = F.cross_entropy(tape, input, labels, self.classes, out)
        if self.class_weights then
            loss = keep(tape, weighted_cross_entropy(self, tape, logits, labels), results)
        end
        tape:free(logits)
        return { loss = loss, accuracy = results.accuracy }
    end
    labels = labels:view(batch.batch_size, self.classes)
    local compute = self.problem_type == "regression" and F.mse_loss or F.binary_cross_entropy
    loss = keep(tape, compute(tape, logits, labels), results)
    tape:free(logits)
    return { loss = loss }
end

--- Bytes of the step arena that a training step needs at its peak.
-- @param shape as in BertModel:activation_bytes
function BertForSequenceClassification:activation_bytes(shape)
    local sequences, hidden = shape.batch_size, self.config.hidden_size
    local composed = self.class_weights and 4 or self.problem_type == "multi_label_classification" and 11
        or self.problem_type == "regression" and 3 or 0
    local bytes = self.bert:activation_bytes(shape, function(size)
        -- Pooled before and after tanh and dropout, scores; each on a 64-byte border. Losses that are composed keep f32
        -- values as large as the scores.
        return sequences * (size * (3 * hidden + self.classes) + 4 + 4 * composed * self.classes)
            + (5 + composed) * 64, size * shape.rows * hidden
    end)
    return bytes
end

return BertForSequenceClassification
