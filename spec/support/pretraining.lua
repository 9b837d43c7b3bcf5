--- A tiny pre-training job for specs: shards, vocabulary, config and the real executable.

local base = require "spec.support.job"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local shards = require "spec.support.shards"

local M = { BINARY = base.BINARY, shell = base.shell }

local LENGTH, SLOTS, SAMPLES, WORDS = 16, 3, 24, 200

local Job = base.class { words = WORDS, length = LENGTH }

--- Make the files of a job in a fresh folder.
function M.new()
    local self = Job:make("pretraining", { shards = "shards" })
    assert(fs.mkdirs(self.shards))
    for i = 1, 2 do
        shards.write(("%s/s_training_%d.hdf5"):format(self.shards, i),
            shards.values(SAMPLES, LENGTH, SLOTS, (i - 1) * SAMPLES))
    end
    return self
end

--- A folder with one shard made from the valid one by change(values) and the writer's change.
function Job:broken_shard(name, change_values, change_writer)
    local folder = self.dir .. "/" .. name
    assert(fs.mkdirs(folder))
    local values = shards.values(SAMPLES, LENGTH, SLOTS)
    if change_values then change_values(values) end
    shards.write(folder .. "/s_training_0.hdf5", values, change_writer)
    return folder
end

--- Command line of a recipe with this job's files; `changes` sets options by name (false: leave the option out).
function Job:command(recipe, changes)
    return self:command_line(recipe, {
        ["input-dir"] = self.shards, ["batch-size"] = 4, ["gradient-merge-steps"] = 1, ["max-steps"] = 4,
        ["max-predictions-per-seq"] = SLOTS, amp = "false", ["scale-loss"] = 1, ["use-dynamic-loss-scaling"] = "false",
        ["last-step-of-checkpoint"] = "none",
    }, changes)
end

--- Run a recipe of this job to its end.
function Job:run(recipe, changes, prefix)
    return M.shell((prefix or "") .. self:command(recipe, changes))
end

--- Values by step as in the report file; the last record of a step counts.
function Job:losses(path)
    local by_step = {}
    for line in io.lines(path or self.dir .. "/report.json") do
        local record = json.decode(line:match "^DLLL (.*)$")
        if record.type == "LOG" and type(record.step) == "number" then
            by_step[record.step] = { loss = record.data.loss, mlm = record.data.mlm_loss, nsp = record.data.nsp_loss,
                grad_norm = record.data.grad_norm, learning_rate = record.data.learning_rate }
        end
    end
    return by_step
end

return M
