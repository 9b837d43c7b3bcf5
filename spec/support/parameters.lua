--- Random tensors and small parameter stores for gradient checks.

local ParameterStore = require "bertlua.nn.parameters"
local ops = require "bertlua.ops"
local tensor = require "bertlua.tensor"

local M = {}

--- Normal values of a stream.
function M.random(dims, stream, scale)
    local t = tensor.new("f32", dims)
    ops.fill_normal(t, 0, scale or 1, 11, stream)
    return t
end

--- A store with parameters: list of {name, dims, std (0.5)}.
function M.store_of(parameters)
    local store = ParameterStore.new()
    for _, p in ipairs(parameters) do store:register(p[1], p[2], { init = "normal", std = p[3] or 0.5 }) end
    store:allocate { seed = 2 }
    return store
end

return M
