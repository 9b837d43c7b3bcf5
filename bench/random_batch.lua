--- A batch for the benchmarks of pre-training on the CPU.

local rng = require "bertlua.rng"
local tensor = require "bertlua.tensor"

local function filled(dims, fn)
    local values, n = {}, 1
    for i = 1, #dims do n = n * dims[i] end
    for i = 1, n do values[i] = fn(i - 1) end
    return tensor.new("i32", dims):set(values)
end

--- A batch of full sequences of random words, with masked positions spread over each.
local function random_batch(config, sequences, length, masked)
    local random = rng.new(1)
    local function word() return random:integer(0, config.vocab_size - 1) end
    local function position(i) return i % length end
    return {
        batch_size = sequences, max_length = length, rows = sequences * length, tokens = sequences * length,
        ids = filled({ sequences * length }, word),
        positions = filled({ sequences * length }, position),
        types = filled({ sequences * length }, function(i) return position(i) < length / 2 and 0 or 1 end),
        segments = filled({ sequences, 2 }, function(i)
            return i % 2 == 0 and i / 2 * length or length
        end),
        cls_index = filled({ sequences }, function(i) return i * length end),
        masked_index = filled({ sequences * masked }, function(i)
            return math.floor(i / masked) * length + 1 + i % masked * math.floor((length - 1) / masked)
        end),
        masked_labels = filled({ sequences * masked }, word),
        nsp_labels = filled({ sequences }, function() return random:integer(0, 1) end),
    }
end

return random_batch
