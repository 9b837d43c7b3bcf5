--- Functions of a recipe that are called while it runs: on_step, on_checkpoint, on_evaluate. Rank 0 calls them, after
-- what they are told of has happened.
--
-- An event is a table: step; metrics, {name = number}: of the step, or of the evaluation; path, of the checkpoint;
-- model; tokenizer (nil where the job has none); run: the plan; log(name, number): a value for the report and for
-- TensorBoard; note(text): a line in the log for people.

local fault = require "bertlua.fault"
local lua_value = require "bertlua.util.lua_value"

local M = {}

local NAMES = { "on_step", "on_checkpoint", "on_evaluate" }

--- The function of a setting and its interval: { every = 100, function(event) ... end }, or the function alone.
local function read(name, value)
    if type(value) == "function" then return value, 1 end
    local fn, every = value[1], value.every or 1
    for key in pairs(value) do
        if key ~= 1 and key ~= "every" then
            fault.raisef("%s: unknown field %s, expected { every = N, function(event) ... end }", name, tostring(key))
        end
    end
    if type(fn) ~= "function" or type(every) ~= "number" or every < 1 or every % 1 ~= 0 then
        fault.raisef("%s: got %s, expected a function, or { every = N, function(event) ... end }", name,
            lua_value.shown(value))
    end
    return fn, every
end

--- Check a job's callbacks; a fault for one that is none.
function M.check(values)
    for _, name in ipairs(NAMES) do
        if values[name] then read(name, values[name]) end
    end
end

--- Say which of a job's functions this run will not call.
-- @param run plan, with what evaluating.plan() completed; gets warnings
function M.warn(values, run)
    local warnings = run.warnings
    if values.benchmark then
        for _, name in ipairs(NAMES) do
            if values[name] then
                warnings[#warnings + 1] = ("benchmark mode calls no functions of a recipe: %s is ignored"):format(name)
            end
        end
    elseif values.on_evaluate and not run.evaluate and not run.work.evaluate then
        warnings[#warnings + 1] = "this run makes no evaluation, as evaluate is not set: on_evaluate is not called"
    end
end

--- Call a job's function, if it has one and its turn has come.
-- @param job of the runner, with log and parts
-- @param name on_step, on_checkpoint or on_evaluate
-- @param step
-- @param fields of the event
function M.call(job, name, step, fields)
    local value = job.values[name]
    if not value or not job.ranks.main then return end
    local fn, every = read(name, value)
    if name == "on_step" and step % every ~= 0 then return end
    local event = { step = step, model = job.parts.model, tokenizer = job.data.words, run = job.run }
    for key, field in pairs(fields) do event[key] = field end
    -- A copy: what the function changes is not what the log and progress.json say.
    event.metrics = {}
    for key, number in pairs(fields.metrics or {}) do event.metrics[key] = number end
    function event.log(key, number)
        if type(key) ~= "string" or type(number) ~= "number" then
            error(("event.log: got %s and %s, expected a name and a number"):format(type(key), type(number)), 2)
        end
        job.log:scalar(step, key, number)
    end
    function event.note(text)
        job.log:note(tostring(text))
    end
    lua_value.call(("%s, step %d"):format(name, step), fn, event)
end

return M
