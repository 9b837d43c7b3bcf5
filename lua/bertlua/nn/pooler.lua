--- One vector per sequence: tanh(W h + b) of its first token, [CLS].

local F = require "bertlua.autograd.functional"
local Linear = require "bertlua.nn.linear"
local Module = require "bertlua.nn.module"

local Pooler = Module.class("Pooler")

--- Create a pooler.
-- @param store, prefix see Module.init
-- @param hidden H
-- @param options {std = 0.02}
function Pooler.new(store, prefix, hidden, options)
    local self = Module.init(Pooler, store, prefix)
    self.dense = self:add("dense", Linear.new(store, self:name("dense"), hidden, hidden,
        { activation = "tanh", std = options and options.std }))
    return self
end

--- @param x variable [T,H]
--- @param cls_index i32 [B]: row of each sequence's [CLS]
--- @return variable [B,H]
function Pooler:forward(tape, x, cls_index)
    local first = F.gather(tape, x, cls_index)
    local y = self.dense:forward(tape, first)
    tape:free(first)
    return y
end

return Pooler
