--- All that a run says: a preamble, one line a log step, warnings, the final
-- table; the same records go to the report file and to TensorBoard.

local Meter = require "bertlua.train.meter"
local clock = require "bertlua.util.clock"
local console = require "bertlua.train.console"
local context = require "bertlua.context"
local device = require "bertlua.device"
local fault = require "bertlua.fault"
local memory_plan = require "bertlua.jobs.common.memory_plan"
local progress = require "bertlua.util.progress"
local report = require "bertlua.train.report"
local tensorboard = require "bertlua.train.tensorboard"

local M = {}

local Logs = {}
Logs.__index = Logs

local SCALARS = { "loss", "mlm_loss", "nsp_loss", "mlm_accuracy", "nsp_accuracy", "learning_rate", "grad_norm",
    "loss_scale", "sequences_per_second", "tokens_per_second" }
local UNITS = { sequences_per_second = "sequences/s", tokens_per_second = "tokens/s, padding not counted" }

local function bytes_text(bytes)
    if bytes >= 2 ^ 30 then return ("%.2f GiB"):format(bytes / 2 ^ 30) end
    return ("%.0f MiB"):format(bytes / 2 ^ 20)
end

--- Open the logs of a run.
-- @param run the plan
-- @param values the settings
-- @param options bar: true shows a progress bar in place of a line a log step; append: true keeps what the report
--   file holds, as a run that goes on from a checkpoint always does
-- @param class of the object, for jobs that say other things (Logs)
function M.open(run, values, options, class)
    local self = setmetatable({ run = run, values = values, options = options or {}, warned = {} }, class or Logs)
    self.report = fault.check(report.open(values.report_file, {
        append = self.options.append or run.start.kind == "resume",
    }))
    self:try("report", self.report:parameters(values))
    for metric, unit in pairs(UNITS) do self:try("report", self.report:metadata(metric, { unit = unit })) end
    local folder = values.tensorboard_dir
    if folder == "auto" then folder = run.checkpoint_dir .. "/tensorboard" end
    if folder ~= "none" and not values.benchmark then self.events = fault.check(tensorboard.open(folder)) end
    self.console = console.new { max_steps = run.max_steps, without = self.options.without_columns,
        write = function(line) self:note(line) end }
    if self.options.bar then
        self.bar = progress.new { total = run.last_step, start = run.first_step - 1, label = run.phase,
            unit = "steps" }
    end
    return self
end

--- The logs of a rank that says nothing: rank 0 speaks for all.
function M.quiet()
    local nothing = function() end
    return setmetatable({}, { __index = function() return nothing end })
end

--- A failing log must not end the training: say so, once a log.
function Logs:try(name, ok, message)
    if not ok and not self.warned[name] then
        self.warned[name] = true
        io.stderr:write(("bertlua: warning: %s: %s; the run goes on without it\n"):format(name, tostring(message)))
    end
end

--- A line for people.
function Logs:note(line)
    if self.bar then return self.bar:log(line) end
    io.stdout:write(line, "\n")
    io.stdout:flush()
end

--- " on each of 4 ranks" and the like, for the line about memory; "" for one process.
function M.memory_share(parts)
    local ranks, partition = parts.ranks, parts.model.store.partition
    if not ranks or ranks.size == 1 then return "" end
    return (" on each of %d ranks%s"):format(ranks.size, partition and partition.divide
        and ", which divide the optimizer's state" or "")
end

--- "4 ranks x 32 x 2 micro-steps".
function M.update_text(parts, batch_size)
    local size = parts.ranks and parts.ranks.size or 1
    return ("%s%d x %d micro-steps"):format(size > 1 and size .. " ranks x " or "", batch_size,
        parts.accumulation / size)
end

--- Ranks of the job as lines for people and a record for the report: where the time went on each.
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
    return ("%d; waited for the others' gradients %.1f %% (rank %d) to %.1f %% (rank %d) of the time"):format(#list,
        100 * least.waiting / math.max(least.seconds, 1e-9), least.rank,
        100 * most.waiting / math.max(most.seconds, 1e-9), most.rank)
end

--- "bf16", or "fp32 with products in TF32".
function M.precision_text(run)
    return run.precision .. (run.tf32 and " with products in TF32" or "")
end

--- The memory plan, told before anything was taken.
function Logs:memory(parts)
    for _, line in ipairs(memory_plan.lines(parts.memory, bytes_text)) do self:note("memory    " .. line) end
    local share = M.memory_share(parts)
    if share ~= "" then self:note("          that is" .. share) end
end

--- What is about to run, and on what.
function Logs:start(parts)
    local run, values = self.run, self.values
    local store, shards = parts.model.store, parts.loader
    self:note(("machine   %s, %d threads%s"):format(context.describe(), context.threads(),
        parts.pinned and ", pinned" or ""))
    self:note(("model     %s: %.1f M parameters, %s"):format(values.bert_model, store.numel / 1e6,
        M.precision_text(run)))
    self:memory(parts)
    self:note(("data      %s: %d samples in %d shards, %d tokens long%s%s"):format(values.input_dir, shards.samples,
        shards.shards, shards.max_seq_length, values.pack_sequences and ", packed" or "",
        values.dynamic_masking and ", masked anew" or ""))
    self:note(("update    %d sequences: %s; steps %d to %d of %d"):format(values.batch_size * run.accumulation,
        M.update_text(parts, values.batch_size), run.first_step, run.last_step, run.max_steps))
    local start = run.start
    self:note(("start     %s"):format(start.kind == "fresh" and "fresh parameters, seed " .. values.seed
        or start.kind == "resume" and "going on from " .. start.path or "parameters of " .. start.path))
    for _, warning in ipairs(run.warnings) do self:note("warning: " .. warning) end
end

--- Called every step.
function Logs:step(step, last)
    if self.bar then
        self.bar:update(step, { loss = last.loss, mlm = ("%.1f %%"):format(100 * last.mlm_accuracy) })
    end
end

--- Called every log step.
function Logs:record(record)
    local data, scalars = {}, {}
    for _, name in ipairs(SCALARS) do
        data[name], scalars["train/" .. name] = record[name], record[name]
    end
    data.step_loss, data.skipped_steps = record.step_loss, record.skipped
    self:try("report", self.report:log(record.step, data))
    if self.events then self:try("tensorboard", self.events:scalars(record.step, scalars)) end
    if not self.bar then self.console:record(record) end
end

--- Figures of benchmark mode.
function Logs:benchmark(summary, text)
    self:note(text)
    self:try("report", self.report:log(nil, summary))
end

--- What the final table says: list of {name, text}.
function Logs:rows(outcome)
    local values = self.values
    local totals, last = outcome.totals, outcome.record
    local rows = { { "steps", ("%d to %d of %d%s"):format(outcome.plan.first_step, outcome.step,
        outcome.plan.max_steps, outcome.status == "interrupted" and ", ended by " .. outcome.signal or "") } }
    if last then
        rows[#rows + 1] = { "loss", ("%.4f (MLM %.4f, NSP %.4f), mean of the last %d steps"):format(last.loss,
            last.mlm_loss, last.nsp_loss, last.steps) }
        rows[#rows + 1] = { "accuracy", ("MLM %.1f %%, NSP %.1f %%, on training data"):format(100 * last.mlm_accuracy,
            100 * last.nsp_accuracy) }
    end
    rows[#rows + 1] = { "time", ("%s in steps"):format(clock.format(totals.seconds)) }
    rows[#rows + 1] = { "throughput", ("%.1f sequences/s, %.0f tokens/s (padding not counted)"):format(
        totals.sequences_per_second, totals.tokens_per_second) }
    local free, total = device.memory()
    if total and not device.is_host() then
        rows[#rows + 1] = { "memory", ("%s in use on the GPU, of these %s activations at the most"):format(
            bytes_text(total - free), bytes_text(outcome.activation_peak)) }
    end
    local peak = Meter.peak_memory()
    if peak and device.is_host() then
        rows[#rows + 1] = { "memory", ("%s at the most, of these %s activations"):format(bytes_text(peak),
            bytes_text(outcome.activation_peak)) }
    end
    rows[#rows + 1] = { "checkpoint", outcome.checkpoint or "none" }
    rows[#rows + 1] = { "report", values.report_file }
    return rows
end

--- The final table; closes the logs.
function Logs:finish(outcome)
    if self.bar then self.bar:finish() end
    self.bar = nil
    if not outcome.benchmark then
        self:note("")
        local rows, ranks = self:rows(outcome), self:ranks(outcome)
        if ranks then table.insert(rows, #rows, { "ranks", ranks }) end
        for _, row in ipairs(rows) do self:note(("%-11s%s"):format(row[1], row[2])) end
        local totals = outcome.totals
        self:try("report", self.report:log(nil, {
            steps = outcome.step, loss = outcome.record and outcome.record.loss, seconds = totals.seconds,
            sequences_per_second = totals.sequences_per_second, tokens_per_second = totals.tokens_per_second,
            peak_memory = Meter.peak_memory(), status = outcome.status,
        }))
    end
    self:close()
end

function Logs:close()
    self.report:close()
    if self.events then self.events:close() end
end

M.Logs = Logs
M.bytes_text = bytes_text

return M
