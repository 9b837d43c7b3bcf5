--- Will it fit? Memory of a pre-training run, told before any of it is taken.

local fault = require "bertlua.fault"

local M = {}

local GIB = 2 ^ 30

--- Bytes that programs may still take on this machine; nil where the system does not say.
function M.available()
    local file = io.open "/proc/meminfo"
    if not file then return nil end
    local kib = file:read("*a"):match "MemAvailable:%s*(%d+) kB"
    file:close()
    return kib and tonumber(kib) * 1024
end

--- Bytes that one process needs for parameters, gradients, the two moments and the low-precision copy of a model that
-- is not allocated yet.
-- @param parts ranks among which an optimizer divides moments and master weights (1)
function M.state_bytes(store, precision, parts)
    local numel = 0
    for _, entry in ipairs(store.list) do numel = numel + entry.numel end
    -- What ops read, and gradients, are whole on every rank.
    return numel * (precision == "fp32" and 8 + 8 / (parts or 1) or 6 + 12 / (parts or 1))
end

--- Bytes that the activations of one micro-step take at the most: no sequence shorter than the longest.
function M.activation_bytes(model, batch_size, max_seq_length, max_predictions_per_seq)
    return model:activation_bytes {
        rows = math.ceil(batch_size * max_seq_length / 64) * 64, batch_size = batch_size, max_length = max_seq_length,
        masked = math.ceil(batch_size * max_predictions_per_seq / 16) * 16,
    }
end

--- Refuse a model whose parameters and optimizer do not fit into memory.
-- @param available bytes, nil if unknown
-- @param parts as in state_bytes
-- @return bytes left for activations
function M.check_state(store, precision, available, parts)
    local bytes = M.state_bytes(store, precision, parts)
    if available and bytes > available then
        fault.raisef("the model with gradients and optimizer takes %.2f GiB, but %.2f GiB are free: take a smaller one",
            bytes / GIB, available / GIB)
    end
    return available and available - bytes or math.huge
end

--- Refuse micro-steps that do not fit, and say which batch size does.
-- @param model allocated
-- @param shape batch_size, max_seq_length, max_predictions_per_seq, accumulation: the setting gradient_merge_steps;
--   batch_option: name of the option that sets batch_size (--batch-size)
-- @param limit bytes: that of the settings, or what is free
-- @return bytes at the most
function M.check_activations(model, shape, limit)
    local function bytes(batch_size)
        return M.activation_bytes(model, batch_size, shape.max_seq_length, shape.max_predictions_per_seq)
    end
    local needed = bytes(shape.batch_size)
    if needed <= limit then return needed end
    local fits = shape.batch_size
    while fits > 0 and bytes(fits) > limit do fits = fits - 1 end
    if fits == 0 then
        fault.raisef("one sequence of %d tokens takes %.2f GiB of activations, but there is room for %.2f GiB: shorten "
            .. "the sequences or take a smaller model", shape.max_seq_length, bytes(1) / GIB, limit / GIB)
    end
    -- The nearest divisor keeps the number of sequences an update sees.
    while shape.batch_size % fits ~= 0 do fits = fits - 1 end
    fault.raisef("micro-steps of %d sequences take up to %.2f GiB of activations, but there is room for %.2f GiB: "
        .. "%s %d --gradient-merge-steps %d fits and gives the same update", shape.batch_size, needed / GIB,
        limit / GIB, shape.batch_option or "--batch-size", fits, shape.accumulation * shape.batch_size / fits)
end

return M
