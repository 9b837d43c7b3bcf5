--- What tasks over files of texts share: which parts of a run their files ask for, batches to train on, inference with
-- a bar, and results: OUTPUT_DIR/eval.json with the figures of dev_file and test_file, OUTPUT_DIR/predictions.jsonl.

local array = require "bertlua.array"
local aside = require "bertlua.util.aside"
local context = require "bertlua.context"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local inference = require "bertlua.train.inference"
local json = require "bertlua.util.json"
local leaks = require "bertlua.jobs.common.leaks"
local own_data = require "bertlua.jobs.common.own_data"
local plural = require "bertlua.util.plural"
local progress = require "bertlua.util.progress"
local settings = require "bertlua.settings"
local sequences = require "bertlua.data.sequences"
local term = require "bertlua.util.term"

local M = {}

--- The setting of each part's file, and the parts in their order.
M.FILES = { train = "train_file", dev = "dev_file", test = "test_file" }
M.PARTS = { "train", "dev", "test" }

--- The settings that all of these tasks have; a task declares its columns beside them.
-- @param of what the files hold: "labeled texts"
-- @param form of the files, where it is not that of tables
-- @return list of declarations
function M.settings(of, form)
    form = ("%s: %s"):format(of, form or ".csv, .tsv or JSON lines")
    return {
        { name = "train_file", type = "path", passing = "its bytes are compared",
            help = ("%s, to train on; unset: no training"):format(form) },
        { name = "dev_file", type = "path", passing = "measured anew in each run",
            help = ("%s to evaluate on, while training too; unset: none"):format(of) },
        { name = "test_file", type = "path", passing = "measured anew in each run",
            help = ("%s to evaluate on at the end; predictions are of this file, or else of dev_file; unset: none")
                :format(of) },
        { name = "encoding", type = "string",
            help = "encoding of these files, as iconv -l lists it (windows-1252, ...); unset: UTF-8, or what a file's "
                .. "byte order mark says" },
        { name = "invalid_utf8", type = "choice", choices = { "error", "replace" }, default = "error",
            help = "on bytes that are not text: stop and report the byte, or replace each by U+FFFD" },
    }
end

--- The parts of a run are those whose file is named (see `plan` in task.lua).
function M.plan(run, values)
    own_data.check(values, "train_file")
    for _, setting in pairs(M.FILES) do
        local path = values[setting]
        if path and not fs.is_file(path) then
            fault.raisef("%s %s: %s", settings.option(setting), path, fs.is_directory(path)
                and "is a folder, expected a file" or "no such file")
        end
    end
    leaks.check_columns(values)
    for _, setting in ipairs { "dev_file", "test_file" } do
        if values.train_file and values[setting] then
            leaks.warn_of_files(run, { values.train_file }, settings.option(setting) .. " " .. values[setting],
                { values[setting] })
        end
    end
    local train, evaluate = values.train_file or values.data, values.dev_file or values.test_file
    run.work = { train = train and true, evaluate = evaluate and true }
    if train and not evaluate and not values.benchmark and not (values.evaluate and values.evaluate.dev_file) then
        run.notes[#run.notes + 1] = "neither --dev-file nor --test-file: there will be no figures of this model"
    end
    if not next(run.work) then fault.raise("nothing to do: give a --train-file, --dev-file or --test-file") end
end

--- Batches of sequences to train on, as a task's data.train.
function M.batches(job, set)
    local values = job.values
    local loader = sequences.open(set, { batch_size = values.train_batch_size, seed = values.seed,
        pack_sequences = values.pack_sequences, few_shapes = context.device() ~= "cpu" })
    return loader
end

--- Report texts that were cut off.
-- @param builder of data/sequences.lua
function M.warn_of_cut(job, path, builder, count)
    if builder.cut == 0 then return end
    job.run.warnings[#job.run.warnings + 1] = ("%s: max_seq_length %d cuts off the end of %d of %s"):format(path,
        job.values.max_seq_length, builder.cut, plural.count(count, "text"))
end

--- Run the job's model over sequences, with a bar.
-- @param visit called with each batch and its logits as a 0-based f32 array, row after row
-- @param tick(done, total) instead of the bar: where it returns true, that was the last batch
-- @return totals of inference.run
function M.infer(job, set, visit, tick)
    local values = job.values
    local bar = not tick and progress.new { total = set.count, label = "predict", unit = "texts" }
    local totals = inference.run(job.parts.model, job.parts.tape, set, {
        batch_size = values.predict_batch_size, pack_sequences = values.pack_sequences, cuda_graph = values.cuda_graph,
        on_batch = function(done)
            if tick then return tick(done, set.count) end
            bar:update(done)
        end,
    }, function(batch, logits) visit(batch, array.wrap(logits)) end)
    if bar then bar:finish() end
    return totals
end

--- Evaluate on dev_file and test_file, as a task's `predict`: writes eval.json and predictions.jsonl.
-- @param measure function(part: "dev" or "test") -> metrics {name = number, or a table for eval.json alone},
--   predictions: list of tables, order of their fields, totals of inference.run
function M.evaluate(job, outcome, measure)
    local figures, last = {}, nil
    for _, part in ipairs { "dev", "test" } do
        if job.values[M.FILES[part]] then
            local metrics, predictions, order, totals = measure(part)
            figures[part], outcome.metrics, outcome.measured = metrics, {}, part
            for name, value in pairs(metrics) do
                if type(value) == "number" then outcome.metrics[name] = value end
            end
            outcome.prediction, last = totals, { predictions, order }
        end
    end
    outcome.prediction.file = M.write(job, "predictions.jsonl", unpack(last))
    M.write(job, "eval.json", { figures }, { "dev", "test" })
end

--- The parts of a task's declaration that evaluate: in training, and after it.
-- @param of what the files hold, for messages: "labeled texts"
-- @param load function(job, path) -> a file, as in job.data.sets
-- @param measure function(job, part) as in evaluate()
-- @param own what the task says of its evaluation: run, metric, metrics, usual
-- @return evaluation, predict, inference: see task.lua
function M.evaluated(of, load, measure, own)
    local evaluation = {
        fields = { "dev_file" },
        plan = function(run, values, evaluate)
            local path = evaluate.dev_file or values.dev_file
            if not path then
                fault.raisef("evaluate: no dev_file: name a file of %s, here or as --dev-file", of)
            elseif not fs.is_file(path) then
                fault.raisef("evaluate: dev_file %s: no such file", path)
            end
            if values.train_file and path ~= values.dev_file then
                leaks.warn_of_files(run, { values.train_file }, "evaluate: dev_file " .. path, { path })
            end
            evaluate.dev_file = path
        end,
        open = function(job)
            local path = job.run.evaluate.dev_file
            return path == job.values.dev_file and job.data.sets.dev or load(job, path)
        end,
        close = function() end,
    }
    for name, value in pairs(own) do evaluation[name] = value end
    local function predict(job, outcome)
        M.evaluate(job, outcome, function(part) return measure(job, part) end)
    end
    return evaluation, predict, function(job) return (job.data.sets.test or job.data.sets.dev).set end
end

--- Write a file of results into OUTPUT_DIR; an earlier one that differs is kept, and told.
-- @param list of tables, one per line
-- @param order of their fields
-- @return its path
function M.write(job, name, list, order)
    local lines, path = {}, fs.join(job.run.results_dir, name)
    for i, record in ipairs(list) do lines[i] = json.encode(record, { order = order }) end
    fault.check(fs.mkdirs(job.run.results_dir))
    local written, kept = aside.write(path, table.concat(lines, "\n") .. "\n")
    fault.check(written, kept)
    if kept then term.warn(("%s of an earlier run differs: kept as %s"):format(path, kept)) end
    return path
end

return M
