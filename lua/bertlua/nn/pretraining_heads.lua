--- BERT's two pre-training heads: masked words (MLM) and, unless it is left out, next sentence (NSP).
--
-- The MLM head processes only the masked rows. Its decoder shares the word
-- embeddings' table, whose vocabulary is padded to a multiple of 8; the logits
-- of the padding are garbage that the loss and predictions ignore.

local F = require "bertlua.autograd.functional"
local LayerNorm = require "bertlua.nn.layer_norm"
local Linear = require "bertlua.nn.linear"
local Module = require "bertlua.nn.module"
local hidden_act = require "bertlua.nn.hidden_act"

local PretrainingHeads = Module.class("PretrainingHeads")

--- Create the heads.
-- @param store, prefix see Module.init
-- @param config BertConfig
-- @param word the word embeddings' parameter, tied to the decoder
-- @param options {next_sentence = true}: false leaves NSP's head out
function PretrainingHeads.new(store, prefix, config, word, options)
    local self = Module.init(PretrainingHeads, store, prefix)
    local hidden, std = config.hidden_size, config.initializer_range
    self.word = word
    self.decoder_bias = self:parameter("predictions.bias", { config.padded_vocab_size },
        { init = "zeros", decay = false, rows = config.vocab_size })
    self.transform = self:add("transform", Linear.new(store, self:name("predictions.transform.dense"), hidden, hidden,
        { activation = hidden_act(config.hidden_act) or "gelu", std = std }))
    self.transform_norm = self:add("transform_norm", LayerNorm.new(store,
        self:name("predictions.transform.LayerNorm"), hidden, { eps = config.layer_norm_eps }))
    if not options or options.next_sentence ~= false then
        self.seq_relationship = self:add("seq_relationship", Linear.new(store, self:name("seq_relationship"), hidden, 2,
            { std = std }))
    end
    return self
end

--- Scores of every word at the masked rows.
-- @param x variable [T,H]
-- @param masked_index i32 [M]
-- @return variable [M, padded vocabulary]
function PretrainingHeads:words(tape, x, masked_index)
    local masked = F.gather(tape, x, masked_index)
    local transformed = self.transform:forward(tape, masked)
    tape:free(masked)
    local normed = self.transform_norm:forward(tape, transformed)
    tape:free(transformed)
    local logits = F.linear(tape, normed, self.word, self.decoder_bias)
    tape:free(normed)
    return logits
end

--- Scores of "is the next sentence" (0) and "is a random one" (1).
-- @param pooled variable [B,H]
-- @return variable [B,2]
function PretrainingHeads:next_sentence(tape, pooled)
    return self.seq_relationship:forward(tape, pooled)
end

return PretrainingHeads
