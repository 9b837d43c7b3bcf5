--- What a SQuAD run will do: which of train, predict and evaluate, on which
-- files. The rules between SQuAD's own settings live here; those that all tasks
-- have in jobs/common/plan.lua, what a single setting accepts in settings.lua.

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local published = require "bertlua.squad.published"

local M = {}

local MODES = {
    train = { train = true },
    prediction = { predict = true },
    eval = { predict = true, evaluate = true },
    train_eval = { train = true, predict = true, evaluate = true },
}
local FLAGS = { do_train = "train", do_predict = "predict", do_eval = "evaluate" }

--- What to do: {train=, predict=, evaluate=}.
-- The command line's mode or do_ flags count before those of the recipe.
local function work_of(values, sources)
    local flags, any, from_command_line = {}, false, false
    for name, part in pairs(FLAGS) do
        if values[name] then flags[part], any = true, true end
        from_command_line = from_command_line or sources[name] == "command line"
    end
    local mode = values.mode and MODES[values.mode]
    if mode and any then
        local same = true
        for _, part in pairs(FLAGS) do same = same and (mode[part] or false) == (flags[part] or false) end
        if not same and from_command_line == (sources.mode == "command line") then
            fault.raisef("--mode %s contradicts the --do-train, --do-predict, --do-eval given: use one or "
                .. "the other", values.mode)
        end
        return from_command_line and flags or mode
    end
    if mode then return mode end
    if any then return flags end
    fault.raise("nothing to do: set --mode train, eval, prediction or train_eval")
end

--- A data file: as set, else the published one, which is downloaded if it is not there.
local function data_file(run, values, name, kind)
    local path = values[name] or published.path(kind, values.version_2_with_negative)
    if fs.is_file(path) then return path end
    if not published.is_missing(path) then
        fault.raisef("--%s %s: no such file; leave the option out, or end it in %s, to download the published file",
            name:gsub("_", "-"), path, fs.basename(published.path(kind, values.version_2_with_negative)))
    end
    run.downloads[#run.downloads + 1] = path
    return path
end

--- The SQuAD part of a plan (see jobs/common/task.lua).
-- @param run gets work, train_file, predict_file, downloads = paths of those to fetch first
-- @param values resolved settings
-- @param sources where each came from
function M.make(run, values, sources)
    local work = work_of(values, sources)
    run.work, run.downloads = work, {}
    if work.evaluate and not work.predict then
        fault.raise("--do-eval needs --do-predict: it measures the answers of this run; for a predictions.json use "
            .. "recipes/evaluate_squad.lua")
    end
    run.train_file = work.train and data_file(run, values, "train_file", "train") or nil
    run.predict_file = work.predict and data_file(run, values, "predict_file", "dev") or nil
    if values.eval_script and not fs.is_file(values.eval_script) then
        fault.raisef("--eval-script %s: no such file", values.eval_script)
    end
end

--- Fetch the published files that are missing.
function M.download(run, values)
    for _, path in ipairs(run.downloads) do published.fetch(path, values.squad_url) end
end

return M
