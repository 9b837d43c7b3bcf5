--- Will it fit? The memory of a training run by use, estimated before any of it is allocated.

local device = require "bertlua.device"
local fault = require "bertlua.fault"
local memory = require "bertlua.memory"

local M = {}

local GIB = 2 ^ 30

--- Reserved on a GPU for what the driver allocates on its own: kernel code at first use, captured steps. Not
-- measured.
local RESERVE = 0.125 * GIB

-- The batch being computed, and two on their way (train/feeder.lua).
local INPUT_COPIES = 3

local DTYPES = { fp32 = "f32", bf16 = "bf16", fp16 = "f16" }

--- Bytes still free on the device, and its total; nil where the system does not report them.
function M.available()
    local free, total = device.memory()
    return free, total
end

--- Bytes that one process needs, by use, for a model that is not allocated yet.
-- @param parts ranks among which an optimizer divides moments and master weights (1)
-- @return {weights, gradients, optimizer}: weights are what ops read, with the f32 values behind them
local function state(store, precision, parts)
    local numel, frozen, low = 0, 0, precision ~= "fp32"
    for _, entry in ipairs(store.list) do
        if entry.frozen then frozen = frozen + entry.numel else numel = numel + entry.numel end
    end
    parts = parts or 1
    -- What ops read and the gradients are whole on every rank; without a low-precision copy, ops read the values.
    -- What is frozen has no gradients and no state, and its f32 values are whole on every rank.
    return { weights = numel * (low and 2 + 4 / parts or 4) + frozen * (low and 6 or 4), gradients = numel * 4,
        optimizer = numel * 8 / parts }
end

--- Bytes of parameters, gradients, the two moments and the low-precision copy together.
function M.state_bytes(store, precision, parts)
    local uses = state(store, precision, parts)
    return uses.weights + uses.gradients + uses.optimizer
end

--- Sizes of the largest micro-step: every sequence is as long as the longest.
local function largest(batch_size, max_seq_length, max_predictions_per_seq, precision)
    return {
        rows = math.ceil(batch_size * max_seq_length / 64) * 64, batch_size = batch_size, max_length = max_seq_length,
        masked = math.ceil(batch_size * max_predictions_per_seq / 16) * 16, precision = precision,
    }
end

--- Upper limit of the bytes that the activations of one micro-step take.
-- @param precision of a model that is not allocated yet
function M.activation_bytes(model, batch_size, max_seq_length, max_predictions_per_seq, precision)
    return model:activation_bytes(largest(batch_size, max_seq_length, max_predictions_per_seq, precision))
end

--- Bytes of an input batch: i32 tensors, each aligned to 64 bytes.
-- @param tensors list of {name, what it has one entry for, i32 values per entry}
local function input_bytes(tensors, size)
    local count = { rows = size.rows, masked = size.masked, sequences = size.batch_size, groups = size.batch_size }
    local bytes = 0
    for _, entry in ipairs(tensors) do bytes = bytes + 4 * entry[3] * count[entry[2]] + 64 end
    return bytes
end

--- Bytes of a micro-step of this many samples: activations, and what else it takes on a GPU.
-- @return activations; workspace: scratch memory of ops, input batches, what the arena maps beyond its peak; scratch
local function step_bytes(model, shape, batch_size)
    batch_size = batch_size * (shape.group or 1)
    local size = largest(batch_size, shape.max_seq_length, shape.max_predictions_per_seq, shape.precision)
    local activations = model:activation_bytes(size)
    if device.is_host() then return activations, 0, 0 end
    local config, parameters = model.config, 0
    for _, entry in ipairs(model.store.list) do parameters = parameters + entry.numel end
    local scratch, slack = device.step_workspace {
        rows = size.rows, picked = size.masked, sequences = batch_size, max_length = size.max_length,
        hidden = config.hidden_size, intermediate = config.intermediate_size, heads = config.num_attention_heads,
        classes = size.masked > 0 and config.padded_vocab_size or 0, parameters = parameters,
        tensors = #model.store.list, activations = activations,
        dtype = DTYPES[shape.precision or model.store.precision or "fp32"],
        dropout = config.attention_probs_dropout_prob,
    }
    if not scratch then fault.raise(slack) end
    return activations, scratch + slack + INPUT_COPIES * input_bytes(shape.tensors, size), scratch
end

--- Reject a model whose parameters and optimizer state do not fit in memory.
-- @param available bytes, nil if unknown
-- @param parts as in state()
-- @return bytes left for micro-steps
function M.check_state(store, precision, available, parts)
    local bytes = M.state_bytes(store, precision, parts) + (device.is_host() and 0 or RESERVE)
    if available and bytes > available then
        fault.raisef("the model with gradients and optimizer state takes %.2f GiB, but only %.2f GiB is free: use a "
            .. "smaller model", bytes / GIB, available / GIB)
    end
    return available and available - bytes or math.huge
end

--- Largest batch size that fits, 0 if none does; only divisors of the requested one, so that accumulation can make up
-- for the difference.
-- @param limit bytes for activations
-- @param room bytes for these and the workspace together
local function fitting(model, shape, limit, room)
    for fits = shape.batch_size, 1, -1 do
        if shape.batch_size % fits == 0 then
            local activations, workspace = step_bytes(model, shape, fits)
            if activations <= limit and activations + workspace <= room then return fits end
        end
    end
    return 0
end

--- "--batch-size 16 --gradient-merge-steps 4".
local function advice(shape, fits)
    return ("%s %d --gradient-merge-steps %d"):format(shape.batch_option or "--batch-size", fits,
        shape.accumulation * shape.batch_size / fits)
end

--- "2.35 GiB".
local function gib(bytes)
    -- The small models of specs and trials are reported in MiB.
    return bytes < 0.1 * GIB and ("%.1f MiB"):format(bytes / 2 ^ 20) or ("%.2f GiB"):format(bytes / GIB)
end
M.gib = gib

--- Reject micro-steps that do not fit, and suggest a batch size that does.
-- @param model allocated, or not yet; then shape names its precision
-- @param shape batch_size, max_seq_length, max_predictions_per_seq; tensors: of a batch (see jobs/common/task.lua);
--   group: sequences of a sample, where it has several (data/sequences.lua); accumulation: its setting; batch_option:
--   name of the option that sets batch_size (--batch-size); checkpointing: whether layers are recomputed already
-- @param limit bytes for activations: the setting, or what is free
-- @param room bytes for these and the workspace together (no limit if left out)
-- @return upper limits in bytes of activations, of workspace, and of the scratch memory within it
function M.check_activations(model, shape, limit, room)
    room = room or math.huge
    local activations, workspace, scratch = step_bytes(model, shape, shape.batch_size)
    if activations <= limit and activations + workspace <= room then return activations, workspace, scratch end
    local fits = fitting(model, shape, limit, room)
    local again = not shape.checkpointing and ", or try --activation-checkpointing" or ""
    if fits == 0 then activations, workspace = step_bytes(model, shape, 1) end
    -- Report whichever of the two limits is exceeded.
    local text = activations > limit
        and ("%s of activations, but there is only room for %s"):format(gib(activations), gib(limit))
        or ("%s of activations and %s of workspace, but there is only room for %s"):format(gib(activations),
            gib(workspace), gib(room))
    if fits == 0 then
        fault.raisef("one sequence of %d tokens takes %s: shorten the sequences or use a smaller model%s",
            shape.max_seq_length, text, again)
    end
    fault.raisef("micro-steps of %d sequences take up to %s: %s fits and gives the same update%s", shape.batch_size,
        text, advice(shape, fits), again)
end

--- The plan by use, before the first allocation: {weights, gradients, optimizer, activations, workspace, reserve, sum;
-- scratch, a part of workspace; free and total of the device, or nil}. A fault where it does not fit.
-- @param model not allocated
-- @param options precision; shape: of a micro-batch (see check_activations); parts: see state(); limit: maximum bytes
--   for activations; share: processes that share the device's memory (1); unknown: why the activations cannot be
--   known, or nil; the plan has this text then, and no activations and workspace
function M.check(model, options)
    local free, total = M.available()
    local share = options.share or 1
    free = free and free / share
    local room = M.check_state(model.store, options.precision, free, options.parts)
    local plan = state(model.store, options.precision, options.parts)
    options.shape.precision = options.precision
    plan.unknown = options.unknown
    if not plan.unknown then
        plan.activations, plan.workspace, plan.scratch = M.check_activations(model, options.shape,
            math.min(options.limit, room), room)
    end
    plan.reserve = device.is_host() and 0 or RESERVE
    plan.sum = plan.weights + plan.gradients + plan.optimizer + (plan.activations or 0) + (plan.workspace or 0)
        + plan.reserve
    plan.free, plan.total = free, total
    return plan
end

--- The plan as two lines for the log.
function M.lines(plan, bytes_text)
    local shown = {}
    for _, use in ipairs { "weights", "gradients", "optimizer", "activations", "workspace" } do
        if (plan[use] or 0) > 0 then shown[#shown + 1] = use .. " " .. bytes_text(plan[use]) end
    end
    if plan.reserve > 0 then shown[#shown + 1] = "reserved for the driver " .. bytes_text(plan.reserve) end
    local lines = { table.concat(shown, ", ") }
    lines[2] = (plan.unknown and "together, without activations, " or "together at most ") .. bytes_text(plan.sum)
        .. (plan.free and (" of %s free (%s in total)"):format(bytes_text(plan.free), bytes_text(plan.total)) or "")
    if plan.unknown then lines[3] = "activations: " .. plan.unknown .. "; the first step measures them" end
    return lines
end

--- From now on, let every out-of-memory failure also suggest a batch size that would fit.
-- @param options parts: see state(); limit: maximum bytes for activations (none if left out)
function M.advise(model, shape, options)
    options = options or {}
    memory.advise(function()
        if options.unknown then return "use smaller micro-steps, with more of them per update, or shorter sequences" end
        local precision = shape.precision or model.store.precision or "fp32"
        local needed = step_bytes(model, shape, shape.batch_size)
        -- Others may have taken memory since the start. A new run can use what this one holds and what is free now.
        local free = M.available()
        local room = free and free + memory.held() - M.state_bytes(model.store, precision, options.parts)
            - (device.is_host() and 0 or RESERVE) or math.huge
        -- What was tried just now did not fit.
        local fits = fitting(model, shape, math.min(options.limit or math.huge, 0.99 * needed), room)
        if fits == 0 then return "shorten the sequences or use a smaller model" end
        return advice(shape, fits) .. (" takes %s of activations instead of %s"):format(
            gib((step_bytes(model, shape, fits))), gib(needed))
    end)
end

return M
