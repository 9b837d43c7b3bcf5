--- Benchmark mode of a job: steps of training or of inference after a warm-up; nothing is saved.

local benchmark = require "bertlua.train.benchmark"
local context = require "bertlua.context"
local fault = require "bertlua.fault"
local inference = require "bertlua.train.inference"
local training = require "bertlua.jobs.common.training"

local M = {}

--- How a measurement was set up, for the text under its figures.
local function setup_of(job, batch_size)
    local run, values = job.run, job.values
    return {
        ranks = run.work.train and job.ranks.size or nil, warmup_steps = values.benchmark_warmup_steps,
        batch_size = batch_size, accumulation = run.accumulation, max_seq_length = values.max_seq_length,
        precision = run.precision, packed = values.pack_sequences, threads = context.threads(),
        device = context.device(),
    }
end

--- Run the trainer and measure its steps.
-- @return outcome of the trainer, with benchmark
function M.train(job)
    local measured, parts, values = {}, job.parts, job.values
    parts.log_freq = job.run.last_step + 1
    parts.on_step = function(step, record)
        if step > values.benchmark_warmup_steps then measured[#measured + 1] = record end
    end
    local outcome = training.run_trainer(parts, values)
    if #measured > 0 then
        outcome.benchmark = benchmark.summary(measured)
        local setup = setup_of(job, values[job.task.batch_setting])
        setup.group = parts.loader.group
        job.log:benchmark(outcome.benchmark, benchmark.text(outcome.benchmark, setup))
    end
    return outcome
end

--- Measure inference on the task's sequences, read repeatedly.
-- @return summary
function M.infer(job)
    local values, set = job.values, job.task.inference(job)
    if set.count == 0 then fault.raisef("%s: nothing to measure: the data contain no sequences", job.task.name) end
    local steps = inference.measure(job.parts.model, job.parts.tape, set, {
        batch_size = values.predict_batch_size, pack_sequences = values.pack_sequences, cuda_graph = values.cuda_graph,
        warmup_steps = values.benchmark_warmup_steps, steps = values.benchmark_steps,
    })
    local summary, text = benchmark.inference(steps, setup_of(job, values.predict_batch_size))
    job.log:benchmark(summary, text)
    return summary
end

return M
