--- Will it fit? Memory of a training run by use, told before any of it is taken.

local device = require "bertlua.device"
local fault = require "bertlua.fault"
local memory = require "bertlua.memory"

local M = {}

local GIB = 2 ^ 30

--- Set aside on a GPU for scratch memory of ops, input batches and captured steps.
local WORKSPACE = 0.25 * GIB

--- Bytes that may still be taken on the device, and all it has; nil where the system does not say.
function M.available()
    local free, total = device.memory()
    return free, total
end

--- Bytes that one process needs by use, for a model that is not allocated yet.
-- @param parts ranks among which an optimizer divides moments and master weights (1)
-- @return {weights, gradients, optimizer}: weights are what ops read, with the f32 values behind them
local function state(store, precision, parts)
    local numel, low = 0, precision ~= "fp32"
    for _, entry in ipairs(store.list) do numel = numel + entry.numel end
    parts = parts or 1
    -- What ops read, and gradients, are whole on every rank; without a low-precision copy that is the values.
    return { weights = numel * (low and 2 + 4 / parts or 4), gradients = numel * 4, optimizer = numel * 8 / parts }
end

--- Bytes of parameters, gradients, the two moments and the low-precision copy together.
function M.state_bytes(store, precision, parts)
    local uses = state(store, precision, parts)
    return uses.weights + uses.gradients + uses.optimizer
end

--- Bytes that the activations of one micro-step take at the most: no sequence shorter than the longest.
-- @param precision of a model that is not allocated yet
function M.activation_bytes(model, batch_size, max_seq_length, max_predictions_per_seq, precision)
    return model:activation_bytes {
        rows = math.ceil(batch_size * max_seq_length / 64) * 64, batch_size = batch_size, max_length = max_seq_length,
        masked = math.ceil(batch_size * max_predictions_per_seq / 16) * 16, precision = precision,
    }
end

--- Refuse a model whose parameters and optimizer do not fit into memory.
-- @param available bytes, nil if unknown
-- @param parts as in state()
-- @return bytes left for activations
function M.check_state(store, precision, available, parts)
    local bytes = M.state_bytes(store, precision, parts) + (device.is_host() and 0 or WORKSPACE)
    if available and bytes > available then
        fault.raisef("the model with gradients and optimizer takes %.2f GiB, but %.2f GiB are free: take a smaller one",
            bytes / GIB, available / GIB)
    end
    return available and available - bytes or math.huge
end

--- Largest batch size whose activations fit, 0 if none does; of those that divide the wanted one, so that
-- accumulation makes up for it.
local function fitting(model, shape, limit)
    for fits = shape.batch_size, 1, -1 do
        if shape.batch_size % fits == 0 and M.activation_bytes(model, fits, shape.max_seq_length,
            shape.max_predictions_per_seq, shape.precision) <= limit then
            return fits
        end
    end
    return 0
end

--- "--batch-size 16 --gradient-merge-steps 4".
local function advice(shape, fits)
    return ("%s %d --gradient-merge-steps %d"):format(shape.batch_option or "--batch-size", fits,
        shape.accumulation * shape.batch_size / fits)
end

--- Refuse micro-steps that do not fit, and say which batch size does.
-- @param model allocated, or not yet: then shape names its precision
-- @param shape batch_size, max_seq_length, max_predictions_per_seq, accumulation: its setting; batch_option: name of
--   the option that sets batch_size (--batch-size); checkpointing: whether layers are computed again already
-- @param limit bytes: that of the settings, or what is free
-- @return bytes at the most
function M.check_activations(model, shape, limit)
    local function bytes(batch_size)
        return M.activation_bytes(model, batch_size, shape.max_seq_length, shape.max_predictions_per_seq,
            shape.precision)
    end
    local needed = bytes(shape.batch_size)
    if needed <= limit then return needed end
    local fits = fitting(model, shape, limit)
    local again = not shape.checkpointing and ", or try --activation-checkpointing" or ""
    if fits == 0 then
        fault.raisef("one sequence of %d tokens takes %.2f GiB of activations, but there is room for %.2f GiB: shorten "
            .. "the sequences or take a smaller model%s", shape.max_seq_length, bytes(1) / GIB, limit / GIB, again)
    end
    fault.raisef("micro-steps of %d sequences take up to %.2f GiB of activations, but there is room for %.2f GiB: "
        .. "%s fits and gives the same update%s", shape.batch_size, needed / GIB, limit / GIB, advice(shape, fits),
        again)
end

--- The plan by use, before the first allocation: {weights, gradients, optimizer, activations, workspace, sum; free and
-- total of the device, or nil}. A fault where it does not fit.
-- @param model not allocated
-- @param options precision; shape: of a micro-batch (see check_activations); parts: see state(); limit: most bytes for
--   activations; share: processes that share the device's memory (1)
function M.check(model, options)
    local free, total = M.available()
    local share = options.share or 1
    free = free and free / share
    local room = M.check_state(model.store, options.precision, free, options.parts)
    local plan = state(model.store, options.precision, options.parts)
    options.shape.precision = options.precision
    plan.activations = M.check_activations(model, options.shape, math.min(options.limit, room))
    plan.workspace = device.is_host() and 0 or WORKSPACE
    plan.sum = plan.weights + plan.gradients + plan.optimizer + plan.activations + plan.workspace
    plan.free, plan.total = free, total
    return plan
end

--- The plan as two lines for people.
function M.lines(plan, bytes_text)
    local shown = {}
    for _, use in ipairs { "weights", "gradients", "optimizer", "activations", "workspace" } do
        if plan[use] > 0 then shown[#shown + 1] = use .. " " .. bytes_text(plan[use]) end
    end
    local lines = { table.concat(shown, ", ") }
    lines[2] = "together " .. bytes_text(plan.sum) .. " at the most"
        .. (plan.free and (" of %s free (%s in all)"):format(bytes_text(plan.free), bytes_text(plan.total)) or "")
    return lines
end

--- From now on, say with every failure for lack of memory which batch size would fit.
function M.advise(model, shape)
    memory.advise(function()
        local free = M.available()
        local needed = M.activation_bytes(model, shape.batch_size, shape.max_seq_length, shape.max_predictions_per_seq)
        -- Others may have taken what was free at the start. What this run's arena holds is not counted as free, so the
        -- advice is careful.
        local fits = fitting(model, shape, math.min(free or math.huge, 0.99 * needed))
        if fits == 0 then return "shorten the sequences or take a smaller model" end
        return advice(shape, fits) .. " takes "
            .. ("%.2f GiB of activations instead of %.2f GiB"):format(M.activation_bytes(model, fits,
                shape.max_seq_length, shape.max_predictions_per_seq) / GIB, needed / GIB)
    end)
end

return M
