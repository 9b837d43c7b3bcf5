--- The two matmuls between attention blocks: H -> I with GELU, then I -> H.

local Linear = require "bertlua.nn.linear"
local Module = require "bertlua.nn.module"

local FeedForward = Module.class("FeedForward")

--- Create a feed-forward block.
-- @param store see Module.init
-- @param prefix full name of the encoder layer: the parameters are PREFIX.intermediate.dense.weight,
--   PREFIX.output.dense.weight and their biases
-- @param hidden, intermediate sizes H and I
-- @param options {activation = "gelu" or "gelu_tanh", std = 0.02}
function FeedForward.new(store, prefix, hidden, intermediate, options)
    local std, activation = options and options.std, options and options.activation or "gelu"
    local self = Module.init(FeedForward, store, prefix)
    self.up = self:add("up", Linear.new(store, self:name("intermediate.dense"), hidden, intermediate,
        { activation = activation, std = std }))
    self.down = self:add("down", Linear.new(store, self:name("output.dense"), intermediate, hidden, { std = std }))
    return self
end

--- @param x variable [T,H]
--- @return variable [T,H]
function FeedForward:forward(tape, x)
    local inner = self.up:forward(tape, x)
    local y = self.down:forward(tape, inner)
    tape:free(inner)
    return y
end

return FeedForward
