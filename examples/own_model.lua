--- A model of your own: BERT with RMSNorm before each block instead of LayerNorm behind it (pre-LN, arXiv 2002.04745),
-- a gated feed-forward (arXiv 2002.05202), and masked words alone to learn (as RoBERTa, arXiv 1907.11692).
--
--     bertlua examples/own_model.lua --input-dir data/phase1 --max-steps 1000
--
-- All of it is here: the layer, the model, the recipe. Shapes: T rows (tokens of all sequences, one behind the other),
-- H hidden, I intermediate, V vocabulary, M masked words. What a batch holds, and what else a model may have: see
-- docs/recipes.md.

local F = require "bertlua.autograd.functional"
local nn = require "bertlua.nn"
local recipe = require "bertlua.recipe"

local Layer = nn.Module.class("PreLnLayer")

--- @param store holds the parameters of the whole model
-- @param prefix of the names of this layer's parameters in checkpoints
-- @param config the configuration: fields as in Hugging Face's config.json, and those that the recipe adds
function Layer.new(store, prefix, config)
    local self = nn.Module.init(Layer, store, prefix)
    local hidden, std = config.hidden_size, config.initializer_range
    self.dropout = config.hidden_dropout_prob
    self.attention_norm = self:add("attention_norm", nn.RMSNorm.new(store, self:name("attention.norm"), hidden))
    self.attention = self:add("attention", nn.SelfAttention.new(store, self:name("attention.self"), hidden,
        config.num_attention_heads, { dropout = config.attention_probs_dropout_prob, std = std }))
    self.projection = self:add("projection", nn.Linear.new(store, self:name("attention.output"), hidden, hidden,
        { std = std }))
    self.feed_forward_norm = self:add("feed_forward_norm", nn.RMSNorm.new(store, self:name("norm"), hidden))
    self.feed_forward = self:add("feed_forward", nn.GatedFeedForward.new(store, prefix, hidden,
        config.intermediate_size, { activation = config.gate, dropout = self.dropout, std = std }))
    return self
end

--- x + attention(norm(x)), then x + feed_forward(norm(x)): the sum itself is never normalised.
-- @param x variable [T,H]
-- @return variable [T,H]
function Layer:forward(tape, x, batch)
    local attended = self.attention:forward(tape, self.attention_norm:forward(tape, x), batch)
    local projected = F.dropout(tape, self.projection:forward(tape, attended), self.dropout)
    x = x + projected
    return x + self.feed_forward:forward(tape, self.feed_forward_norm:forward(tape, x))
end

local PreLnBert = nn.Module.class("PreLnBert")

function PreLnBert.new(config, store)
    local self = nn.Module.root(PreLnBert, store)
    self.config = config
    self.embeddings = self:add("embeddings", nn.Embeddings.new(store, "embeddings", config))
    self.layers = {}
    for i = 1, config.num_hidden_layers do
        self.layers[i] = self:add("layer" .. i, Layer.new(store, ("layer.%d"):format(i - 1), config))
    end
    self.norm = self:add("norm", nn.RMSNorm.new(store, "norm", config.hidden_size))
    -- The table of words has some rows more than the vocabulary, so that products are fast; they stay 0.
    self.bias = self:parameter("decoder.bias", { config.padded_vocab_size },
        { init = "zeros", decay = false, rows = config.vocab_size })
    return self
end

-- With --activation-checkpointing, only what lies between layers is kept for the backward pass.
PreLnBert.can_recompute = true

--- @return variable [M,V]: scores of every word at the masked places
function PreLnBert:logits(tape, batch)
    local x = self.embeddings:forward(tape, batch)
    for _, layer in ipairs(self.layers) do
        x = self.activation_checkpointing and tape:checkpoint(layer, x, batch) or layer:forward(tape, x, batch)
    end
    local masked = self.norm:forward(tape, F.gather(tape, x, batch.masked_index))
    return F.linear(tape, masked, self.embeddings.word, self.bias)
end

--- @return what is minimised, and what else the log is to show
function PreLnBert:forward(tape, batch)
    local accuracy = self:scalars("mlm_accuracy").mlm_accuracy
    local loss = F.cross_entropy(tape, self:logits(tape, batch), batch.masked_labels, self.config.vocab_size,
        { correct = accuracy })
    return { loss = loss, mlm_accuracy = accuracy }
end

recipe.pretrain({
    phase1 = true,
    output_dir = "results/own_model",
    -- A published configuration, and a key of this model's own. Without such: model = PreLnBert.new.
    model = { new = PreLnBert.new, base = "bert-base-uncased", gate = "gelu" },
    max_seq_length = 128,
    max_predictions_per_seq = 20,
    dynamic_masking = true,
    learning_rate = 1e-3,
    last_step_of_checkpoint = "auto",
}, "Pre-train a pre-LN BERT with RMSNorm and a gated feed-forward on masked words.")
