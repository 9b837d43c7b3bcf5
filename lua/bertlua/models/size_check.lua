--- Refuses an encoder that no memory of this machine holds, from its configuration alone. A configuration comes from
-- anywhere, and a model is built layer by layer before its memory is planned: a thousand million layers of Lua objects
-- would fill the machine first.

local device = require "bertlua.device"
local fault = require "bertlua.fault"

local size_check = {}

local GIB = 2 ^ 30
-- Modules and parameters of a layer, as objects of Lua: measured as 18 KiB.
local LAYER_OBJECTS = 16 * 1024
-- No parameter takes less, in any precision.
local ELEMENT = 2

--- The least that an encoder with its embeddings takes, in bytes.
function size_check.least_bytes(config)
    local hidden, inner = config.hidden_size, config.intermediate_size
    local layer = ELEMENT * (4 * hidden * hidden + 2 * hidden * inner) + LAYER_OBJECTS
    local words = config.vocab_size + config.max_position_embeddings + config.type_vocab_size
    return config.num_hidden_layers * layer + ELEMENT * words * hidden
end

--- A fault if the encoder cannot fit into the memory of the device.
-- @param config BertConfig
-- @param total bytes of memory; that of the device if left out, and no limit where it is unknown
function size_check.require(config, total)
    local bytes = size_check.least_bytes(config)
    total = total or select(2, device.memory())
    if total and bytes > total then
        fault.raisef("the model takes at least %.4g GiB (num_hidden_layers %d, hidden_size %d, intermediate_size %d, "
            .. "vocab_size %d), but there are %.4g GiB of memory in all: use a smaller model, or check its "
            .. "configuration",
            bytes / GIB, config.num_hidden_layers, config.hidden_size, config.intermediate_size, config.vocab_size,
            total / GIB)
    end
end

return size_check
