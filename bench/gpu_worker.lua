--- One measurement of bench/gpu_pretrain.lua in a separate process.
--
-- The argument is a JSON object: kind (peak | train | answer), device and what
-- the kind requires; the result is one JSON line.

local BertConfig = require "bertlua.models.bert_config"
local BertForPretraining = require("bertlua.models.bert").BertForPretraining
local BertForQuestionAnswering = require "bertlua.models.question_answering"
local Feeder = require "bertlua.train.feeder"
local Graphs = require "bertlua.train.graphs"
local Optimizer = require "bertlua.train.optimizer"
local Tape = require "bertlua.autograd.tape"
local Trainer = require "bertlua.train.trainer"
local clock = require "bertlua.util.clock"
local context = require "bertlua.context"
local device = require "bertlua.device"
local devices = require "bertlua.jobs.common.devices"
local json = require "bertlua.util.json"
local ops = require "bertlua.ops"
local paths = require "bertlua.paths"
local tensor = require "bertlua.tensor"

local Probe = dofile(paths.root() .. "/bench/op_times.lua")
local batches = dofile(paths.root() .. "/bench/gpu_batches.lua")

--- Best seconds per call of fn() on the device, of several runs of `inner` calls each.
local function best_of(runs, inner, fn)
    local first, last, best = device.event(true), device.event(true), math.huge
    fn()
    for _ = 1, runs do
        first:record()
        for _ = 1, inner do fn() end
        last:record()
        last:wait()
        best = math.min(best, first:seconds_to(last) / inner)
    end
    return best
end

--- The device's measured peak: operations/s of large products, bytes/s of a large copy.
local function peak(job)
    local rate = { flops = 0, bytes = 0, dtype = job.precision == "fp32" and "f32" or "bf16" }
    for _, n in ipairs(job.peak_sizes) do
        tensor.scope(function()
            local x, w, y = tensor.new(rate.dtype, { n, n }), tensor.new(rate.dtype, { n, n }),
                tensor.new(rate.dtype, { n, n })
            ops.fill_normal(x, 0, 1, 1, 1)
            ops.fill_normal(w, 0, 1, 1, 2)
            rate.flops = math.max(rate.flops, 2 * n ^ 3 / best_of(5, job.inner, function()
                ops.linear_forward(y, nil, x, w, nil, "none")
            end))
        end)
    end
    tensor.scope(function()
        local from, to = tensor.new("f32", { job.copy_elements }), tensor.new("f32", { job.copy_elements })
        rate.bytes = 8 * job.copy_elements / best_of(5, job.inner, function() ops.copy(to, from) end)
    end)
    return rate
end

local function build(job)
    local config = BertConfig.load(job.config_file)
    local model = (job.max_predictions and BertForPretraining or BertForQuestionAnswering).new(config)
    model.store:allocate { precision = job.precision, seed = 1, training = job.kind == "train" }
    model.bert.encoder.activation_checkpointing = job.activation_checkpointing
    return model, config
end

local function make_batches(job, config)
    local list = {}
    for i = 1, 2 do
        list[i] = batches.batch { lengths = job.lengths, max_length = job.max_length, packed = job.packed,
            vocab_size = config.vocab_size, max_predictions = job.max_predictions }
    end
    return list
end

--- Operations of one step's matrix products for these lengths, not counting padding and filler.
local function useful_flops(job, config)
    local h, inner = config.hidden_size, config.intermediate_size
    local tokens, squares, masked = 0, 0, 0
    for _, length in ipairs(job.lengths) do
        tokens, squares = tokens + length, squares + length ^ 2
        if job.max_predictions then
            masked = masked + math.min(job.max_predictions, math.max(1, math.floor(length * 0.15 + 0.5)))
        end
    end
    local layer = 2 * tokens * (4 * h * h + 2 * h * inner) + 4 * squares * h
    local heads = 4 * tokens * h
    if job.max_predictions then
        heads = 2 * masked * h * (h + config.padded_vocab_size) + 2 * #job.lengths * h * (h + 2)
    end
    return (job.kind == "train" and 3 or 1) * (config.num_hidden_layers * layer + heads)
end

--- The update alone, and how many bytes it must move.
local function time_update(optimizer, store, job)
    local low = store.low and 2 or 0
    return { seconds = best_of(3, job.inner, function() optimizer:apply() end), bytes = store.total * (28 + low) }
end

--- One step op by op, each with events around it.
local function time_ops(trainer, step)
    local probe = Probe.new()
    local graphs = trainer.graphs
    trainer.graphs = Graphs.new { enabled = false }
    local outcome = {}
    trainer:launch(step)
    trainer:settle(0, outcome)
    probe:on()
    trainer:launch(step + 1)
    probe:off()
    trainer:settle(0, outcome)
    trainer.graphs = graphs
    return probe:rows()
end

local function train(job)
    local model, config = build(job)
    local optimizer = Optimizer.new { kind = "Lamb", store = model.store, max_grad_norm = 1.0 }
    local list, seconds = make_batches(job, config), {}
    local graphs = Graphs.new { enabled = job.cuda_graph, warn = function(text) io.stderr:write(text, "\n") end }
    local trainer = Trainer.new {
        model = model, optimizer = optimizer, tape = Tape.new { seed = 1, capacity = job.arena_bytes },
        loader = { batch = function(_, n)
            local batch = list[n % 2 + 1]
            batch.fence:wait()
            return batch
        end },
        schedule = function() return 1e-4 end, accumulation = 1, first_step = 1, last_step = job.warmup + job.steps,
        log_freq = job.warmup + job.steps, graphs = graphs,
        on_step = function(step, last)
            if step > job.warmup then seconds[#seconds + 1] = last.seconds end
        end,
    }
    local outcome = trainer:run()
    local result = {
        seconds = seconds, rows = list[1].rows, tokens = list[1].tokens, loss = outcome.last.loss,
        flops = useful_flops(job, config), replays = graphs.replays, arena_peak = select(2, trainer.tape:memory()),
    }
    if job.parts then
        result.update = time_update(optimizer, model.store, job)
        result.ops = time_ops(trainer, job.warmup + job.steps + 1)
        result.launch_seconds = clock.monotonic()
        local state = {}
        trainer:launch(job.warmup + job.steps + 3)
        result.launch_seconds = clock.monotonic() - result.launch_seconds
        trainer:settle(0, state)
    end
    return result
end

--- Answering: the forward pass and the scores on the host.
local function answer(job)
    local model, config = build(job)
    local list, feeder = make_batches(job, config), Feeder.new()
    local tape, graphs, seconds = Tape.new { capacity = job.arena_bytes }, Graphs.new { enabled = job.cuda_graph }, {}
    local rows = list[1].rows
    local host = device.pinned(rows * 8)
    local scores, done = host:tensor(0, "f32", { rows, 2 }), device.event()
    local function forward(batch)
        tape:reset(false)
        local logits, wide = model:logits(tape, batch).value, tape:tensor("f32", { rows, 2 })
        ops.copy(wide, logits)
        return wide
    end
    for step = 1, job.warmup + job.steps do
        local begun = clock.monotonic()
        local input = feeder:load(list[step % 2 + 1])
        device.download(scores, graphs:run("forward", forward, input))
        done:record()
        done:wait()
        if step > job.warmup then seconds[#seconds + 1] = clock.monotonic() - begun end
    end
    return { seconds = seconds, rows = rows, tokens = list[1].tokens, flops = useful_flops(job, config),
        replays = graphs.replays }
end

local job = json.decode(arg[1])
devices.open { device = job.device }
local kinds = { peak = peak, train = train, answer = answer }
if job.choices then context.matmul_choices(job.choices) end
local result = kinds[job.kind](job)
result.description = context.describe()
io.write(json.encode(result), "\n")
