--- The transformer encoder of BERT: layers of attention and feed-forward, each followed by add-and-norm (post-LN).

local FeedForward = require "bertlua.nn.feed_forward"
local LayerNorm = require "bertlua.nn.layer_norm"
local Linear = require "bertlua.nn.linear"
local Module = require "bertlua.nn.module"
local SelfAttention = require "bertlua.nn.self_attention"
local hidden_act = require "bertlua.nn.hidden_act"

local EncoderLayer = Module.class("EncoderLayer")

--- Create one layer.
-- @param store, prefix see Module.init
-- @param config BertConfig; of a recipe's own model hidden_act may be a name that is not known here: "gelu" then
function EncoderLayer.new(store, prefix, config)
    local self = Module.init(EncoderLayer, store, prefix)
    local hidden, std = config.hidden_size, config.initializer_range
    local norm = { eps = config.layer_norm_eps, dropout = config.hidden_dropout_prob }
    self.attention = self:add("attention", SelfAttention.new(store, self:name("attention.self"), hidden,
        config.num_attention_heads, { dropout = config.attention_probs_dropout_prob, std = std }))
    self.projection = self:add("projection", Linear.new(store, self:name("attention.output.dense"), hidden, hidden,
        { std = std }))
    self.attention_norm = self:add("attention_norm", LayerNorm.new(store, self:name("attention.output.LayerNorm"),
        hidden, norm))
    self.feed_forward = self:add("feed_forward", FeedForward.new(store, prefix, hidden, config.intermediate_size,
        { activation = hidden_act(config.hidden_act) or "gelu", std = std }))
    self.output_norm = self:add("output_norm", LayerNorm.new(store, self:name("output.LayerNorm"), hidden, norm))
    return self
end

--- @param x variable [T,H]
--- @param batch table with segments i32 [B,2] and max_length
--- @return variable [T,H]
function EncoderLayer:forward(tape, x, batch)
    local context = self.attention:forward(tape, x, batch)
    local projected = self.projection:forward(tape, context)
    tape:free(context)
    local attended = self.attention_norm:forward(tape, projected, x)
    tape:free(projected)
    local inner = self.feed_forward:forward(tape, attended)
    local y = self.output_norm:forward(tape, inner, attended)
    tape:free(inner)
    tape:free(attended)
    return y
end

local Encoder = Module.class("Encoder")
-- The setting activation_checkpointing is for modules with this field.
Encoder.can_recompute = true

--- Create a stack of layers.
-- @param store, prefix see Module.init
-- @param config BertConfig
function Encoder.new(store, prefix, config)
    local self = Module.init(Encoder, store, prefix)
    self.layers = {}
    for i = 1, config.num_hidden_layers do
        self.layers[i] = self:add("layer" .. i, EncoderLayer.new(store, self:name("layer." .. i - 1), config))
    end
    return self
end

--- With `activation_checkpointing` set to true, training keeps only the activations between layers and recomputes the
-- others in the backward pass: less memory, about a third more work.
-- @param x variable [T,H]; freed in inference
-- @return variable [T,H]
function Encoder:forward(tape, x, batch)
    local again = self.activation_checkpointing
    for _, layer in ipairs(self.layers) do
        local y = again and tape:checkpoint(layer, x, batch) or layer:forward(tape, x, batch)
        tape:free(x)
        x = y
    end
    return x
end

--- Bytes that the layers hold at the end of a training forward pass.
-- @param layer bytes of everything that one layer computes
-- @param output bytes of its output, which is all that activation checkpointing keeps, apart from one whole layer
function Encoder:held_bytes(layer, output)
    local count = #self.layers
    if self.activation_checkpointing then return count * output + layer + output end
    return count * layer
end

Encoder.Layer = EncoderLayer

return Encoder
