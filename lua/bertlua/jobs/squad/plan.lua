--- What a SQuAD run will do: which of train, predict and evaluate, on which
-- files. Rules that relate SQuAD's own settings live here; those of all tasks in
-- jobs/common/plan.lua, and what a single setting accepts in settings.lua.

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local leaks = require "bertlua.jobs.common.leaks"
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
-- The command line's mode or do_ flags take precedence over the recipe's.
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
            fault.raisef("--mode %s contradicts the given --do-train, --do-predict, --do-eval: use one or "
                .. "the other", values.mode)
        end
        return from_command_line and flags or mode
    end
    if mode then return mode end
    if any then return flags end
    fault.raise("nothing to do: set --mode train, eval, prediction or train_eval")
end

--- A data file: as set, else the published one, which is downloaded if it is missing.
-- @param run with downloads
-- @param name of the setting
-- @param kind "train" or "dev"
function M.data_file(run, values, name, kind)
    local path = values[name] or published.path(kind, values.version_2_with_negative)
    if fs.is_file(path) then return path end
    if not published.is_missing(path) then
        fault.raisef("--%s %s: no such file; leave out the option, or name it %s, to download the published file",
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
        fault.raise("--do-eval requires --do-predict: it evaluates the answers of this run; for a predictions.json use "
            .. "`bertlua evaluate_squad`")
    end
    run.train_file = work.train and M.data_file(run, values, "train_file", "train") or nil
    run.predict_file = work.predict and M.data_file(run, values, "predict_file", "dev") or nil
    if run.train_file and run.predict_file then
        leaks.warn_of_files(run, { run.train_file }, "--predict-file " .. run.predict_file, { run.predict_file })
    end
    if values.eval_script and not fs.is_file(values.eval_script) then
        fault.raisef("--eval-script %s: no such file", values.eval_script)
    end
end

--- Fetch the published files that are missing.
function M.download(run, values)
    for _, path in ipairs(run.downloads) do published.fetch(path, values.squad_url) end
end

return M
