--- Layer normalisation of dropout(x) + residual: the "add and norm" of a post-LN transformer in one op.

local F = require "bertlua.autograd.functional"
local Module = require "bertlua.nn.module"

local LayerNorm = Module.class("LayerNorm")

--- Create a layer normalisation.
-- @param store, prefix see Module.init
-- @param size H
-- @param options {eps = 1e-12, dropout = 0}
function LayerNorm.new(store, prefix, size, options)
    options = options or {}
    local self = Module.init(LayerNorm, store, prefix)
    self.eps, self.dropout = options.eps or 1e-12, options.dropout or 0
    self.gamma = self:parameter("weight", { size }, { init = "ones", decay = false })
    self.beta = self:parameter("bias", { size }, { init = "zeros", decay = false })
    self.description = tostring(size)
    return self
end

--- @param x variable [T,H]; its memory may be reused, do not read it afterwards
--- @param residual variable [T,H] or nil
--- @return variable [T,H]
function LayerNorm:forward(tape, x, residual)
    return F.layernorm(tape, x, residual, self.gamma, self.beta, self.eps, self.dropout)
end

return LayerNorm
