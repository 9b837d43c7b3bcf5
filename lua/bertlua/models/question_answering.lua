--- BERT for extractive question answering: every token is scored as the start and as the end of the answer.
--
-- A batch is as in bertlua.models.bert (ids, positions, types, segments,
-- max_length), with starts and ends i32 [B]: the answer's first and last token,
-- relative to its sequence; 0, 0 ([CLS]) if there is none. Parameters have
-- Hugging Face's names: bert.*, qa_outputs.weight [2,H], qa_outputs.bias [2].
-- For windows, answers as text and files, see bertlua.squad.

local BertModel = require("bertlua.models.bert").BertModel
local F = require "bertlua.autograd.functional"
local Linear = require "bertlua.nn.linear"
local Module = require "bertlua.nn.module"

local BertForQuestionAnswering = Module.class("BertForQuestionAnswering")
BertForQuestionAnswering.architecture = "BertForQuestionAnswering"

--- Create a model. Call `model.store:allocate{...}` before use.
-- @param config BertConfig
-- @param store ParameterStore (default: its own)
function BertForQuestionAnswering.new(config, store)
    local self = Module.root(BertForQuestionAnswering, store)
    self.config = config
    self.bert = self:add("bert", BertModel.new(config, self.store, "bert", { pooler = false }))
    self.qa_outputs = self:add("qa_outputs", Linear.new(self.store, "qa_outputs", config.hidden_size, 2,
        { std = config.initializer_range }))
    return self
end

--- Scores of every token.
-- @param tape, batch as above; starts and ends are not required
-- @return variable [T,2] in the activation dtype: column 1 start, column 2 end; undefined in rows of no sequence
function BertForQuestionAnswering:logits(tape, batch)
    local hidden = self.bert:forward(tape, batch)
    local logits = self.qa_outputs:forward(tape, hidden)
    tape:free(hidden)
    return logits
end

--- Forward pass with loss: (CE(start) + CE(end)) / 2, averaged over the sequences; each softmax is over the tokens of
-- its sequence, excluding padding (arXiv 1810.04805, section 4.2).
-- @return {loss = variable f32 [1]} for tape:backward; its value is valid until the next forward
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
