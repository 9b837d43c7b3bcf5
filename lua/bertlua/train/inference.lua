--- Logits of a model for every sequence of a set, batch by batch, on the host.
-- Interpreting them does not belong here: see the task that asks for them.
-- @module bertlua.train.inference

local clock = require "bertlua.util.clock"
local device = require "bertlua.device"
local Feeder = require "bertlua.train.feeder"
local Graphs = require "bertlua.train.graphs"
local ops = require "bertlua.ops"
local sequences = require "bertlua.data.sequences"

local inference = {}

--- Logits of a batch as f32, in the step arena.
local function forward(model, tape, batch)
    tape:reset(false)
    local logits = model:logits(tape, batch).value
    if logits:dtype_name() == "f32" then return logits end
    local wide = tape:tensor("f32", logits:dims())
    ops.copy(wide, logits)
    return wide
end

--- The same on the host, until the next batch.
-- @param work feeder; graphs; done: event; host: pinned memory, grown as needed
local function logits_of(model, tape, batch, work)
    local logits = work.graphs:run(Graphs.key(batch), forward, model, tape, work.feeder:load(batch))
    local bytes = logits:numel() * 4
    if not work.host or work.bytes < bytes then
        if work.host then work.host:free() end
        work.host, work.bytes = device.pinned(bytes), bytes
    end
    local host = work.host:tensor(0, "f32", logits:dims())
    device.download(host, logits)
    work.done:record()
    work.done:wait()
    return host
end

--- Run a model over sequences, in their order.
-- @param model anything with logits(tape, batch) -> variable
-- @param tape a tape to work on; its current step is lost
-- @param set sequences (see bertlua.data.sequences)
-- @tparam table options batch_size; pack_sequences (true); cuda_graph (true): replay the forward pass of a shape;
--   last_batch: stop after this many batches; on_batch = function(sequences done, seconds of the batch, batch): if it
--   returns true, that was the last batch
-- @tparam function visit called with each batch and its logits, f32 on the host, valid until it returns
-- @treturn table {sequences, tokens, seconds} of the forward passes, including making the batches; stopped = true if
--   on_batch ended it
function inference.run(model, tape, set, options, visit)
    local totals = { sequences = 0, tokens = 0, seconds = 0 }
    if set.count == 0 then return totals end
    local batches = sequences.open(set, { batch_size = options.batch_size, shuffle = false, endless = false,
        pack_sequences = options.pack_sequences ~= false, few_shapes = not device.is_host() })
    local work = { feeder = Feeder.new(), graphs = Graphs.new { enabled = options.cuda_graph ~= false },
        done = device.event() }
    for n = 0, math.min(batches.batches, options.last_batch or math.huge) - 1 do
        local begun = clock.monotonic()
        local batch = batches:batch(n)
        visit(batch, logits_of(model, tape, batch, work))
        local seconds = clock.monotonic() - begun
        totals.sequences, totals.tokens = totals.sequences + batch.batch_size, totals.tokens + batch.tokens
        totals.seconds = totals.seconds + seconds
        if options.on_batch and options.on_batch(totals.sequences, seconds, batch) then
            totals.stopped = true
            break
        end
    end
    batches:close()
    work.graphs:free()
    work.feeder:free()
    work.host:free()
    work.done:free()
    return totals
end

--- Steps of inference for a measurement: the set is read repeatedly.
-- @param options as in run(); warmup_steps, steps
-- @return list of {seconds, sequences, tokens}; batches smaller than the others are left out
function inference.measure(model, tape, set, options)
    local whole, steps, seen = math.min(options.batch_size, set.count), {}, 0
    while #steps < options.steps do
        inference.run(model, tape, set, {
            batch_size = options.batch_size, pack_sequences = options.pack_sequences, cuda_graph = options.cuda_graph,
            last_batch = options.warmup_steps + options.steps - seen,
            on_batch = function(_, seconds, batch)
                -- The last batch of a set is smaller than the others.
                if batch.batch_size < whole then return end
                seen = seen + 1
                if seen <= options.warmup_steps then return end
                steps[#steps + 1] = { seconds = seconds, sequences = batch.batch_size, tokens = batch.tokens }
            end,
        }, function() end)
    end
    return steps
end

return inference
