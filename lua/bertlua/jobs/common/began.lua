--- What a run began with, and what a run that resumes says about differences. progress.json of each checkpoint holds it
-- as `began`:
--
--     settings  by name: all but those whose declaration says why they change nothing of the result (`passing`);
--               as they took effect (run.effective); functions by a checksum of their source
--     config    the model's configuration
--     data      files that are trained and evaluated on (data_files.lua)
--     origin    the parameters it began from (origin.lua)
--     amp       whether mixed precision was asked for: settings.precision is what that came to (precision.lua)
--     phase     of the task; features: samples per epoch
--     dropout_bits  random bits that an element's dropout takes: with it the masks change
--
-- One rule. Refused is what would make the checkpoint another model's: other parameters to begin from, settings
-- declared `fixed`, fields of the configuration (but those of DRAWN). All else is told, one line a difference: "beta1
-- was 0.9 in FOLDER/6 and is 0.8 now". The vocabulary, its casing, the optimizer's kind and the
-- tensors' shapes are compared by checkpoint.load; what a recipe's function yields, by own_data.lua. What only changes
-- the order of sums (`rounding` in the declaration: the number of processes or threads, the device, kernels) is a note,
-- not a warning.
--
-- A checkpoint holds what its own run had, so a difference is told once: by the run that changed it.

local checkpoint = require "bertlua.train.checkpoint"
local data_files = require "bertlua.jobs.common.data_files"
local fault = require "bertlua.fault"
local json = require "bertlua.util.json"
local lua_value = require "bertlua.util.lua_value"
local model_choice = require "bertlua.jobs.common.model_choice"

local M = {}

-- Fields of a configuration that only draw random numbers: a run may go on with others.
local DRAWN = { hidden_dropout_prob = true, attention_probs_dropout_prob = true, classifier_dropout = true,
    initializer_range = true }

-- core/dropout.h; checkpoints that do not hold it are of versions that took a whole word.
local DROPOUT_BITS, FORMER_DROPOUT_BITS = 16, 32

-- Checkpoints of older versions have no `began`: some settings stood in progress.json itself, some in settings.json.
-- Of these, only what differed from the default.
local SPARSE = { model = true, loss = true, freeze = true, lr_scale = true, weight_decay_of = true, objectives = true }
local FORMER_NAMES = { loss = "loss_function" }
-- Those that settings.json left out where they were not set.
local UNSET = { schedule_power = true, decay_proportion = true }

local GOES_ON = ": the run will differ from one that never stopped"
local ROUNDS = ": sums are added in another order, so the run will differ in rounding"
local IS_DONE = ": nothing is trained with it, as all steps are done"

--- Whether a run that resumes must know of another value.
-- @param setting declaration
-- @param run plan
function M.is_recorded(setting, run)
    return not setting.passing and (not setting.evaluated or run.evaluate ~= nil)
end

local function value_of(run, values, name)
    local value = run.effective[name]
    if value == nil then value = values[name] end
    return lua_value.identity(value)
end

local function settings_of(task, run, values)
    local list = {}
    for _, setting in ipairs(task.settings.list) do
        if M.is_recorded(setting, run) then list[setting.name] = value_of(run, values, setting.name) end
    end
    return list
end

--- A configuration as values by field; tables as text.
local function config_of(config, with_labels)
    local list = {}
    for name, value in pairs(config:to_table(with_labels)) do
        -- One label a text is what a model without problem_type has, as those of older versions are.
        local same = name == "label2id" or value == "single_label_classification"
        if not same then list[name] = lua_value.identity(value) end
    end
    return list
end

--- The record of a job, for its checkpoints. On rank 0, which alone has all of it.
-- @param job of the runner; data opened and parts built
-- @return table
function M.of(job)
    local run = job.run
    return { settings = settings_of(job.task, run, job.values), data = data_files.of(job), origin = run.origin,
        config = config_of(job.data.config, job.parts.model.store.labeled), phase = run.phase, features = run.features,
        amp = run.amp, dropout_bits = DROPOUT_BITS }
end

local function shown(value)
    if value == nil then return "not set" end
    return tostring(value)
end

local function change(name, was, path, is)
    return ("%s was %s in %s and is %s now"):format(name, shown(was), path, shown(is))
end

--- What a checkpoint of an older version says about settings.
-- @return settings by name; set of names of those that it says nothing about
local function former_settings(task, path, progress)
    local settings, missing, more = {}, {}, json.read(path .. "/settings.json")
    local has_more = type(more) == "table"
    for _, setting in ipairs(task.settings.list) do
        local name = setting.name
        local value = progress[FORMER_NAMES[name] or name]
        if value == nil and has_more then value = more[name] end
        settings[name] = value
        missing[name] = value == nil and not SPARSE[name] and not (has_more and UNSET[name]) or nil
    end
    return settings, missing
end

--- What a checkpoint recorded, of whatever version it is.
-- @return record; for an older version, the names of settings that it lacks
local function record_of(task, path)
    local progress = checkpoint.progress(path)
    if type(progress.began) == "table" then return progress.began, nil end
    local settings, missing = former_settings(task, path, progress)
    return { settings = settings, phase = progress.phase, features = progress.features }, missing
end

--- The precision of the run that left a checkpoint, where that run asked for mixed precision.
-- @param task of task.define()
-- @param path of the checkpoint
-- @return "fp32", "bf16" or "fp16"; nil if it did not ask for it
function M.mixed_precision(task, path)
    local record = record_of(task, path)
    local recorded = record.settings.precision
    -- Those of older versions, which do not hold what was asked for, computed in it wherever it was.
    if record.amp or recorded == "bf16" or recorded == "fp16" then return recorded end
end

--- Lines about settings that differ; a fault for one that is fixed.
-- @param missing names of those that are not compared, or nil
local function compare_settings(job, before, missing)
    local run, lines, path = job.run, {}, job.run.start.path
    local now = settings_of(job.task, run, job.values)
    for _, setting in ipairs(job.task.settings.list) do
        local name = setting.name
        local was, is = before.settings[name], now[name]
        -- One that did not exist yet did what its default does; what that came to on a machine is not known any more.
        if was == nil then
            local unknown = setting.rounding and run.effective[name] ~= nil
            if unknown then was = is else was = setting.default end
        end
        if M.is_recorded(setting, run) and not (missing and missing[name]) and was ~= is then
            local text = change(name, was, path, is)
            if setting.fixed then
                fault.raisef("%s: set it as it was, or start a new run with --from-pretrained-params %s", text, path)
            end
            if setting.rounding then text = text .. ROUNDS end
            table.insert(setting.rounding and run.notes or lines, text)
        end
    end
    return lines
end

local function compare_config(lines, before, now, path)
    local names = {}
    for name in pairs(now) do names[#names + 1] = name end
    for name in pairs(before) do
        if now[name] == nil then names[#names + 1] = name end
    end
    table.sort(names)
    for _, name in ipairs(names) do
        if before[name] ~= now[name] then
            local text = change(name, before[name], path, now[name])
            if not DRAWN[name] then
                fault.raisef("%s: use the configuration that it began with, or begin a new run in another "
                    .. "--output-dir", text)
            end
            lines[#lines + 1] = text
        end
    end
end

--- Whether the model drops anything, as far as is known: a recipe's own may.
local function drops(job, config)
    if model_choice.is_own(job.values) then return true end
    for _, name in ipairs { "hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout" } do
        if (config[name] or 0) ~= 0 then return true end
    end
    return false
end

local function warn(run, lines, consequence)
    for _, text in ipairs(lines) do run.warnings[#run.warnings + 1] = text .. consequence end
end

--- Compare a job that resumes with what its run began with: warnings for what differs, a fault for what is refused.
-- @param job of the runner; data opened, parts built
-- @param now of M.of()
-- @param is_done whether no step is left
function M.compare(job, now, is_done)
    local run = job.run
    if not run.work.train or run.start.kind ~= "resume" then return end
    local path, before, missing = run.start.path, record_of(job.task, run.start.path)
    local lines = compare_settings(job, before, missing)
    if before.phase and before.phase ~= now.phase then
        lines[#lines + 1] = change("phase", before.phase, path, now.phase)
    end
    if before.config then compare_config(lines, before.config, now.config, path) end
    local bits = before.dropout_bits or FORMER_DROPOUT_BITS
    if bits ~= now.dropout_bits and drops(job, now.config) then
        lines[#lines + 1] = ("dropout took %d random bits an element in %s and takes %d now"):format(bits, path,
            now.dropout_bits)
    end
    local data = before.data or {}
    local same_file = data.train_file and now.data.train_file
        and not data_files.difference(data.train_file, now.data.train_file, path)
    if before.features and now.features and before.features ~= now.features and not same_file then
        lines[#lines + 1] = change("features", before.features, path, now.features)
    end
    if missing then
        run.notes[#run.notes + 1] = ("%s is of an older version, which did not record all of what a run began with: "
            .. "data and parameters are not compared"):format(path)
    else
        for _, name in ipairs { "input_dir", "train_file", "evaluate" } do
            -- That a run evaluates at all is a setting.
            local both = name ~= "evaluate" or data[name] and now.data[name]
            local text = both and data_files.difference(data[name], now.data[name], path)
            if text then lines[#lines + 1] = name .. " " .. text end
        end
    end
    warn(run, lines, is_done and IS_DONE or GOES_ON)
end

--- The same for a run that has nothing left to do and opens no data: its settings, and where its data are.
function M.compare_settings(job)
    local run, values = job.run, job.values
    local path, before, missing = run.start.path, record_of(job.task, run.start.path)
    missing = missing or {}
    -- What identifies a recipe's own model shows only when it is built.
    missing.model = missing.model or model_choice.is_own(values)
    local lines = compare_settings(job, before, missing)
    for name, record in pairs(before.data or {}) do
        if values[name] and type(values[name]) == "string" and values[name] ~= record.path then
            lines[#lines + 1] = change(name, record.path, path, values[name])
        end
    end
    warn(run, lines, IS_DONE)
end

return M
