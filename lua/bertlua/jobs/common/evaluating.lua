--- Evaluation while training: `evaluate = { every = 500, metric = "mlm_loss", keep = "best", patience = 3 }`; of
-- fine-tuning also as plain settings, see evaluation_settings.lua.
--
-- What is measured, and on which files, is the task's matter (`evaluation` in
-- task.lua). Here: when to evaluate, what is the best so far, when a run that no
-- longer improves ends, and the model it ends with.
--
-- An evaluation runs on rank 0, while the others wait, so its figures do not
-- depend on the number of processes; all of them then learn the outcome. It
-- draws no random numbers and reads its own batches, so training goes on as if
-- it had not happened. The state below is part of progress.json: a run that is
-- stopped anywhere and resumed equals one that never stopped. An evaluation that
-- a signal prevented is made up for by the run that resumes.
--
--     step       of the last evaluation
--     metric     the name of the one that decides
--     best       its best value so far, at the evaluation of best_step; nil before the first finite one
--     since      evaluations since then
--     kept       true: the checkpoint of best_step is kept until there is a better one

local callbacks = require "bertlua.jobs.common.callbacks"
local checkpoint = require "bertlua.train.checkpoint"
local evaluation_settings = require "bertlua.jobs.common.evaluation_settings"
local fault = require "bertlua.fault"
local lua_value = require "bertlua.util.lua_value"
local plural = require "bertlua.util.plural"
local signal = require "bertlua.signal"
local suggest = require "bertlua.util.suggest"

local M = {}

local FIELDS = { "every", "metric", "better", "keep", "patience" }
-- Names of metrics of which less is better, or more, where neither the task nor the recipe says so.
local LOWER = { "loss", "error", "perplexity" }
local HIGHER = { "accuracy", "f1", "exact", "correlation", "precision", "recall", "matthews", "pearson", "spearman",
    "mrr" }

local function hint(name, candidates)
    local nearest = suggest.closest(name, candidates)
    if nearest then return ("; did you mean %s?"):format(nearest) end
    return ", expected one of " .. table.concat(candidates, ", ")
end

local function refuse(name, value, expected)
    fault.raisef("evaluate: %s: got %s, expected %s", name, tostring(lua_value.shown(value)), expected)
end

local function check_count(given, name)
    local value = given[name]
    if type(value) ~= "number" or value < 1 or value % 1 ~= 0 then refuse(name, value, "an integer of at least 1") end
end

local function check_choice(given, name, choices)
    local value = given[name]
    if value == nil then return end
    for _, choice in ipairs(choices) do
        if value == choice then return end
    end
    refuse(name, value, ('"%s"'):format(table.concat(choices, '" or "')))
end

local function names_of(better)
    local names = {}
    for name in pairs(better) do names[#names + 1] = name end
    table.sort(names)
    return names
end

local function contains_any(name, words)
    for _, word in ipairs(words) do
        if name:find(word, 1, true) then return true end
    end
    return false
end

--- Which direction of a metric is better: as the recipe says, as the task says, or by its name.
-- @param given the recipe's table
-- @param metric its name
-- @param known the task's metrics, as its evaluation.metrics gives them
-- @return "higher" or "lower"
function M.direction(given, metric, known)
    if given.better or known[metric] then return given.better or known[metric] end
    if contains_any(metric, LOWER) then return "lower" end
    if contains_any(metric, HIGHER) then return "higher" end
    fault.raisef('evaluate: metric %s: is less of it better, or more? Add better = "lower" or better = "higher"',
        metric)
end

--- The metric that decides where the user names none.
-- @param task of jobs/common/task.lua, with an evaluation
-- @param values resolved settings
-- @param given the recipe's table, which may name another file to evaluate on
-- @return name
function M.usual_metric(task, values, given)
    local evaluation = task.evaluation
    return evaluation.usual and evaluation.usual(values, given) or evaluation.metric
end

--- Check a recipe's table and complete it.
-- @param task whose `evaluation` it is for
-- @param run plan; gets evaluate: a copy with metric and better, completed by the task
-- @param values resolved settings
function M.plan(task, run, values)
    local given, evaluation = evaluation_settings.table_of(values, run.work.train), task.evaluation
    if not given or not run.work.train then return end
    if not evaluation then fault.raisef("evaluate: task %s cannot be evaluated while it trains", task.name) end
    if values.benchmark then
        run.warnings[#run.warnings + 1] = "benchmark mode makes no evaluations: evaluate is ignored"
        return
    end
    local known, is_known, wanted = {}, {}, {}
    for _, list in ipairs { FIELDS, evaluation.fields } do
        for _, name in ipairs(list) do known[#known + 1], is_known[name] = name, true end
    end
    for name, value in pairs(given) do
        if not is_known[name] then
            fault.raisef("evaluate: unknown field %s%s", tostring(name), hint(tostring(name), known))
        end
        wanted[name] = value
    end
    -- "epoch" becomes a number once the samples are counted: see resume().
    if not (given.every == "epoch" and values.epochs) then check_count(given, "every") end
    if given.patience ~= nil then check_count(given, "patience") end
    check_choice(given, "better", { "lower", "higher" })
    check_choice(given, "keep", { "best" })
    wanted.metric = given.metric or M.usual_metric(task, values, given)
    if type(wanted.metric) ~= "string" then refuse("metric", wanted.metric, "the name of a result") end
    local metrics = evaluation.metrics(values)
    if metrics and not metrics[wanted.metric] then
        fault.raisef("%s %s%s", values.metric_for_best_model and "--metric-for-best-model: there is no figure"
            or "evaluate: unknown metric", wanted.metric, hint(wanted.metric, names_of(metrics)))
    end
    wanted.better = M.direction(given, wanted.metric, metrics or {})
    evaluation.plan(run, values, wanted, given)
    run.evaluate = wanted
end

--- "3 evaluations without a better mlm_loss than 5.1234, that of step 500"; nil if the run goes on, or was over anyway.
local function over(run)
    local wanted, state = run.evaluate, run.evaluation
    if not wanted.patience or state.since < wanted.patience or state.step == run.max_steps then return nil end
    if not state.best then
        return ("no finite %s in %s"):format(wanted.metric, plural.count(state.since, "evaluation"))
    end
    return ("%s without a better %s than %.4f, that of step %d"):format(plural.count(state.since, "evaluation"),
        wanted.metric, state.best, state.best_step)
end

--- Whether a step is followed by an evaluation: each `every` steps, and at the end of the schedule.
local function is_due(run, step)
    return step % run.evaluate.every == 0 or step == run.max_steps
end

--- Take up the state where the run resumes; once its steps are settled.
-- @param run plan; gets evaluation: the state; evaluate_first: true if the evaluation of the step it resumes from is
--   missing; ended_early: why a run that already ended does not continue
function M.resume(run)
    local wanted, start = run.evaluate, run.start
    if not wanted then return end
    if wanted.every == "epoch" then wanted.every = run.steps_per_epoch end
    local state = start.kind == "resume" and checkpoint.progress(start.path).evaluation
    if state and state.metric ~= wanted.metric then
        run.warnings[#run.warnings + 1] = ("the best so far was chosen by %s and is chosen by %s from here on: it is "
            .. "looked for anew"):format(state.metric, wanted.metric)
        state = nil
    end
    if state and state.best and wanted.keep then
        local path = ("%s/%d"):format(run.checkpoint_dir, state.best_step)
        local there, reason = checkpoint.is_complete(path)
        if not there then
            run.warnings[#run.warnings + 1] = ("the best checkpoint so far is not there (%s: %s): the best is looked "
                .. "for anew"):format(path, reason)
            state = nil
        end
    end
    run.evaluation = state or { since = 0 }
    run.evaluation.metric, run.evaluation.kept = wanted.metric, wanted.keep and true or nil
    run.evaluate_first = start.kind == "resume" and is_due(run, start.step) and run.evaluation.step ~= start.step
    run.ended_early = over(run)
    if run.ended_early then run.last_step, run.evaluate_first = start.step, false end
end

--- Whether a resumed run has nothing left to train or to evaluate.
function M.is_done(run)
    return run.first_step and run.first_step > run.last_step and not run.evaluate_first
end

--- Refuse a metric that a recipe's own loss or model does not return: in the first step, not after the first `every`.
-- @param names of the results
function M.check_results(job, names)
    local wanted = job.run.evaluate
    if not wanted or job.task.evaluation.metrics(job.values) then return end
    local found = {}
    for _, name in ipairs(names) do found[name] = true end
    if found[wanted.metric] then return end
    fault.raisef("evaluate: unknown metric %s%s", wanted.metric, hint(wanted.metric, names_of(found)))
end

--- Open what the evaluations of a job need; rank 0 alone has it.
function M.open(job)
    if job.run.evaluate and job.ranks.main then job.evaluation = job.task.evaluation.open(job) end
end

--- Free what open() made.
function M.close(job)
    if job.evaluation then job.task.evaluation.close(job.evaluation) end
    job.evaluation = nil
end

local function is_better(direction, value, best)
    if value - value ~= 0 then return false end
    if not best then return true end
    if direction == "lower" then return value < best end
    return value > best
end

--- The results as text, the one that decides first: "mlm_loss 5.1234 (best so far), nsp_loss 0.6931".
local function text_of(job, metrics, note)
    local metric, list = job.run.evaluate.metric, {}
    local parts = { ("%s %.4f (%s)"):format(metric, metrics[metric], note) }
    for name, value in pairs(metrics) do
        if type(value) == "number" and name ~= metric then list[#list + 1] = name end
    end
    table.sort(list)
    local shown = job.task.evaluation.shown
    for _, name in ipairs(list) do
        if not shown or shown[name] then parts[#parts + 1] = ("%s %.4f"):format(name, metrics[name]) end
    end
    return table.concat(parts, ", ")
end

--- Rank 0's part of an evaluation.
-- @return {state; improved; signal that ended it, then nothing else}
local function judge(job, step)
    local run, wanted = job.run, job.run.evaluate
    job.ranks.comm:busy(true)
    local metrics = job.task.evaluation.run(job, job.evaluation, function(done, total)
        job.log:evaluating(done, total)
        return signal.pending() ~= nil
    end)
    job.log:evaluating(nil)
    if not metrics then
        job.ranks.comm:busy(false)
        return { signal = signal.pending() }
    end
    local value = metrics[wanted.metric]
    if type(value) ~= "number" then
        fault.raisef("evaluate: unknown metric %s%s", wanted.metric, hint(wanted.metric, names_of(metrics)))
    end
    local state = { step = step, metric = wanted.metric, kept = run.evaluation.kept, best = run.evaluation.best,
        best_step = run.evaluation.best_step, since = run.evaluation.since + 1 }
    local improved = is_better(wanted.better, value, state.best)
    if improved then state.best, state.best_step, state.since = value, step, 0 end
    local note = improved and "best so far" or not state.best and "not finite"
        or ("best: %.4f at step %d"):format(state.best, state.best_step)
    job.log:evaluation(step, metrics, text_of(job, metrics, note))
    callbacks.call(job, "on_evaluate", step, { metrics = metrics })
    job.ranks.comm:busy(false)
    return { state = state, improved = improved }
end

--- What the trainer asks (`evaluation` of train/trainer.lua); nil for a job without evaluations.
function M.hook(job)
    local run = job.run
    if not run.evaluate then return nil end
    return {
        first = run.evaluate_first,
        is_due = function(step) return is_due(run, step) end,
        run = function(step)
            local verdict = job.ranks:first(function() return judge(job, step) end)
            if verdict.signal then return { signal = verdict.signal } end
            run.evaluation = verdict.state
            run.ended_early = over(run)
            if run.ended_early then job.log:note(("step %d: the run ends early: %s"):format(step, run.ended_early)) end
            return { save = verdict.improved and run.evaluate.keep ~= nil, stop = run.ended_early ~= nil }
        end,
    }
end

--- The step whose checkpoint must be kept, or nil.
function M.best_step(run)
    local state = run.evaluation
    return state and state.kept and state.best_step or nil
end

--- After training: the best checkpoint, if the run keeps one, and its parameters for the model of a task that goes on.
-- @param outcome of the trainer; gets best = {step, path, text}
-- @param target as in checkpoint.load, for a model that is exported or answers; nil if nothing follows
function M.take_best(job, outcome, target)
    local run, step = job.run, M.best_step(job.run)
    if not step then return end
    local state, path = run.evaluation, ("%s/%d"):format(run.checkpoint_dir, step)
    outcome.best = { step = step, path = path,
        text = ("%s (%s %.4f at step %d)"):format(path, state.metric, state.best, step) }
    if step == outcome.step or not target then return end
    job.ranks:together(function() checkpoint.load(path, target) end)
    job.log:note(("the best %s, %.4f, is that of step %d: its model is used and exported, not that of step %d"):format(
        state.metric, state.best, step, outcome.step))
end

return M
