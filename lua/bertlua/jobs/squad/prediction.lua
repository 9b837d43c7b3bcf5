--- Second half of a SQuAD run: answer a file's questions, write the answers, compute exact match and F1.

local extraction = require "bertlua.squad.extraction"
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
    -- Google's evaluators are Python; anything else is an executable.
    local command = script:match "%.py$" and "python3 " .. quote(script)
        or quote(script:find("/", 1, true) and script or "./" .. script)
    local pipe = io.popen(("%s %s %s 2>&1"):format(command, quote(data.path),
        quote(fs.join(folder, "predictions.json"))))
    local text = pipe:read "*a"
    pipe:close()
    local official = json.decode(text:match "%b{}" or "")
    if type(official) ~= "table" then
        fault.raisef("--eval-script %s: printed no scores: %s", values.eval_script, text:gsub("%s+", " "):sub(-200))
    end
    for name, value in pairs(official) do
        if type(value) == "number" and result[name] ~= value then
            fault.raisef("--eval-script %s: %s is %.17g, but our own evaluator computed %s", values.eval_script, name,
                value, tostring(result[name]))
        end
    end
    log:note(("%s: same scores"):format(values.eval_script))
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

--- Answer the questions of the task's file (see jobs/common/task.lua).
-- @param job
-- @param outcome gets prediction and metrics
function M.run(job, outcome)
    local values, data, folder = job.values, job.data.predict_set, job.run.checkpoint_dir
    local starts, ends, totals = logits_of(job.parts, values, data)
    local begun = clock.monotonic()
    local bar = progress.new { total = #data.examples, label = "answers", unit = "questions" }
    local options = { tokenizer = job.data.words, layout = "packed", progress = function(done) bar:update(done) end,
        version_2_with_negative = values.version_2_with_negative }
    for _, setting in ipairs(extraction.settings) do options[setting.name] = values[setting.name] end
    local predictions, n_best, null_odds = extraction.extract(data.examples, data.set, starts, ends, options)
    bar:finish()
    fault.check(extraction.write(folder, data.examples, predictions, n_best,
        values.version_2_with_negative and null_odds or nil))
    totals.folder, totals.answer_seconds = folder, clock.monotonic() - begun
    outcome.prediction = totals
    if job.run.work.evaluate then outcome.metrics = evaluate(values, data, predictions, folder, job.log) end
end

return M
