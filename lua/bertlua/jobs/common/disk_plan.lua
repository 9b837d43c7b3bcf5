--- Will it fit on the disk? The checkpoints of a training run, whose sizes are known before its first step, and the
-- room that there is for them. It is an estimate: other programs write as well, quotas are not seen, and some file
-- systems compress.

local checkpoint = require "bertlua.train.checkpoint"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local memory_plan = require "bertlua.jobs.common.memory_plan"
local plural = require "bertlua.util.plural"
local storage = require "bertlua.storage"

local M = {}

local function bytes_text(bytes)
    -- The small models of specs and trials.
    return bytes < 2 ^ 20 and ("%.1f KiB"):format(bytes / 2 ^ 10) or memory_plan.gib(bytes)
end

--- Checkpoints that a run writes: every so many steps, and at its end.
local function saves(first, last, every)
    if first > last then return 0 end
    return math.floor(last / every) - math.floor((first - 1) / every) + (last % every == 0 and 0 or 1)
end

--- Bytes that a run adds to its folder at most, and those of one checkpoint: parameters in f32, and two moments of what
-- is trained.
-- @param store of the model, allocated
-- @param plan first_step, last_step; every: steps between checkpoints; best: whether the best is kept besides the
--   newest; exports: whether the model is written once more at the end; present: checkpoints there already
-- @return bytes at most, bytes of a checkpoint, checkpoints that this run adds at a time
function M.needed(store, plan)
    local model = 4 * store.numel
    local each = model + 8 * store:trained_numel()
    local count = saves(plan.first_step, plan.last_step, plan.every)
    if count == 0 then return 0, each, 0 end
    local kept = checkpoint.KEEP + (plan.best and 1 or 0)
    -- An old one goes when the new one is whole.
    local added = math.max(1, math.min(count, kept + 1 - plan.present))
    local at_end = math.max(0, math.min(count, kept - plan.present)) * each + (plan.exports and model or 0)
    return math.max(added * each, at_end), each, added
end

--- Bytes that are free for a folder, which may not be there yet; nil where the system does not tell, as file systems do
-- that have no such figure, and say 0.
local function free_for(folder)
    while not fs.is_directory(folder) do
        local parent = fs.dirname(folder)
        if parent == folder then return nil end
        folder = parent
    end
    local free = storage.free_bytes(folder)
    return free and free > 0 and free or nil
end

--- Warn of a disk that the run's checkpoints will fill; a fault if there is not room for one.
-- @param job of the runner, whose parts are built
function M.check(job)
    local run, values, store = job.run, job.values, job.parts.model.store
    if not run.work.train or values.benchmark then return end
    local free = free_for(run.checkpoint_dir)
    if not free then return end
    local present = #checkpoint.steps(run.checkpoint_dir)
    local most, each, added = M.needed(store, { first_step = run.first_step, last_step = run.last_step,
        every = values.num_steps_per_checkpoint, best = run.evaluation and run.evaluation.kept,
        exports = job.task.exports, present = present })
    if most <= free then return end
    local where = ("%s: %s free"):format(run.checkpoint_dir, bytes_text(free))
    if each > free then
        fault.raisef("%s, but a checkpoint takes %s: make room, or name another --output-dir", where, bytes_text(each))
    end
    run.warnings[#run.warnings + 1] = ("%s, but this run will need %s at a time, for %s of %s%s: make room, or it ends "
        .. "when the disk is full"):format(where, bytes_text(most), plural.count(added, "checkpoint"), bytes_text(each),
        job.task.exports and " and its model" or "")
end

return M
