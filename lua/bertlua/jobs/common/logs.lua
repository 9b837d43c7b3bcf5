--- Everything a run prints: a preamble, one line per log step, warnings, the final
-- table; the same records go to the report file and to TensorBoard.

local Meter = require "bertlua.train.meter"
local clock = require "bertlua.util.clock"
local console = require "bertlua.train.console"
local context = require "bertlua.context"
local device = require "bertlua.device"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local lua_value = require "bertlua.util.lua_value"
local memory_plan = require "bertlua.jobs.common.memory_plan"
local own_data = require "bertlua.jobs.common.own_data"
local pace = require "bertlua.jobs.common.pace"
local parameter_groups = require "bertlua.jobs.common.parameter_groups"
local plural = require "bertlua.util.plural"
local printable = require "bertlua.printable"
local progress = require "bertlua.util.progress"
local report = require "bertlua.train.report"
local tasks = require "bertlua.jobs.common.task"
local tensorboard = require "bertlua.train.tensorboard"
local term = require "bertlua.util.term"

local M = {}

local Logs = {}
Logs.__index = Logs

-- What a record holds besides the results of its task.
local SCALARS = { "learning_rate", "grad_norm", "loss_scale", "sequences_per_second", "tokens_per_second" }
-- Seconds without a sign of life before a long first step gives one.
local FIRST_SIGN = 4
local UNITS = { sequences_per_second = "sequences/s", tokens_per_second = "tokens/s, padding not counted" }

local function nothing() return true end
-- A benchmark's, which saves nothing unless a file is named.
local NO_REPORT = { parameters = nothing, metadata = nothing, log = nothing, close = nothing }

local function bytes_text(bytes)
    if bytes >= 2 ^ 30 then return ("%.2f GiB"):format(bytes / 2 ^ 30) end
    return ("%.0f MiB"):format(bytes / 2 ^ 20)
end

--- Open the logs of a job (see task.lua).
-- @param options bar: true shows a progress bar instead of a line per log step; append: true keeps the report file's
--   contents, as a resumed run always does; now() -> seconds: for tests
function M.open(job, options)
    local run, values = job.run, job.values
    local self = setmetatable({ job = job, run = run, values = values, options = options or {}, warned = {},
        now = options and options.now or clock.monotonic }, Logs)
    self.report_file = values.report_file or not values.benchmark and fs.join(run.results_dir, "report.json") or nil
    self.report = self.report_file and fault.check(report.open(self.report_file, {
        append = self.options.append or run.start.kind == "resume",
    })) or NO_REPORT
    if self.report.kept then
        term.warn(("%s is another run's: kept as %s"):format(self.report_file, self.report.kept))
    end
    self:try("report", self.report:parameters(lua_value.flat(values, lua_value.shown)))
    for metric, unit in pairs(UNITS) do self:try("report", self.report:metadata(metric, { unit = unit })) end
    local folder = values.tensorboard_dir
    if folder == "auto" then folder = run.results_dir .. "/tensorboard" end
    if folder ~= "none" and not values.benchmark then
        -- After a kill, steps between the checkpoint and the kill are made again.
        self.events = fault.check(tensorboard.open(folder, {
            first_step = run.start.kind == "resume" and run.first_step or nil }))
    end
    if run.max_steps then
        self.console = console.new { max_steps = run.max_steps, results = job.results,
            write = function(line) self:write(line) end,
            columns = function() return term.is_terminal "stdout" and term.columns "stdout" or nil end }
    end
    return self
end

--- The logs of a rank that prints nothing: rank 0 prints for all.
function M.quiet()
    return setmetatable({}, { __index = function() return nothing end })
end

--- A failing log must not end the training: warn, once per log.
function Logs:try(name, ok, message)
    if not ok and not self.warned[name] then
        self.warned[name] = true
        term.warn(("%s: %s; the run continues without it"):format(name, tostring(message)))
    end
end

--- Print a line as it is.
function Logs:write(line)
    if self.bar then return self.bar:log(line) end
    io.stdout:write(line, "\n")
    io.stdout:flush()
end

--- Print a line for the user; a terminal's width breaks it.
-- @param indent spaces before what goes on in the next line (2)
function Logs:note(line, indent)
    -- Names in it may come from files.
    self:write(term.fit(self.bar and self.bar.stream or "stdout", printable.lines(line), indent))
end

--- A row of the text before the run: what it is about, and what there is to say.
function Logs:row(name, text)
    self:note(("%-10s%s"):format(name, text), 10)
end

--- " on each of 4 ranks" and similar, for the line about memory; "" for one process.
local function memory_share(parts)
    local ranks, partition = parts.ranks, parts.model.store.partition
    if not ranks or ranks.size == 1 then return "" end
    return (" on each of %d ranks%s"):format(ranks.size, partition and partition.divide
        and ", with the optimizer's state divided among them" or "")
end

--- "4 ranks x 32 x 2 micro-steps".
local function update_text(parts, batch_size)
    local size = parts.ranks and parts.ranks.size or 1
    return ("%s%d x %d micro-steps"):format(size > 1 and size .. " ranks x " or "", batch_size,
        parts.accumulation / size)
end

--- Where the time went on each of the job's ranks: a line for the user, and a record in the report.
function Logs:ranks(outcome)
    local list = outcome.ranks
    if not list or #list < 2 then return nil end
    local least, most, fields = list[1], list[1], {}
    for _, figures in ipairs(list) do
        if figures.waiting < least.waiting then least = figures end
        if figures.waiting > most.waiting then most = figures end
        for _, name in ipairs { "seconds", "waiting", "sequences" } do
            fields[("rank%d_%s"):format(figures.rank, name)] = figures[name]
        end
    end
    self:try("report", self.report:log(nil, fields))
    return ("%d; each spent %.1f %% (rank %d) to %.1f %% (rank %d) of the time waiting for other ranks' gradients")
        :format(#list, 100 * least.waiting / math.max(least.seconds, 1e-9), least.rank,
        100 * most.waiting / math.max(most.seconds, 1e-9), most.rank)
end

--- "bf16", or "fp32 with products in TF32".
local function precision_text(run)
    return run.precision .. (run.tf32 and " with products in TF32" or "")
end

--- The memory plan, printed before any memory is allocated.
function Logs:memory(parts)
    for _, line in ipairs(memory_plan.lines(parts.memory, bytes_text)) do self:row("memory", line) end
    local share = memory_share(parts)
    if share ~= "" then self:row("", "that is" .. share) end
end

--- What is about to run, and on what.
function Logs:start()
    local job, run, values = self.job, self.run, self.values
    local parts, store = job.parts, job.parts.model.store
    local threads = context.threads()
    self:row("machine", ("%s, %s%s"):format(context.describe(), plural.count(threads, "thread"),
        parts.pinned and ", pinned" or ""))
    local bytes = store:bytes()
    local name = job.data.config.own_class or values.bert_model
    self:row("model", ("%s: %.1f M parameters, %s%s"):format(name, store.numel / 1e6,
        precision_text(run), parts.memory and ""
            or ("; they take %s"):format(bytes_text(bytes.value + bytes.low))))
    local frozen = run.work.train and parameter_groups.frozen_text(values, store)
    if frozen then self:row("frozen", frozen) end
    if parts.memory then self:memory(parts) end
    for _, line in ipairs(job.data.lines) do self:row("data", line) end
    if run.work.train then
        local group = parts.loader.group or 1
        self:row("update", ("%d %s: %s; %s%s"):format(run.update_size,
            group > 1 and ("groups of %d sequences"):format(group) or "sequences",
            update_text(parts, values[job.task.batch_setting]),
            run.steps_per_epoch and ("%d per epoch; "):format(run.steps_per_epoch) or "",
            run.first_step > run.last_step and ("no step left of %d"):format(run.max_steps)
                or ("steps %d to %d of %d"):format(run.first_step, run.last_step, run.max_steps)))
    end
    local start = run.start
    self:row("start", start.kind == "fresh" and "fresh parameters, seed " .. values.seed
        or start.kind == "resume" and run.work.train and "resuming from " .. start.path
        or "parameters of " .. start.path)
    for _, note in ipairs(run.notes) do self:row("note", note) end
    for _, warning in ipairs(run.warnings) do self:note("warning: " .. warning) end
end

--- Show a progress bar: below the log lines on a terminal, or instead of them if the caller asked for that.
function Logs:begin_training()
    local instead, run = self.options.bar, self.run
    if run.first_step > run.last_step then return end
    if not instead then
        self.pace = pace.new(run, function(text) self:note(text) end, self.now)
        self.console:begin()
    end
    self.began = self.now()
    if not instead and not term.is_terminal "stdout" then return end
    self.bar = progress.new { total = run.last_step, start = run.first_step - 1, label = run.phase,
        unit = "steps", stream = not instead and "stdout" or nil }
    -- The first step may take long.
    self.bar:update(run.first_step - 1)
end

--- Remove the progress bar.
function Logs:end_training()
    if self.bar then self.bar:finish() end
    self.bar = nil
end

--- Called after the first step of a model or loss of the recipe's own: what could not be known before.
function Logs:learned()
    local hidden = self.console and self.console:hidden() or {}
    if #hidden > 0 then
        self:row("log", ("%s: no room for a column; see the report and TensorBoard"):format(table.concat(hidden, ", ")))
    end
    local parts = self.job.parts
    if parts.memory and parts.memory.unknown then
        self:row("memory", ("activations took %s in the first step"):format(
            bytes_text((select(2, parts.tape:memory())))))
    end
end

--- Called after each micro-step: a step of many shows that it proceeds.
function Logs:micro_step(step, done, total)
    if self.pace then self.pace:micro_step(step, done, total) end
    if total == 1 or done == total then return end
    if self.bar then
        self.bar:update(step - 1 + done / total)
    elseif step == self.run.first_step and not self.signed and self.now() - self.began >= FIRST_SIGN then
        self.signed = true
        self:note(("step %d: %d of %d micro-steps after %.0f s"):format(step, done, total, self.now() - self.began))
    end
end

--- The line of the first step, where the log's interval does not bring one: for people only, as means over steps begin
-- anew with each record.
local function first_line(self, step, last, stats)
    local values, run = self.values, self.run
    if step ~= run.first_step or step % values.log_freq == 0 or step == run.last_step then return end
    local record = { step = step, learning_rate = last.learning_rate, grad_norm = stats.grad_norm,
        loss_scale = stats.loss_scale, sequences_per_second = last.sequences / math.max(last.seconds, 1e-9),
        tokens_per_second = last.tokens / math.max(last.seconds, 1e-9) }
    for _, result in ipairs(self.job.results) do record[result.name] = last[result.name] end
    self.console:record(record)
end

--- Called after every step.
-- @param stats of the optimizer
function Logs:step(step, last, stats)
    if not self.options.bar then
        first_line(self, step, last, stats)
        self.pace:step(step, last.seconds)
    end
    if not self.bar then return end
    local shown = { loss = last.loss }
    for _, result in ipairs(self.job.results) do
        if result.bar then
            shown[result.bar[1]] = result.bar[2](last[result.name])
        elseif self.job.parts.objective and result.column and not shown[result.column] then
            shown[result.column] = last[result.name]
        end
    end
    self.bar:update(step, shown)
end

--- Called at every log step.
function Logs:record(record)
    local data, scalars = {}, {}
    for _, names in ipairs { tasks.names(self.job.results), SCALARS } do
        for _, name in ipairs(names) do data[name], scalars["train/" .. name] = record[name], record[name] end
    end
    data.step_loss, data.skipped_steps = record.step_loss, record.skipped
    self:try("report", self.report:log(record.step, data))
    if self.events then self:try("tensorboard", self.events:scalars(record.step, scalars)) end
    if not self.options.bar then self.console:record(record) end
end

--- A value that a recipe's function gives, for the files.
function Logs:scalar(step, name, value)
    self:try("report", self.report:log(step, { [name] = value }))
    if self.events then self:try("tensorboard", self.events:scalars(step, { [name] = value })) end
end

--- How far an evaluation is, on a terminal: in place of the training's bar. Nothing (nil) when it is over.
function Logs:evaluating(done, total)
    if not self.bar then return end
    if not done then
        if self.evaluation_bar then self.evaluation_bar:clear() end
        self.evaluation_bar = nil
        return
    end
    if not self.evaluation_bar then
        self.bar:clear()
        self.evaluation_bar = progress.new { total = total, start = done, label = "evaluate",
            stream = self.bar.stream }
    end
    self.evaluation_bar:update(done)
end

--- Figures of an evaluation while training: a line for people, and for the files, apart from those of the training.
-- @param text of the line
function Logs:evaluation(step, metrics, text)
    if not self.options.bar then self:note(("evaluation %d: %s"):format(step, text)) end
    local record, scalars = {}, {}
    for name, value in pairs(metrics) do record["eval_" .. name], scalars["eval/" .. name] = value, value end
    self:try("report", self.report:log(step, record))
    if self.events then self:try("tensorboard", self.events:scalars(step, scalars)) end
end

--- Figures of an evaluation after the training under names of their own, which no record of a training step has:
-- dev_loss; where a task does not say what it measured, eval_loss for what its training reports too.
local function own_names(job, outcome)
    local taken, named = {}, {}
    for _, names in ipairs { tasks.names(job.results), SCALARS } do
        for _, name in ipairs(names) do taken[name] = "eval_" end
    end
    for name, value in pairs(outcome.metrics or {}) do
        named[(outcome.measured and outcome.measured .. "_" or taken[name] or "") .. name] = value
    end
    return named
end

--- Figures of an evaluation after the training, for the files.
-- @param outcome with metrics, and measured: "dev" or "test", or nil
function Logs:metrics(step, outcome)
    local result = outcome.metrics
    self:try("report", self.report:log(step, own_names(self.job, outcome)))
    if not self.events then return end
    local scalars = {}
    for name, value in pairs(result) do scalars["eval/" .. name] = value end
    self:try("tensorboard", self.events:scalars(step, scalars))
end

--- Figures of benchmark mode.
function Logs:benchmark(summary, text)
    self:note(text, 16)
    self:try("report", self.report:log(nil, summary))
    if self.report_file then self:row("report", self.report_file) end
end

--- "1.2345 (margin 0.5000), mean of the last 10 steps".
local function loss_text(results, record)
    local others = {}
    for i = 2, #results do others[#others + 1] = ("%s %.4f"):format(results[i].name, record[results[i].name]) end
    return ("%.4f%s, mean of the last %s"):format(record.loss,
        #others > 0 and " (" .. table.concat(others, ", ") .. ")" or "", plural.count(record.steps, "step"))
end

local function training_rows(rows, outcome)
    local totals = outcome.totals
    if not totals or totals.steps == 0 then return end
    rows[#rows + 1] = { "steps", ("%d to %d of %d%s"):format(outcome.plan.first_step, outcome.step,
        outcome.plan.max_steps, outcome.status == "interrupted" and ", ended by " .. outcome.signal
            or outcome.stopped and ", ended early" or "") }
    rows[#rows + 1] = { "training", ("%s in steps, %.1f sequences/s, %.0f tokens/s (padding not counted)"):format(
        clock.format(totals.seconds), totals.sequences_per_second, totals.tokens_per_second) }
end

local function memory_row(outcome)
    local activations = outcome.totals
        and ("; up to %s of them activations"):format(bytes_text(outcome.activation_peak)) or ""
    if device.is_host() then
        local peak = Meter.peak_memory()
        return peak and { "memory", ("%s at its peak%s"):format(bytes_text(peak), activations) }
    end
    local free, total = device.memory()
    return total and { "memory", ("%s in use on the GPU%s"):format(bytes_text(total - free), activations) }
end

--- The rows of the final table: list of {name, text}.
function Logs:rows(outcome)
    local task, rows, record, prediction = self.job.task, {}, outcome.record, outcome.prediction
    training_rows(rows, outcome)
    local own = task.rows and task.rows(outcome, not self.job.parts.objective and record) or {}
    if record and not (own[1] and own[1][1] == "loss") then
        local results = self.job.parts.objective and self.job.results or {}
        rows[#rows + 1] = { "loss", loss_text(results, record) }
    end
    if prediction then
        rows[#rows + 1] = { "prediction", ("%s in %s, %.1f sequences/s"):format(
            plural.count(prediction.sequences, "sequence"), clock.format(prediction.seconds),
            prediction.sequences / math.max(prediction.seconds, 1e-9)) }
    end
    for _, row in ipairs(own) do rows[#rows + 1] = row end
    rows[#rows + 1] = own_data.row(self.job)
    rows[#rows + 1] = { "time", clock.format(outcome.seconds) .. " in total" }
    rows[#rows + 1] = memory_row(outcome)
    if outcome.totals or outcome.checkpoint then rows[#rows + 1] = { "checkpoint", outcome.checkpoint or "none" } end
    if outcome.best then rows[#rows + 1] = { "best", outcome.best.text } end
    if outcome.model then rows[#rows + 1] = { "model", outcome.model } end
    rows[#rows + 1] = { "report", self.report_file .. (self.warned.report and ", incomplete: see the warning"
        or "") }
    return rows
end

--- The record that ends a report.
local function summary_of(job, outcome)
    local data, totals, prediction = own_names(job, outcome), outcome.totals or {}, outcome.prediction or {}
    data.steps, data.loss, data.status = outcome.step, outcome.record and outcome.record.loss, outcome.status
    data.best_step = outcome.best and outcome.best.step
    data.peak_memory = Meter.peak_memory()
    -- A task that only trains reports the figures of its steps; any other, those of everything it did.
    if not job.task.predict then
        data.seconds = totals.seconds
        data.sequences_per_second, data.tokens_per_second = totals.sequences_per_second, totals.tokens_per_second
        return data
    end
    data.seconds, data.training_seconds = outcome.seconds, totals.seconds
    data.training_sequences_per_second = totals.sequences_per_second
    data.inference_sequences_per_second = prediction.seconds and prediction.sequences / prediction.seconds
    return data
end

--- The final table and record; closes the logs.
function Logs:finish(outcome)
    self:end_training()
    if not outcome.benchmark then
        self:note("")
        local rows, ranks = self:rows(outcome), self:ranks(outcome)
        if ranks then table.insert(rows, #rows, { "ranks", ranks }) end
        for _, row in ipairs(rows) do self:note(("%-11s%s"):format(row[1], row[2]), 11) end
        local task = self.job.task
        self:try("report", self.report:log(nil, summary_of(self.job, outcome)))
        local text = task.summary and task.summary(outcome)
        if text then self:note(text) end
    end
    self:close()
end

--- Close the report and the event files.
function Logs:close()
    self.report:close()
    if self.events then self.events:close() end
end

return M
