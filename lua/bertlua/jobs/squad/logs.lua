--- What a fine-tuning run says; the records, files and the rest are those of bertlua.jobs.common.logs.

local Meter = require "bertlua.train.meter"
local clock = require "bertlua.util.clock"
local context = require "bertlua.context"
local logs = require "bertlua.jobs.common.logs"
local metrics = require "bertlua.squad.metrics"
local progress = require "bertlua.util.progress"
local term = require "bertlua.util.term"

local M = {}

local SquadLogs = setmetatable({}, { __index = logs.Logs })
SquadLogs.__index = SquadLogs

--- Open the logs of a run.
function M.open(run, values)
    return logs.open(run, values, { without_columns = { mlm = true, nsp = true } }, SquadLogs)
end

M.quiet = logs.quiet

--- What is about to run, and on what.
-- @param parts model, pinned; optimizer where it trains
-- @param lines about the data
function SquadLogs:start(parts, lines)
    local run, values = self.run, self.values
    local store = parts.model.store
    self:note(("machine   %s, %d threads%s"):format(context.describe(), context.threads(),
        parts.pinned and ", pinned" or ""))
    local bytes = store:bytes()
    self:note(("model     %s: %.1f M parameters, %s%s"):format(values.bert_model, store.numel / 1e6,
        logs.precision_text(run), parts.memory and ""
            or ("; they take %s"):format(logs.bytes_text(bytes.value + bytes.low))))
    if parts.memory then self:memory(parts) end
    for _, line in ipairs(lines) do self:note("data      " .. line) end
    if parts.optimizer then
        self:note(("update    %d sequences: %s; %d an epoch; steps %d to %d of %d"):format(
            values.train_batch_size * run.accumulation, logs.update_text(parts, values.train_batch_size),
            run.steps_per_epoch, run.first_step, run.last_step, run.max_steps))
    end
    local start = run.start
    self:note(("start     %s"):format(start.kind == "fresh" and "fresh parameters, seed " .. values.seed
        or start.kind == "resume" and parts.optimizer and "going on from " .. start.path
        or "parameters of " .. start.path))
    for _, warning in ipairs(run.warnings) do self:note("warning: " .. warning) end
end

--- A bar below the log lines, where somebody looks.
function SquadLogs:begin_training()
    if not term.is_terminal "stdout" then return end
    self.bar = progress.new { total = self.run.last_step, start = self.run.first_step - 1, label = "train",
        unit = "steps", stream = "stdout" }
end

function SquadLogs:end_training()
    if self.bar then self.bar:finish() end
    self.bar = nil
end

--- Called every step.
function SquadLogs:step(step, last)
    if self.bar then self.bar:update(step, { loss = last.loss }) end
end

--- Called every log step.
function SquadLogs:record(record)
    logs.Logs.record(self, record)
    if self.bar then self.console:record(record) end
end

--- Figures of the evaluation, for the files.
function SquadLogs:metrics(step, result)
    self:try("report", self.report:log(step, result))
    if not self.events then return end
    local scalars = {}
    for name, value in pairs(result) do scalars["eval/" .. name] = value end
    self:try("tensorboard", self.events:scalars(step, scalars))
end

local function training_rows(rows, outcome)
    local totals, last = outcome.totals, outcome.record
    if not totals then return end
    rows[#rows + 1] = { "steps", ("%d to %d of %d%s"):format(outcome.plan.first_step, outcome.step,
        outcome.plan.max_steps, outcome.status == "interrupted" and ", ended by " .. outcome.signal or "") }
    if last then rows[#rows + 1] = { "loss", ("%.4f, mean of the last %d steps"):format(last.loss, last.steps) } end
    rows[#rows + 1] = { "training", ("%s in steps, %.1f sequences/s, %.0f tokens/s (padding not counted)"):format(
        clock.format(totals.seconds), totals.sequences_per_second, totals.tokens_per_second) }
end

--- The result in people's words.
local function metric_text(result)
    if result.exact_match then return ("EM %.2f, F1 %.2f"):format(result.exact_match, result.f1) end
    local text = ("EM %.2f, F1 %.2f"):format(result.exact, result.f1)
    for _, group in ipairs { { "HasAns", "with answer" }, { "NoAns", "without" } } do
        local total = result[group[1] .. "_total"]
        if total then
            text = text .. ("; %d %s: EM %.2f, F1 %.2f"):format(total, group[2], result[group[1] .. "_exact"],
                result[group[1] .. "_f1"])
        end
    end
    return text
end

--- What the final table says: list of {name, text}.
function SquadLogs:rows(outcome)
    local rows, prediction = {}, outcome.prediction
    training_rows(rows, outcome)
    if prediction then
        rows[#rows + 1] = { "prediction", ("%d windows in %s, %.1f sequences/s"):format(prediction.features,
            clock.format(prediction.seconds), prediction.features / math.max(prediction.seconds, 1e-9)) }
        rows[#rows + 1] = { "answers", prediction.folder .. "/predictions.json" }
    end
    if outcome.metrics then rows[#rows + 1] = { "result", metric_text(outcome.metrics) } end
    rows[#rows + 1] = { "time", clock.format(outcome.seconds) .. " in all" }
    local peak = Meter.peak_memory()
    if peak then rows[#rows + 1] = { "memory", logs.bytes_text(peak) .. " at the most" } end
    if outcome.checkpoint then rows[#rows + 1] = { "checkpoint", outcome.checkpoint } end
    if outcome.model then rows[#rows + 1] = { "model", outcome.model } end
    rows[#rows + 1] = { "report", self.values.report_file }
    return rows
end

--- The final table and record; closes the logs.
function SquadLogs:finish(outcome)
    self:end_training()
    if not outcome.benchmark then
        self:note("")
        local rows, ranks = self:rows(outcome), self:ranks(outcome)
        if ranks then table.insert(rows, #rows, { "ranks", ranks }) end
        for _, row in ipairs(rows) do self:note(("%-11s%s"):format(row[1], row[2])) end
        local totals, prediction, data = outcome.totals or {}, outcome.prediction or {}, {}
        for name, value in pairs(outcome.metrics or {}) do data[name] = value end
        data.steps, data.loss, data.status = outcome.step, outcome.record and outcome.record.loss, outcome.status
        data.seconds, data.training_seconds = outcome.seconds, totals.seconds
        data.training_sequences_per_second = totals.sequences_per_second
        data.inference_sequences_per_second = prediction.seconds and prediction.features / prediction.seconds
        data.peak_memory = Meter.peak_memory()
        self:try("report", self.report:log(nil, data))
        if outcome.metrics then self:note(metrics.format(outcome.metrics)) end
    end
    self:close()
end

return M
