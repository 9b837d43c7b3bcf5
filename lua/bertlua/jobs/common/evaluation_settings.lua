--- Evaluation while fine-tuning as plain settings, under the names of transformers' TrainingArguments. They come to the
-- table of a recipe's `evaluate`: what it does, and what is wrong with it, is evaluating.lua's.

local fault = require "bertlua.fault"

local M = {}

--- The settings, as a group of jobs/common/settings.lua.
M.SETTINGS = { "Training", {
    { name = "eval_steps", type = "choice", choices = { "epoch" }, or_integer = true,
        help = "evaluate every so many steps, or after each epoch, while training; unset: epoch with "
            .. "load_best_model_at_end or early_stopping_patience, else only at the end" },
    { name = "metric_for_best_model", type = "string", evaluated = true,
        help = "the figure of an evaluation that says which one is the best; unset: the task's (accuracy, F1)" },
    { name = "load_best_model_at_end", type = "boolean", evaluated = true, default = false,
        help = "keep the checkpoint of the best evaluation, and end with its model" },
    { name = "early_stopping_patience", type = "integer", evaluated = true, min = 1,
        help = "end after so many evaluations in a row without a better one; unset: never" },
} }

--- The option of the first of these settings that is given, or nil.
local function given_of(values)
    for _, setting in ipairs(M.SETTINGS[2]) do
        if values[setting.name] then return "--" .. setting.name:gsub("_", "-") end
    end
    return nil
end

--- The table that says how a run evaluates while it trains.
-- @param values resolved settings
-- @param trains whether the run trains at all: one that only evaluates has no use for these settings
-- @return that of `evaluate`, or the one that the plain settings come to; nil without either
function M.table_of(values, trains)
    local given = given_of(values)
    if not given or not trains then return values.evaluate end
    if values.evaluate then
        fault.raisef("%s and evaluate, the recipe's table, are both set: give one of them (--evaluate none drops the "
            .. "table)", given)
    end
    local every = values.eval_steps
    if not every and not values.load_best_model_at_end and not values.early_stopping_patience then
        fault.raisef("%s chooses nothing by itself: add --eval-steps, --load-best-model-at-end or "
            .. "--early-stopping-patience", given)
    end
    if every and every ~= "epoch" and every < 1 then
        fault.raisef("--eval-steps: got %d, expected an integer of at least 1, or epoch", every)
    end
    return { every = every or "epoch", metric = values.metric_for_best_model,
        keep = values.load_best_model_at_end and "best" or nil, patience = values.early_stopping_patience }
end

return M
