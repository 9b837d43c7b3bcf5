--- Neural network modules. Each is a short file; see module.lua for how to write another.

local ParameterStore = require "bertlua.nn.parameters"

local nn = {
    Module = require "bertlua.nn.module",
    ParameterStore = ParameterStore,
    Linear = require "bertlua.nn.linear",
    LayerNorm = require "bertlua.nn.layer_norm",
    RMSNorm = require "bertlua.nn.rms_norm",
    Embeddings = require "bertlua.nn.embeddings",
    SelfAttention = require "bertlua.nn.self_attention",
    FeedForward = require "bertlua.nn.feed_forward",
    GatedFeedForward = require "bertlua.nn.gated_feed_forward",
    Encoder = require "bertlua.nn.encoder",
    EncoderLayer = require("bertlua.nn.encoder").Layer,
    Pooler = require "bertlua.nn.pooler",
    PretrainingHeads = require "bertlua.nn.pretraining_heads",
}

--- Create a module with its own store, ready to use:
-- `layer = nn.create(nn.Linear, 4, 3, { activation = "gelu" })`.
-- @param class a module class; the rest are the arguments of its new() after store and prefix
-- @return the module; its store is `module.store`
function nn.create(class, ...)
    if type(class) ~= "table" or not class.new then
        error(("nn.create: got %s, expected a class such as bl.nn.Linear"):format(type(class) == "string"
            and ("%q"):format(class) or "a " .. type(class)), 2)
    end
    local store = ParameterStore.new()
    local module = class.new(store, "", ...)
    store:allocate()
    return module
end

return nn
