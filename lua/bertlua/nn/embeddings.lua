--- BERT's input: word, position and type embeddings, summed and normalised, with dropout, in one op.

local F = require "bertlua.autograd.functional"
local Module = require "bertlua.nn.module"

local Embeddings = Module.class("Embeddings")

--- Create the embeddings.
-- @param store, prefix see Module.init
-- @param config BertConfig; the word table has `padded_vocab_size` rows
function Embeddings.new(store, prefix, config)
    local self = Module.init(Embeddings, store, prefix)
    local hidden, std = config.hidden_size, config.initializer_range
    self.word = self:parameter("word_embeddings.weight", { config.padded_vocab_size, hidden },
        { init = "normal", std = std, low = true, rows = config.vocab_size })
    self.position = self:parameter("position_embeddings.weight", { config.max_position_embeddings, hidden },
        { init = "normal", std = std, low = true })
    self.type = self:parameter("token_type_embeddings.weight", { config.type_vocab_size, hidden },
        { init = "normal", std = std, low = true })
    self.gamma = self:parameter("LayerNorm.weight", { hidden }, { init = "ones", decay = false })
    self.beta = self:parameter("LayerNorm.bias", { hidden }, { init = "zeros", decay = false })
    self.eps, self.dropout = config.layer_norm_eps, config.hidden_dropout_prob
    self.description = ("%d words, %d positions, %d types -> %d"):format(config.vocab_size,
        config.max_position_embeddings, config.type_vocab_size, hidden)
    return self
end

--- @param batch table with ids, positions, types: i32 [T]
--- @return variable [T,H]
function Embeddings:forward(tape, batch)
    return F.embedding(tape, batch, self, self.eps, self.dropout)
end

return Embeddings
