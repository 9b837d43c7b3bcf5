--- Second half of the fine-tuning job: answers to a file's questions, their files, exact match and F1; and how fast
-- the model answers.

local extraction = require "bertlua.squad.extraction"
local benchmark = require "bertlua.train.benchmark"
local clock = require "bertlua.util.clock"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local metrics = require "bertlua.squad.metrics"
local predict = require "bertlua.squad.predict"
local progress = require "bertlua.util.progress"
local quote = require("bertlua.util.shell").quote

local M = {}

--- Run the official evaluator and compare its figures with ours.
local function check_official(values, data, folder, result, log)
    local script = values.eval_script
    -- Google's evaluators are Python; anything else is a program of its own.
    local command = script:match "%.py$" and "python3 " .. quote(script)
        or quote(script:find("/", 1, true) and script or "./" .. script)
    local pipe = io.popen(("%s %s %s 2>&1"):format(command, quote(data.path),
        quote(fs.join(folder, "predictions.json"))))
    local text = pipe:read "*a"
    pipe:close()
    local official = json.decode(text:match "%b{}" or "")
    if type(official) ~= "table" then
        fault.raisef("--eval-script %s: printed no figures: %s", values.eval_script, text:gsub("%s+", " "):sub(-200))
    end
    for name, value in pairs(official) do
        if type(value) == "number" and result[name] ~= value then
            fault.raisef("--eval-script %s: %s is %.17g, our own evaluator has %s", values.eval_script, name, value,
                tostring(result[name]))
        end
    end
    log:note(("%s: the same figures"):format(values.eval_script))
end

--- Exact match and F1, also as OUTPUT/eval.json.
local function evaluate(values, data, predictions, folder, log)
    local result = values.version_2_with_negative and metrics.v2(data.examples, predictions)
        or metrics.v1(data.examples, predictions)
    fault.check(fs.write(fs.join(folder, "eval.json"), metrics.format(result) .. "\n"))
    if values.eval_script then check_official(values, data, folder, result, log) end
    return result
end

--- Logits of all windows, with a bar.
local function logits_of(parts, values, data)
    local bar = progress.new { total = data.set.count, label = "predict", unit = "windows" }
    local starts, ends, totals = predict.run(parts.model, parts.tape, data.set, {
        batch_size = values.predict_batch_size, pack_sequences = values.pack_sequences, cuda_graph = values.cuda_graph,
        on_batch = function(done) bar:update(done) end,
    })
    bar:finish()
    return starts, ends, totals
end

--- Answer the questions of a file; fills in outcome.prediction and outcome.metrics.
-- @param run plan
-- @param parts model, tape
-- @param values the settings
-- @param words tokenizer
-- @param data of squad_data.load
-- @param log of squad_logs
-- @param outcome of the job so far
function M.run(run, parts, values, words, data, log, outcome)
    local starts, ends, totals = logits_of(parts, values, data)
    local begun = clock.monotonic()
    local bar = progress.new { total = #data.examples, label = "answers", unit = "questions" }
    local options = { tokenizer = words, layout = "packed", progress = function(done) bar:update(done) end,
        version_2_with_negative = values.version_2_with_negative }
    for _, setting in ipairs(extraction.settings) do options[setting.name] = values[setting.name] end
    local predictions, n_best, null_odds = extraction.extract(data.examples, data.set, starts, ends, options)
    bar:finish()
    local folder = run.checkpoint_dir
    fault.check(extraction.write(folder, data.examples, predictions, n_best,
        values.version_2_with_negative and null_odds or nil))
    totals.folder, totals.answer_seconds = folder, clock.monotonic() - begun
    outcome.prediction = totals
    if run.work.evaluate then
        outcome.metrics = evaluate(values, data, predictions, folder, log)
        log:metrics(outcome.step, outcome.metrics)
    end
end

local DEFINITION = [[
  A step makes one batch and its logits, and copies these to the host; answers are not extracted. Throughput is all
  windows (or real tokens, padding not counted) of the measured steps over their total time.
]]

--- Figures and text of inference steps.
-- @param steps list of {seconds, sequences, tokens}
-- @param setup as in benchmark.text
function M.benchmark_text(steps, setup)
    local summary = benchmark.summary(steps)
    local text = ("Benchmark of inference: %d batches of %d windows after %d of warm-up; up to %d tokens, %s, %s, "
        .. "%d threads on %s\n"):format(summary.steps, setup.batch_size, setup.warmup_steps, setup.max_seq_length,
        setup.precision, setup.packed and "packed" or "padded", setup.threads, setup.device)
    text = text .. ("  throughput    %.2f sequences/s, %.0f tokens/s\n"):format(summary.sequences_per_second,
        summary.tokens_per_second)
    text = text .. ("  latency       p50 %.1f ms, p90 %.1f ms, p95 %.1f ms, p99 %.1f ms, min %.1f ms, max %.1f ms\n")
        :format(1e3 * summary.step_p50, 1e3 * summary.step_p90, 1e3 * summary.step_p95, 1e3 * summary.step_p99,
        1e3 * summary.step_min, 1e3 * summary.step_max)
    return summary, text .. DEFINITION
end

--- Measure inference on the file's windows, over and over.
-- @return summary
function M.benchmark(_, parts, values, data, setup, log)
    if data.set.count == 0 then fault.raisef("%s: its contexts have no token: nothing to measure", data.path) end
    local wanted, steps, seen = values.benchmark_steps, {}, 0
    while #steps < wanted do
        predict.run(parts.model, parts.tape, data.set, {
            batch_size = values.predict_batch_size, pack_sequences = values.pack_sequences,
            cuda_graph = values.cuda_graph,
            last_batch = values.benchmark_warmup_steps + wanted - seen,
            on_batch = function(_, seconds, batch)
                -- The last batch of a file is smaller than the others.
                if batch.batch_size < math.min(values.predict_batch_size, data.set.count) then return end
                seen = seen + 1
                if seen <= values.benchmark_warmup_steps then return end
                steps[#steps + 1] = { seconds = seconds, sequences = batch.batch_size, tokens = batch.tokens }
            end,
        })
    end
    local summary, text = M.benchmark_text(steps, setup)
    log:benchmark(summary, text)
    return summary
end

return M
