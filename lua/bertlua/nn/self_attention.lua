--- Multi-head self-attention: one matmul for queries, keys and values, then attention within each sequence.

local F = require "bertlua.autograd.functional"
local Module = require "bertlua.nn.module"

local SelfAttention = Module.class("SelfAttention")

--- Create a self-attention block (without the output projection).
-- @param store, prefix see Module.init
-- @param hidden H, a multiple of heads
-- @param heads A
-- @param options {dropout = 0, std = 0.02}
function SelfAttention.new(store, prefix, hidden, heads, options)
    options = options or {}
    local self = Module.init(SelfAttention, store, prefix)
    self.heads, self.dropout = heads, options.dropout or 0
    self.weight = self:joint_parameter({ "query.weight", "key.weight", "value.weight" }, { hidden, hidden },
        { init = "normal", std = options.std, low = true })
    self.bias = self:joint_parameter({ "query.bias", "key.bias", "value.bias" }, { hidden },
        { init = "zeros", decay = false })
    self.description = ("%d heads of %d"):format(heads, hidden / heads)
    return self
end

--- @param x variable [T,H]
--- @param batch table with segments i32 [B,2] and max_length
--- @return variable [T,H]
function SelfAttention:forward(tape, x, batch)
    local qkv = F.linear(tape, x, self.weight, self.bias)
    local y = F.attention(tape, qkv, batch.segments, self.heads, batch.max_length, self.dropout)
    tape:free(qkv)
    return y
end

return SelfAttention
