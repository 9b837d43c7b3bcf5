--- Both phases of pre-training, one after the other.
--
-- The phases share most settings; those that differ exist once per phase, with
-- the prefix phase1_ or phase2_. --phase1 or --phase2 runs only that phase.

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local plan = require "bertlua.jobs.common.plan"
local pretraining = require "bertlua.jobs.pretrain.settings"
local runner = require "bertlua.jobs.common.runner"
local settings = require "bertlua.settings"
local task = require "bertlua.jobs.pretrain.task"

local M = {}

-- Settings that the phases do not share.
local OWN = { "input_dir", "max_steps", "steps_this_run", "num_steps_per_checkpoint", "gradient_merge_steps",
    "learning_rate", "warmup_proportion", "max_seq_length", "batch_size", "max_predictions_per_seq", "evaluate" }
-- Settings that make no sense over two phases.
local LEFT_OUT = { from_checkpoint = true, from_phase1_final_params = true }
local PHASES = { "phase1", "phase2" }

local is_own = {}
for _, name in ipairs(OWN) do is_own[name] = true end

--- The settings of a run over both phases.
function M.spec()
    local list = {}
    for _, setting in ipairs(pretraining.list) do
        if not is_own[setting.name] and not LEFT_OUT[setting.name] then list[#list + 1] = setting end
    end
    for number, phase in ipairs(PHASES) do
        for _, name in ipairs(OWN) do
            local copy = {}
            for key, value in pairs(pretraining.by_name[name]) do copy[key] = value end
            copy.name, copy.group = phase .. "_" .. name, "Phase " .. number
            list[#list + 1] = copy
        end
    end
    return settings.define(list)
end

--- { common, phase1, phase2 } as one table with prefixes.
function M.flatten(groups)
    local flat = {}
    for name, value in pairs(groups.common or {}) do flat[name] = value end
    for _, phase in ipairs(PHASES) do
        for name, value in pairs(groups[phase] or {}) do flat[phase .. "_" .. name] = value end
    end
    return flat
end

--- The settings of one phase, and where they came from.
function M.select(values, sources, phase)
    local own, own_sources = {}, {}
    for _, setting in ipairs(pretraining.list) do
        local name = setting.name
        local key = is_own[name] and phase .. "_" .. name or name
        if not LEFT_OUT[name] then own[name], own_sources[name] = values[key], sources[key] end
    end
    own.phase1, own.phase2 = phase == "phase1", phase == "phase2"
    return own, own_sources
end

--- Check both phases' files, before phase 1 spends days training.
local function check(values, sources)
    for _, phase in ipairs(PHASES) do
        local name = phase .. "_input_dir"
        if not values.data then plan.need(values, name, "name the folder that holds the HDF5 shards") end
        if not values.benchmark then
            plan.need(values, phase .. "_max_steps", "give the number of updates in the schedule")
        end
        if not (values.data or fs.is_directory(values[name])) then
            fault.raisef("--%s %s: no such folder", name:gsub("_", "-"), values[name])
        end
        runner.check(task, M.select(values, sources, phase))
    end
end

--- Run the phases.
-- @param values, sources of spec():parse()
-- @param options as in logs.open
-- @return outcome of the last phase that ran, with `first`, the outcome of phase 1
function M.run(values, sources, options)
    if values.phase1 and values.phase2 then
        fault.raise("--phase1 and --phase2 are both set: leave out both to run one after the other")
    end
    if not values.phase1 and not values.phase2 then check(values, sources) end
    local first
    if not values.phase2 then
        local own, own_sources = M.select(values, sources, "phase1")
        first = runner.run(task, own, own_sources, options)
        if first.status == "interrupted" or values.phase1 then return first end
        local ended = first.step >= values.phase1_max_steps or first.plan.ended_early
        if values.phase1_steps_this_run and not ended then return first end
    end
    local own, own_sources = M.select(values, sources, "phase2")
    if not values.benchmark and (first or not own.from_pretrained_params) then
        own.from_pretrained_params, own.from_phase1_final_params = nil, "auto"
    end
    -- A report that is named is one for both phases.
    local outcome = runner.run(task, own, own_sources, { bar = options and options.bar,
        append = own.report_file ~= nil })
    outcome.first = first
    return outcome
end

return M
