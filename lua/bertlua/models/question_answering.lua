--- BERT for extractive question answering: every token is scored as the start and as the end of the answer.
--
-- A batch is that of bertlua.models.bert (ids, positions, types, segments,
-- max_length) with starts and ends i32 [B]: the answer's first and last token,
-- relative to its sequence; 0, 0 ([CLS]) where there is none. Parameters carry
-- Hugging Face's names: bert.*, qa_outputs.weight [2,H], qa_outputs.bias [2].
-- Windows, answers as text and files do not belong here: see bertlua.squad.

local BertModel = require("bertlua.models.bert").BertModel
local F = require "bertlua.autograd.functional"
local Linear = require "bertlua.nn.linear"
local Module = require "bertlua.nn.module"

local BertForQuestionAnswering = Module.class("BertForQuestionAnswering")
BertForQuestionAnswering.architecture = "BertForQuestionAnswering"

--- Make a model. Call `model.store:allocate{...}` before use.
-- @param config BertConfig
-- @param store ParameterStore (one of its own if left out)
function BertForQuestionAnswering.new(config, store)
    local self = Module.root(BertForQuestionAnswering, store)
    self.config = config
    self.bert = self:add("bert", BertModel.new(config, self.store, "bert", { pooler = false }))
    self.qa_outputs = self:add("qa_outputs", Linear.new(self.store, "qa_outputs", config.hidden_size, 2,
        { std = config.initializer_range }))
    return self
end

--- Scores of every token.
-- @param tape, batch as above; starts and ends are not needed
-- @return variable [T,2] in the activation dtype: column 1 start, column 2 end; rows of no sequence mean nothing
function BertForQuestionAnswering:logits(tape, batch)
    local hidden = self.bert:forward(tape, batch)
    local logits = self.qa_outputs:forward(tape, hidden)
    tape:free(hidden)
    return logits
end

--- Forward pass with loss: (CE(start) + CE(end)) / 2, means over the sequences; each softmax is over the tokens of
-- its sequence, padding left out (arXiv 1810.04805, section 4.2).
-- @return {loss = variable f32 [1]} for tape:backward; its value stays until the next forward
function BertForQuestionAnswering:forward(tape, batch)
    local results = self:scalars("loss")
    local logits = self:logits(tape, batch)
    local loss = F.span_loss(tape, logits, batch.segments, batch.starts, batch.ends, results)
    tape:free(logits)
    return { loss = loss }
end

--- Bytes of the step arena that a training step needs at its peak.
-- @param shape as in BertModel:activation_bytes
function BertForQuestionAnswering:activation_bytes(shape)
    local rows = shape.rows
    local bytes = self.bert:activation_bytes(shape, function(size)
        return rows * 2 * size + shape.batch_size * 8 + 64, size * rows * self.config.hidden_size
    end)
    return bytes
end

return BertForQuestionAnswering
