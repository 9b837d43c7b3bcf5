--- A feed-forward block with a gated linear unit (arXiv 2002.05202): H -> 2I in one product, value * f(gate), I -> H.

local F = require "bertlua.autograd.functional"
local Linear = require "bertlua.nn.linear"
local Module = require "bertlua.nn.module"

local GatedFeedForward = Module.class("GatedFeedForward")

--- Create a gated feed-forward block.
-- @param store see Module.init
-- @param prefix full name of the encoder layer: the parameters are PREFIX.intermediate.dense.weight [2I,H], whose first
--   I rows make the value and the others the gate, PREFIX.output.dense.weight [H,I], and their biases
-- @param hidden, intermediate sizes H and I
-- @param options {activation = "silu", dropout = 0 of the result, std = 0.02}; activation as for F.glu: "gelu" is
--   GEGLU, "silu" SwiGLU
function GatedFeedForward.new(store, prefix, hidden, intermediate, options)
    options = options or {}
    local self = Module.init(GatedFeedForward, store, prefix)
    self.activation, self.dropout = options.activation or "silu", options.dropout or 0
    self.up = self:add("up", Linear.new(store, self:name("intermediate.dense"), hidden, 2 * intermediate,
        { std = options.std }))
    self.down = self:add("down", Linear.new(store, self:name("output.dense"), intermediate, hidden,
        { std = options.std }))
    self.description = self.activation
    return self
end

--- @param x variable [T,H]
--- @return variable [T,H]
function GatedFeedForward:forward(tape, x)
    local both = self.up:forward(tape, x)
    local inner = F.glu(tape, both, self.activation)
    tape:free(both)
    local y = self.down:forward(tape, inner)
    tape:free(inner)
    local dropped = F.dropout(tape, y, self.dropout)
    return dropped
end

return GatedFeedForward
