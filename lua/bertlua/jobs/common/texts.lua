--- What tasks over files of texts share: which parts of a run their files ask for, batches to train on, inference with
-- a bar, results as JSON lines.

local array = require "bertlua.array"
local aside = require "bertlua.util.aside"
local context = require "bertlua.context"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local inference = require "bertlua.train.inference"
local json = require "bertlua.util.json"
local own_data = require "bertlua.jobs.common.own_data"
local plural = require "bertlua.util.plural"
local progress = require "bertlua.util.progress"
local sequences = require "bertlua.data.sequences"
local term = require "bertlua.util.term"

local M = {}

--- The setting of each part's file.
M.FILES = { train = "train_file", evaluate = "dev_file", predict = "predict_file" }

--- The parts of a run are those whose file is named (see `plan` in task.lua).
function M.plan(run, values)
    own_data.check(values, "train_file")
    run.work = { train = values.data and true }
    for part, setting in pairs(M.FILES) do
        local path = values[setting]
        if path and not fs.is_file(path) then fault.raisef("--%s %s: no such file", setting:gsub("_", "-"), path) end
        run.work[part] = run.work[part] or path and true
    end
    if not next(run.work) then fault.raise("nothing to do: give a --train-file, --dev-file or --predict-file") end
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

--- Write a file of results into the job's folder; an earlier one that differs is kept, and told.
-- @param list of tables, one per line
-- @param order of their fields
-- @return its path
function M.write(job, name, list, order)
    local lines, path = {}, fs.join(job.run.checkpoint_dir, name)
    for i, record in ipairs(list) do lines[i] = json.encode(record, { order = order }) end
    fault.check(fs.mkdirs(job.run.checkpoint_dir))
    local written, kept = aside.write(path, table.concat(lines, "\n") .. "\n")
    fault.check(written, kept)
    if kept then term.warn(("%s of an earlier run differs: kept as %s"):format(path, kept)) end
    return path
end

return M
