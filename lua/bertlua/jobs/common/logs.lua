--- Everything a run prints: a preamble, one line per log step, warnings, the final
-- table; the same records go to the report file and to TensorBoard.

local Meter = require "bertlua.train.meter"
local clock = require "bertlua.util.clock"
local console = require "bertlua.train.console"
local context = require "bertlua.context"
local device = require "bertlua.device"
local fault = require "bertlua.fault"
local lua_value = require "bertlua.util.lua_value"
local memory_plan = require "bertlua.jobs.common.memory_plan"
local plural = require "bertlua.util.plural"
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
local UNITS = { sequences_per_second = "sequences/s", tokens_per_second = "tokens/s, padding not counted" }

local function bytes_text(bytes)
    if bytes >= 2 ^ 30 then return ("%.2f GiB"):format(bytes / 2 ^ 30) end
    return ("%.0f MiB"):format(bytes / 2 ^ 20)
end

--- Open the logs of a job (see task.lua).
-- @param options bar: true shows a progress bar instead of a line per log step; append: true keeps the report file's
--   contents, as a resumed run always does
function M.open(job, options)
    local run, values = job.run, job.values
    local self = setmetatable({ job = job, run = run, values = values, options = options or {}, warned = {} }, Logs)
    self.report = fault.check(report.open(values.report_file, {
        append = self.options.append or run.start.kind == "resume",
    }))
    self:try("report", self.report:parameters(lua_value.flat(values, lua_value.shown)))
    for metric, unit in pairs(UNITS) do self:try("report", self.report:metadata(metric, { unit = unit })) end
    local folder = values.tensorboard_dir
    if folder == "auto" then folder = run.checkpoint_dir .. "/tensorboard" end
    if folder ~= "none" and not values.benchmark then self.events = fault.check(tensorboard.open(folder)) end
    self.scalars = tasks.result_names(job.task)
    for _, name in ipairs(SCALARS) do self.scalars[#self.scalars + 1] = name end
    if run.max_steps then
        self.console = console.new { max_steps = run.max_steps, results = job.task.results,
            write = function(line) self:note(line) end }
    end
    return self
end

--- The logs of a rank that prints nothing: rank 0 prints for all.
function M.quiet()
    local nothing = function() end
    return setmetatable({}, { __index = function() return nothing end })
end

--- A failing log must not end the training: warn, once per log.
function Logs:try(name, ok, message)
    if not ok and not self.warned[name] then
        self.warned[name] = true
        io.stderr:write(("bertlua: warning: %s: %s; the run continues without it\n"):format(name, tostring(message)))
    end
end

--- Print a line for the user.
function Logs:note(line)
    if self.bar then return self.bar:log(line) end
    io.stdout:write(line, "\n")
    io.stdout:flush()
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
    for _, line in ipairs(memory_plan.lines(parts.memory, bytes_text)) do self:note("memory    " .. line) end
    local share = memory_share(parts)
    if share ~= "" then self:note("          that is" .. share) end
end

--- What is about to run, and on what.
function Logs:start()
    local job, run, values = self.job, self.run, self.values
    local parts, store = job.parts, job.parts.model.store
    local threads = context.threads()
    self:note(("machine   %s, %s%s"):format(context.describe(), plural.count(threads, "thread"),
        parts.pinned and ", pinned" or ""))
    local bytes = store:bytes()
    self:note(("model     %s: %.1f M parameters, %s%s"):format(values.bert_model, store.numel / 1e6,
        precision_text(run), parts.memory and ""
            or ("; they take %s"):format(bytes_text(bytes.value + bytes.low))))
    if parts.memory then self:memory(parts) end
    for _, line in ipairs(job.data.lines) do self:note("data      " .. line) end
    if run.work.train then
        self:note(("update    %d sequences: %s; %ssteps %d to %d of %d"):format(run.update_size,
            update_text(parts, values[job.task.batch_setting]),
            run.steps_per_epoch and ("%d per epoch; "):format(run.steps_per_epoch) or "", run.first_step,
            run.last_step, run.max_steps))
    end
    local start = run.start
    self:note(("start     %s"):format(start.kind == "fresh" and "fresh parameters, seed " .. values.seed
        or start.kind == "resume" and run.work.train and "resuming from " .. start.path
        or "parameters of " .. start.path))
    for _, warning in ipairs(run.warnings) do self:note("warning: " .. warning) end
end

--- Show a progress bar: below the log lines on a terminal, or instead of them if the caller asked for that.
function Logs:begin_training()
    local instead = self.options.bar
    if not instead and not term.is_terminal "stdout" then return end
    self.bar = progress.new { total = self.run.last_step, start = self.run.first_step - 1, label = self.run.phase,
        unit = "steps", stream = not instead and "stdout" or nil }
end

--- Remove the progress bar.
function Logs:end_training()
    if self.bar then self.bar:finish() end
    self.bar = nil
end

--- Called after every step.
function Logs:step(step, last)
    if not self.bar then return end
    local shown = { loss = last.loss }
    for _, result in ipairs(self.job.task.results) do
        if result.bar then shown[result.bar[1]] = result.bar[2](last[result.name]) end
    end
    self.bar:update(step, shown)
end

--- Called at every log step.
function Logs:record(record)
    local data, scalars = {}, {}
    for _, name in ipairs(self.scalars) do
        data[name], scalars["train/" .. name] = record[name], record[name]
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

--- Figures of an evaluation, for the files.
function Logs:metrics(step, result)
    self:try("report", self.report:log(step, result))
    if not self.events then return end
    local scalars = {}
    for name, value in pairs(result) do scalars["eval/" .. name] = value end
    self:try("tensorboard", self.events:scalars(step, scalars))
end

--- Figures of benchmark mode.
function Logs:benchmark(summary, text)
    self:note(text)
    self:try("report", self.report:log(nil, summary))
end

local function training_rows(rows, outcome)
    local totals = outcome.totals
    if not totals then return end
    rows[#rows + 1] = { "steps", ("%d to %d of %d%s"):format(outcome.plan.first_step, outcome.step,
        outcome.plan.max_steps, outcome.status == "interrupted" and ", ended by " .. outcome.signal or "") }
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
    local own = task.rows and task.rows(outcome, record) or {}
    if record and not (own[1] and own[1][1] == "loss") then
        rows[#rows + 1] = { "loss", ("%.4f, mean of the last %s"):format(record.loss,
            plural.count(record.steps, "step")) }
    end
    if prediction then
        rows[#rows + 1] = { "prediction", ("%s in %s, %.1f sequences/s"):format(
            plural.count(prediction.sequences, "sequence"), clock.format(prediction.seconds),
            prediction.sequences / math.max(prediction.seconds, 1e-9)) }
    end
    for _, row in ipairs(own) do rows[#rows + 1] = row end
    rows[#rows + 1] = { "time", clock.format(outcome.seconds) .. " in total" }
    rows[#rows + 1] = memory_row(outcome)
    if outcome.totals or outcome.checkpoint then rows[#rows + 1] = { "checkpoint", outcome.checkpoint or "none" } end
    if outcome.model then rows[#rows + 1] = { "model", outcome.model } end
    rows[#rows + 1] = { "report", self.values.report_file }
    return rows
end

--- The record that ends a report.
local function summary_of(task, outcome)
    local data, totals, prediction = {}, outcome.totals or {}, outcome.prediction or {}
    for name, value in pairs(outcome.metrics or {}) do data[name] = value end
    data.steps, data.loss, data.status = outcome.step, outcome.record and outcome.record.loss, outcome.status
    data.peak_memory = Meter.peak_memory()
    -- A task that only trains reports the figures of its steps; any other, those of everything it did.
    if not task.predict then
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
        for _, row in ipairs(rows) do self:note(("%-11s%s"):format(row[1], row[2])) end
        local task = self.job.task
        self:try("report", self.report:log(nil, summary_of(task, outcome)))
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
