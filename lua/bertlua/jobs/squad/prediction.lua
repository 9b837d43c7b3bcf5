--- Second half of a SQuAD run: answer a file's questions, write the answers, compute exact match and F1.

local extraction = require "bertlua.squad.extraction"
local clock = require "bertlua.util.clock"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local leaks = require "bertlua.jobs.common.leaks"
local metrics = require "bertlua.squad.metrics"
local plan = require "bertlua.jobs.squad.plan"
local predict = require "bertlua.squad.predict"
local progress = require "bertlua.util.progress"
local quote = require("bertlua.util.shell").quote
local squad_data = require "bertlua.jobs.squad.data"
local term = require "bertlua.util.term"

local M = {}

--- Evaluation while training (see jobs/common/task.lua): on predict_file, or a file of its own.
M.evaluation = { fields = { "predict_file" }, metric = "f1", shown = { exact_match = true, exact = true, f1 = true } }

--- Run the official evaluator and compare its figures with ours.
local function check_official(values, data, folder, result, log)
    local script = values.eval_script
    -- Google's evaluators are Python; anything else is an executable.
    local command = script:match "%.py$" and "python3 " .. quote(script)
        or quote(script:find("/", 1, true) and script or "./" .. script)
    local pipe = io.popen(("{ %s %s %s; } 2>&1; echo \"exit code $?\""):format(command, quote(data.path),
        quote(fs.join(folder, "predictions.json"))))
    local text, code = pipe:read("*a"):match "^(.*)exit code (%d+)%s*$"
    pipe:close()
    if code ~= "0" then
        fault.raisef("--eval-script %s: failed with exit code %s: %s", values.eval_script, code,
            text:gsub("%s+", " "):sub(-200))
    end
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

local function score(values, data, predictions)
    if values.version_2_with_negative then return metrics.v2(data.examples, predictions) end
    return metrics.v1(data.examples, predictions)
end

--- Exact match and F1, also as OUTPUT/eval.json.
local function evaluate(values, data, predictions, folder, log)
    local result = score(values, data, predictions)
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

--- The answers that logits stand for.
-- @param on_question called with the number of questions done
-- @return as extraction.extract
local function answers_of(job, data, starts, ends, on_question)
    local values = job.values
    local options = { tokenizer = job.data.words, layout = "packed", progress = on_question,
        version_2_with_negative = values.version_2_with_negative }
    for _, setting in ipairs(extraction.settings) do options[setting.name] = values[setting.name] end
    return extraction.extract(data.examples, data.set, starts, ends, options)
end

--- Answer the questions of the task's file (see jobs/common/task.lua).
-- @param job
-- @param outcome gets prediction and metrics
function M.run(job, outcome)
    local values, data, folder = job.values, job.data.predict_set, job.run.checkpoint_dir
    local starts, ends, totals = logits_of(job.parts, values, data)
    local begun = clock.monotonic()
    local bar = progress.new { total = #data.examples, label = "answers", unit = "questions" }
    local predictions, n_best, null_odds = answers_of(job, data, starts, ends, function(done) bar:update(done) end)
    bar:finish()
    local written, kept = extraction.write(folder, data.examples, predictions, n_best,
        values.version_2_with_negative and null_odds or nil)
    fault.check(written, kept)
    if kept[1] then term.warn("answers of an earlier run differ: kept as " .. table.concat(kept, ", ")) end
    totals.folder, totals.answer_seconds = folder, clock.monotonic() - begun
    outcome.prediction = totals
    if job.run.work.evaluate then outcome.metrics = evaluate(values, data, predictions, folder, job.log) end
end

--- Which metrics there are, and that more of them is better.
function M.evaluation.metrics(values)
    return { [values.version_2_with_negative and "exact" or "exact_match"] = "higher", f1 = "higher" }
end

--- The file to measure on: the one named, else the run's, else the published one. A fault if it is missing.
-- @param wanted the recipe's table; gets predict_file
function M.evaluation.plan(run, values, wanted)
    if wanted.predict_file and not fs.is_file(wanted.predict_file) then
        fault.raisef("evaluate: predict_file %s: no such file", wanted.predict_file)
    end
    if wanted.predict_file and wanted.predict_file ~= run.predict_file then
        leaks.warn_of_files(run, { run.train_file }, "evaluate: predict_file " .. wanted.predict_file,
            { wanted.predict_file })
    end
    wanted.predict_file = wanted.predict_file or run.predict_file or plan.data_file(run, values, "predict_file", "dev")
end

--- The questions, converted.
-- @return as squad_data.load
function M.evaluation.open(job)
    local run, values, data = job.run, job.values, job.data
    local path = run.evaluate.predict_file
    if data.predict_set and path == run.predict_file then return data.predict_set end
    local loaded = squad_data.load(path, data.words, values, false, true)
    data.lines[#data.lines + 1] = loaded.line
    for _, warning in ipairs(loaded.warnings) do run.warnings[#run.warnings + 1] = warning end
    return loaded
end

--- Answer the questions and score the answers; nothing is written.
-- @param data of open()
-- @param tick function(done, total) called after each batch; where it returns true, the evaluation ends
-- @return result of bertlua.squad.metrics; nil where tick ended it
function M.evaluation.run(job, data, tick)
    local values = job.values
    local starts, ends, totals = predict.run(job.parts.model, job.parts.tape, data.set, {
        batch_size = values.predict_batch_size, pack_sequences = values.pack_sequences, cuda_graph = values.cuda_graph,
        on_batch = function(done) return tick(done, data.set.count) end,
    })
    if totals.stopped then return nil end
    return score(values, data, (answers_of(job, data, starts, ends, function() end)))
end

--- Nothing is to be freed.
function M.evaluation.close() end

return M
