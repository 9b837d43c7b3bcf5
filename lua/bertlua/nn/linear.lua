--- Linear layer with an optional fused activation: y = f(x W^T + b).

local F = require "bertlua.autograd.functional"
local Module = require "bertlua.nn.module"

local Linear = Module.class("Linear")

local ACTIVATIONS = { none = true, gelu = true, gelu_tanh = true, tanh = true }

--- Create a linear layer.
-- @param store, prefix see Module.init
-- @param inputs, outputs sizes K and N
-- @param options {activation = "none"|"gelu"|"gelu_tanh"|"tanh", std = 0.02}; "gelu_tanh" is GELU in its tanh form
function Linear.new(store, prefix, inputs, outputs, options)
    options = options or {}
    for name in pairs(options) do
        if name ~= "activation" and name ~= "std" then
            error(("Linear: unknown option %s, expected activation or std"):format(tostring(name)), 2)
        end
    end
    if not ACTIVATIONS[options.activation or "none"] then
        error(("Linear: activation is %s, expected none, gelu, gelu_tanh or tanh"):format(
            tostring(options.activation)), 2)
    end
    local self = Module.init(Linear, store, prefix)
    self.activation = options.activation or "none"
    self.weight = self:parameter("weight", { outputs, inputs }, { init = "normal", std = options.std, low = true })
    self.bias = self:parameter("bias", { outputs }, { init = "zeros", decay = false })
    self.description = ("%d -> %d%s"):format(inputs, outputs,
        self.activation == "none" and "" or ", " .. self.activation)
    return self
end

--- @param x variable [T,K]
--- @return variable [T,N]
function Linear:forward(tape, x)
    return F.linear(tape, x, self.weight, self.bias, self.activation)
end

return Linear
