--- Start and end logits of every token of a FeatureSet.
-- For how logits become answers, see extraction.lua.
-- @module bertlua.squad.predict

local array = require "bertlua.array"
local clock = require "bertlua.util.clock"
local device = require "bertlua.device"
local Feeder = require "bertlua.train.feeder"
local Graphs = require "bertlua.train.graphs"
local loader = require "bertlua.squad.loader"
local ops = require "bertlua.ops"

local predict = {}

--- Logits of a batch as f32, in the step arena.
local function forward(model, tape, batch)
    tape:reset(false)
    local logits = model:logits(tape, batch).value
    if logits:dtype_name() == "f32" then return logits end
    local wide = tape:tensor("f32", logits:dims())
    ops.copy(wide, logits)
    return wide
end

--- The same on the host, valid until the next batch.
-- @param work feeder; graphs; host: pinned memory for the largest batch; done: event
local function answer(model, tape, batch, work)
    local key = ("%d %d"):format(batch.rows, batch.batch_size)
    local logits = work.graphs:run(key, forward, model, tape, work.feeder:load(batch))
    local host = work.host:tensor(0, "f32", logits:dims())
    device.download(host, logits)
    work.done:record()
    work.done:wait()
    return host
end

--- Copy the rows of a batch to the places of their features.
local function store(set, batch, logits, start_logits, end_logits)
    local values, segments = array.wrap(logits), array.wrap(batch.segments)
    for b, f in ipairs(batch.features) do
        local row, to = segments[2 * b - 2], set.offsets[f]
        for i = 0, set:length(f) - 1 do
            start_logits[to + i], end_logits[to + i] = values[2 * (row + i)], values[2 * (row + i) + 1]
        end
    end
end

--- Run a model over a set.
-- @param model BertForQuestionAnswering
-- @param tape the tape to use; its current step is lost
-- @param set FeatureSet
-- @tparam table options batch_size; pack_sequences (true); on_batch = function(features done, seconds of the batch);
--   last_batch: stop after this many batches; cuda_graph (true): replay the forward pass of each shape
-- @return start_logits, end_logits: float arrays in the "packed" layout of extraction.extract: feature f's are at
--   offsets[f] .. offsets[f+1] - 1
-- @treturn table {features, tokens, seconds} of the forward passes, including the time to build batches
function predict.run(model, tape, set, options)
    local start_logits, end_logits = array.float(set.tokens), array.float(set.tokens)
    local totals = { features = 0, tokens = 0, seconds = 0 }
    -- An empty context has no window.
    if set.count == 0 then return start_logits, end_logits, totals end
    local batches = loader.open(set, { batch_size = options.batch_size, shuffle = false, endless = false,
        pack_sequences = options.pack_sequences ~= false, few_shapes = not device.is_host() })
    local work = { feeder = Feeder.new(), graphs = Graphs.new { enabled = options.cuda_graph ~= false },
        host = device.pinned(batches.max_rows * 8), done = device.event() }
    for n = 0, math.min(batches.batches, options.last_batch or math.huge) - 1 do
        local begun = clock.monotonic()
        local batch = batches:batch(n)
        store(set, batch, answer(model, tape, batch, work), start_logits, end_logits)
        local seconds = clock.monotonic() - begun
        totals.features, totals.tokens = totals.features + batch.batch_size, totals.tokens + batch.tokens
        totals.seconds = totals.seconds + seconds
        if options.on_batch then options.on_batch(totals.features, seconds, batch) end
    end
    batches:close()
    work.graphs:free()
    work.feeder:free()
    work.host:free()
    work.done:free()
    return start_logits, end_logits, totals
end

return predict
