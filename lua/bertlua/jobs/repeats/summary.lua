--- The end of several runs: OUTPUT_DIR/eval.json and the table on the terminal.

local aside = require "bertlua.util.aside"
local evaluating = require "bertlua.jobs.common.evaluating"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local plural = require "bertlua.util.plural"
local statistics = require "bertlua.jobs.repeats.statistics"
local term = require "bertlua.util.term"

local M = {}

--- By which figure runs are compared.
-- @param task of jobs/common/task.lua
-- @param values resolved settings
-- @return {metric; given: whether the user chose it; known: names of the task's, where it knows them; better(metric) ->
--   "higher" or "lower"}
function M.choice(task, values)
    local evaluation, evaluate = task.evaluation or {}, values.evaluate or {}
    local known = evaluation.metrics and evaluation.metrics(values)
    local given = values.metric_for_best_model or evaluate.metric
    if given and known and not known[given] then
        local names = {}
        for name in pairs(known) do names[#names + 1] = name end
        table.sort(names)
        fault.raisef("--metric-for-best-model %s: no such figure, expected one of %s", given, table.concat(names, ", "))
    end
    return { given = given ~= nil,
        metric = given or task.evaluation and evaluating.usual_metric(task, values, evaluate),
        better = function(metric) return evaluating.direction(evaluate, metric, known or {}) end }
end

--- How many runs of a list are not finished.
function M.count_open(list)
    local count = 0
    for _, run in ipairs(list) do count = count + (run.done and 0 or 1) end
    return count
end

--- The figures of a run by part; those of a task that measures one file alone count as dev.
local function figures_of(run)
    local figures = fault.check(json.read(run.eval))
    for _, part in ipairs { "dev", "test" } do
        if type(figures[part]) == "table" then return figures end
    end
    return { dev = figures }
end

--- Add the numbers of a run to those that any run has: a figure may be undefined, null, in some.
local function add_figures(all, figures)
    for part, metrics in pairs(figures) do
        for name, value in pairs(type(metrics) == "table" and metrics or {}) do
            if type(value) == "number" then
                all[part] = all[part] or {}
                all[part][name] = value
            end
        end
    end
end

--- The part and metric that decide, and its direction; a fault if the runs have no such figure.
local function decider(figures, choice)
    for _, part in ipairs { "dev", "test" } do
        local metrics = figures[part]
        if metrics then
            if type(metrics[choice.metric]) == "number" then return part, choice.metric end
            local names = {}
            for name, value in pairs(metrics) do
                if type(value) == "number" then names[#names + 1] = name end
            end
            table.sort(names)
            if not choice.given and names[1] then return part, metrics.accuracy and "accuracy" or names[1] end
            fault.raisef("--metric-for-best-model %s: no such figure, expected one of %s", tostring(choice.metric),
                table.concat(names, ", "))
        end
    end
end

--- Points that have a figure, best first, then those without one.
local function sort_points(points, part, metric, better)
    local function value_of(point)
        local value = point.mean and point.mean[part] and point.mean[part][metric]
        if not value or value ~= value then return nil end
        return better == "lower" and -value or value
    end
    for i, point in ipairs(points) do point.place = i end
    table.sort(points, function(a, b)
        local x, y = value_of(a), value_of(b)
        if x ~= y then return x ~= nil and (y == nil or x > y) end
        return a.place < b.place
    end)
end

local function number_at(figures, column)
    local metrics = figures and figures[column[1]]
    local value = type(metrics) == "table" and metrics[column[2]]
    return type(value) == "number" and value or nil
end

local function table_text(job, columns, rows)
    local head = { job.varied[1] and table.concat(job.varied, ",") or "run" }
    for _, column in ipairs(columns) do head[#head + 1] = column[1] .. " " .. column[2] end
    local width = term.is_terminal "stdout" and math.min(term.columns "stdout", 80) or nil
    local text, out = statistics.layout(head, rows, width)
    if #out > 0 then
        text = text .. "\n" .. term.wrap("not shown: " .. table.concat(out, ", "), width or 80)
    end
    return text
end

--- A row of figures.
local function row_of(name, mean, deviation, columns)
    local row = { name }
    for c, column in ipairs(columns) do
        row[c + 1] = statistics.text(number_at(mean, column), number_at(deviation, column))
    end
    return row
end

--- Rows of runs of one point: each, then mean and deviation.
local function rows_of_runs(job, columns)
    local rows, point = {}, job.points[1]
    for i, run in ipairs(job.list) do
        rows[i] = run.done and row_of(run.name, run.figures, nil, columns) or { run.name, "failed" }
    end
    if point.mean then
        rows[#rows + 1] = row_of("mean", point.mean, nil, columns)
        if next(point.deviation) ~= nil then rows[#rows + 1] = row_of("std", point.deviation, nil, columns) end
    end
    return rows
end

local function rows_of_points(job, columns)
    local rows = {}
    for i, point in ipairs(job.points) do
        local texts = {}
        for c, change in ipairs(point.changes) do texts[c] = change.shown end
        local name = table.concat(texts, ",")
        if point.failed > 0 then name = ("%s (%d failed)"):format(name, point.failed) end
        rows[i] = point.mean and row_of(name, point.mean, point.deviation, columns) or { name, "failed" }
    end
    return rows
end

local function settings_of(changes)
    local settings = {}
    for _, change in ipairs(changes) do
        settings[change.name] = change.value == nil and json.null or change.value
    end
    return settings
end

local function unless_empty(list)
    if list == nil or next(list) == nil then return nil end
    return list
end

local function write(job, result)
    local path = fs.join(job.root, "eval.json")
    local text = json.encode(result, { pretty = true, order = { "metric", "better", "best", "runs", "points", "mean",
        "std" }, nan = "null" })
    local written, kept = aside.write(path, text .. "\n")
    fault.check(written, kept)
    if kept then term.warn(("%s of an earlier call differs: kept as %s"):format(path, kept)) end
    return path
end

local function print_line(text)
    io.stdout:write(text, "\n")
end

--- Read the figures, write eval.json, print the table.
-- @param job of repeats.run: list of runs with name, folder, eval, point, changes, done, problem; points; varied; root
-- @param choice of choice()
-- @param say called with each line for the terminal; nil: it is printed
-- @return outcome; a fault if a run failed
function M.finish(job, choice, say)
    say = say or print_line
    local open, all = M.count_open(job.list), {}
    local result = { runs = json.array {} }
    for _, point in ipairs(job.points) do point.all, point.failed = {}, 0 end
    for i, run in ipairs(job.list) do
        local point = job.points[run.point]
        local entry = { name = run.name, folder = run.folder, settings = unless_empty(settings_of(run.changes)) }
        if run.done then
            run.figures = figures_of(run)
            add_figures(all, run.figures)
            point.all[#point.all + 1] = run.figures
            for part, metrics in pairs(run.figures) do entry[part] = metrics end
        else
            point.failed, entry.failed = point.failed + 1, run.problem
        end
        result.runs[i] = entry
    end
    for _, point in ipairs(job.points) do
        if #point.all > 0 then point.mean, point.deviation = statistics.combine(point.all) end
    end
    local best
    local part, metric = decider(all, choice)
    if part then
        local columns = statistics.columns(all, metric)
        result.metric = part .. "." .. metric
        if job.varied[1] then
            result.better = choice.better(metric)
            sort_points(job.points, part, metric, result.better)
            result.points = json.array {}
            for i, point in ipairs(job.points) do
                result.points[i] = { name = point.name, settings = settings_of(point.changes), mean = point.mean,
                    std = unless_empty(point.deviation), failed = point.failed > 0 and point.failed or nil }
            end
            best = number_at(job.points[1].mean, { part, metric }) and job.points[1] or nil
            result.best = best and best.name
        else
            result.mean, result.std = job.points[1].mean, unless_empty(job.points[1].deviation)
        end
        say("")
        say(table_text(job, columns, job.varied[1] and rows_of_points(job, columns) or rows_of_runs(job, columns)))
        if job.members and #job.list - open > #job.points then
            say(term.wrap(("%s: standard deviation of a sample (n - 1)"):format(job.varied[1]
                and ("mean ± deviation of the %s of each"):format(job.members) or "std"), 80))
        end
        if best then
            say(("best by %s %s: %s/%s"):format(part, metric, job.root, best.name))
        end
    end
    local path = write(job, result)
    say("figures: " .. path)
    if open > 0 then
        fault.raisef("%d of %s failed, the first one %s: %s; the same command makes only those again", open,
            plural.count(#job.list, "run"), M.first_open(job.list).name, M.first_open(job.list).problem)
    end
    return { status = "finished", runs = result.runs, mean = result.mean, deviation = result.std,
        best = best and fs.join(job.root, best.name) or nil, file = path }
end

--- The first run of a list that is not finished.
function M.first_open(list)
    for _, run in ipairs(list) do
        if not run.done then return run end
    end
    return nil
end

return M
