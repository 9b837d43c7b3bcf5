--- Root mean square normalisation (arXiv 1910.07467): x / sqrt(mean(x^2) + eps) * weight, without mean and bias.

local F = require "bertlua.autograd.functional"
local Module = require "bertlua.nn.module"

local RMSNorm = Module.class("RMSNorm")

--- Create a root mean square normalisation.
-- @param store, prefix see Module.init; the parameter is PREFIX.weight, without weight decay
-- @param size H
-- @param options {eps = 1e-6}
function RMSNorm.new(store, prefix, size, options)
    local self = Module.init(RMSNorm, store, prefix)
    self.eps = options and options.eps or 1e-6
    self.gamma = self:parameter("weight", { size }, { init = "ones", decay = false })
    self.description = tostring(size)
    return self
end

--- @param x variable [T,H]
--- @return variable [T,H]
function RMSNorm:forward(tape, x)
    return F.rmsnorm(tape, x, self.gamma, self.eps)
end

return RMSNorm
