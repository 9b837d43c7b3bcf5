--- The head of a model that was already fine-tuned, where a run starts from its parameters: it goes on if it scores the
-- run's labels, else the head begins anew and a line says so.

local BertConfig = require "bertlua.models.bert_config"
local fault = require "bertlua.fault"
local folder = require "bertlua.weights.folder"
local fs = require "bertlua.util.fs"
local heads = require "bertlua.weights.heads"
local problems = require "bertlua.jobs.classify.problems"
local weights = require "bertlua.train.weights"

local M = {}

local SHOWN = 4

local function listed(names)
    return table.concat(names, ", ", 1, math.min(#names, SHOWN)) .. (#names > SHOWN and ", ..." or "")
end

--- Whether nobody has named the labels.
local function are_plain(names)
    for i, name in ipairs(names) do
        if name ~= "LABEL_" .. i - 1 then return false end
    end
    return true
end

local function same_set(a, b)
    local set = {}
    for _, name in ipairs(a) do set[name] = true end
    for _, name in ipairs(b) do
        if not set[name] then return false end
    end
    return #a == #b
end

--- Why a head cannot go on; nil if it can.
-- @param found of weights/heads.lua
-- @param config of the model, or nil
local function problem_of(found, config, kind, names)
    local other = found.tags and "BertForTokenClassification" or found.unknown
    if other then return ("its head is that of a %s"):format(other) end
    if found.labels ~= #names then
        return ("its head scores %d labels, and this run has %d"):format(found.labels, #names)
    end
    local was_number = config and (config.problem_type == problems.REGRESSION
        or not config.problem_type and found.labels == 1)
    if was_number ~= nil and was_number ~= (kind == problems.REGRESSION) then
        return ("its head gives %s, and this run %s"):format(was_number and "numbers" or "labels",
            was_number and "labels" or "numbers")
    end
    local theirs = config and config.labels
    if kind == problems.REGRESSION or not theirs or #theirs ~= #names or are_plain(theirs) then return nil end
    return not same_set(theirs, names) and ("its head has the labels %s, and this run %s"):format(listed(theirs),
        listed(names)) or nil
end

--- What becomes of the head that a run starts with.
-- @param run plan
-- @param values settings
-- @param kind of problem
-- @param names labels of the run's data
-- @return names, in the order of the head that goes on; patterns of parameters that are not read, or nil; why not
function M.settle(run, values, kind, names)
    if not run.start or run.start.kind ~= "parameters" or not run.work.train then return names end
    local home, file = folder.find(run.start.path, values.model_prefix)
    if not home then return names end
    local saved = folder.read_json(home, "config.json")
    local opened = weights.open(file)
    local found = heads.of(opened, heads.class_of(saved))
    opened:close()
    if not found.labels and not found.tags and not found.unknown then return names end
    -- Whatever else is wrong with it, loading the parameters says.
    local good, config = pcall(BertConfig.load, fs.join(home, "config.json"))
    if not good and not fault.is(config) then error(config, 0) end
    config = good and config or nil
    local problem = problem_of(found, config, kind, names)
    if problem then
        return names, { "^classifier%." }, ("%s: %s: the head is newly initialized"):format(run.start.path, problem)
    end
    local theirs = config and config.labels
    if kind ~= problems.REGRESSION and theirs and #theirs == #names and not are_plain(theirs) then names = theirs end
    return names
end

return M
