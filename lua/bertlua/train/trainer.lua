--- The training loop: micro-steps, accumulation, schedule, update, logs,
-- checkpoints, signals. It knows nothing about tasks: a model is anything with
-- forward(tape, batch), a loader anything with batch(n).
--
-- Everything that changes from step to step is a function of the step number
-- (batch, dropout, learning rate) or part of the parameters and the optimizer,
-- so a run that resumes from a checkpoint equals one that never stopped.
--
-- Nothing in a step waits for the device: batches come through the feeder,
-- losses and counters go out through the readback, and the ops are replayed as
-- recorded graphs where there are any. The results of a step are examined once
-- they arrive, at the latest after the next step has been queued; a log line, a
-- checkpoint and the end of the run wait for all of them.
--
-- Many processes. An update has `accumulation` micro-steps in total, numbered
-- across the whole job; rank r of n does numbers r, r + n, r + 2n, ... Batches
-- and dropout masks depend on that number, and the gradients of all are
-- averaged, each being that of its own mean loss, so n processes make the same
-- update as one process that does all micro-steps, up to the order of
-- additions. After every step the ranks exchange a few numbers, so that they
-- log, save, evaluate and stop together.
--
-- Data that cannot be read (a damaged shard, a failing disk) end the run with a
-- checkpoint of the step before, as nothing has been updated since. With many
-- processes the others may be in the middle of the step: the rank that failed
-- takes part in its reduction with gradients that are not finite, so all of them
-- skip the update, and then save together.

local fault = require "bertlua.fault"
local Feeder = require "bertlua.train.feeder"
local Graphs = require "bertlua.train.graphs"
local Meter = require "bertlua.train.meter"
local Ranks = require "bertlua.train.ranks"
local Readback = require "bertlua.train.readback"
local plural = require "bertlua.util.plural"
local storage = require "bertlua.storage"
local Trace = require "bertlua.util.trace"

local Trainer = {}
Trainer.__index = Trainer

--- @param parts table of
--   model, optimizer, loader, tape, schedule: what to train with;
--   accumulation: micro-steps per update, of all ranks together;
--   ranks: the processes of the job (train/ranks.lua); gradients: what reduces over them (train/gradients.lua); both
--   may be left out in a single process;
--   first_step, last_step: the updates of this run, counted from 1;
--   log_freq, on_log(record): called every log_freq steps and at the last;
--   checkpoint_freq, save(step, last) -> path: nil for none; last: means of that step, nil before
--   the first; resumed_from: path of the checkpoint that this run began with, or nil;
--   on_step(step, record, stats): called after every step (progress bars), or nil; stats: of the optimizer;
--   on_micro_step(step, done, total): called after each of this rank's micro-steps has been queued, or nil;
--   evaluation: nil, or {is_due(step), run(step) -> {save: a checkpoint is due, stop: the run is to end here, signal:
--   one that ended the evaluation}, first: true to evaluate before the first step, as at the end of the one before it};
--   is_due and run are called on every rank and give the same answers there;
--   pending_signal() -> name or nil: polled after every step, on every rank; a signal to any rank stops all;
--   trace: records what takes how long (util/trace.lua), or nil; on a GPU its spans of computation are the host's;
--   results: names of the scalars that the model's forward returns and that are averaged and logged, the loss first
--   ({"loss"} if left out);
--   objective: what computes the results in place of the model (train/objective.lua): forward(tape, batch), and names,
--   which stand for `results` and are known after the first call; on_results(names) is then called;
--   graphs: Graphs that replay recorded steps (one that is never enabled if left out);
--   now() -> seconds: for tests
function Trainer.new(parts)
    for _, name in ipairs { "model", "optimizer", "loader", "tape", "schedule", "accumulation", "first_step",
        "last_step", "log_freq" } do
        if parts[name] == nil then error("trainer: " .. name .. " is missing", 2) end
    end
    local trainer = setmetatable({}, Trainer)
    for name, value in pairs(parts) do trainer[name] = value end
    trainer.trace = parts.trace or Trace.none
    trainer.objective = parts.objective or parts.model
    trainer.meter = Meter.new(parts.now, parts.results)
    trainer.ranks = parts.ranks or Ranks.new { rank = 0, size = 1 }
    if trainer.accumulation % trainer.ranks.size ~= 0 then
        error(("trainer: %s cannot be divided evenly among %d ranks"):format(
            plural.count(trainer.accumulation, "micro-step"), trainer.ranks.size), 2)
    end
    local several = trainer.ranks.size > 1
    -- Ranks exchange the figures of each step, so all must examine them at the same time.
    trainer.in_flight = several and 0 or 1
    trainer.graphs = parts.graphs or Graphs.new { enabled = false }
    trainer.feeder = Feeder.new()
    if not parts.objective then trainer:open_readback() end
    trainer.pending = {}
    return trainer
end

--- Room for the scalars of the steps in flight.
function Trainer:open_readback()
    self.readback = Readback.new {
        fields = self.meter.fields, micro_steps = self.accumulation / self.ranks.size,
        counters = self.optimizer.scalars:numel(), depth = self.in_flight + 1,
    }
end

--- The first results have been computed, so their names are known.
function Trainer:learn_results()
    local names = self.objective.names
    self.ranks:require_equal(storage.crc32c(table.concat(names, "\n")), "names of results",
        "let the recipe's function return the same names on every process")
    self.meter:set_fields(names)
    self:open_readback()
    if self.on_results then self.on_results(names) end
end

--- Forward and backward pass of one micro-step.
-- @param fresh the store whose gradients are written, not added to; or nil
local function compute(trainer, batch, gradients, fresh)
    local tape = trainer.tape
    local trace = trainer.trace
    local began = trace.now()
    tape:reset(true)
    local result = trainer.objective:forward(tape, batch)
    local middle = trace.now()
    trace:span("compute", "forward", began, middle)
    if result.loss.needs_grad == false then
        fault.raise "the loss depends on no parameter that is trained: freeze less"
    end
    -- They are read after the backward pass, which releases the values of variables.
    for _, name in ipairs(trainer.meter.fields) do
        local scalar = result[name]
        if type(scalar) == "table" then scalar.external = true end
    end
    tape:backward(result.loss, trainer.optimizer.loss_scale_tensor, gradients, fresh)
    trace:span("compute", "backward", middle, trace.now())
    return result
end

--- Remember a fault of the data, which ends the run once that is safe; anything else is a bug, or Ctrl-C at the prompt.
function Trainer:fails(problem)
    if not fault.is(problem) then error(problem, 0) end
    self.failure = problem
end

--- The micro-steps of this rank, up to the sums of their gradients.
-- @param visit called with each batch and its results
function Trainer:accumulate(step, visit)
    local rank, size = self.ranks.rank, self.ranks.size
    local store = self.optimizer.store
    -- A micro-step that writes gradients is not the recording of one that adds to them: where most add, all do.
    local writes = not self.graphs.enabled or self.accumulation == size
    if not writes then store:zero_grad() end
    for number = rank, self.accumulation - 1, size do
        local read, batch = true, nil
        if not self.failure then
            read, batch = pcall(self.loader.batch, self.loader, (step - 1) * self.accumulation + number)
        end
        if not read then self:fails(batch) end
        if self.failure then return end
        local input = self.feeder:load(batch)
        self.tape:set_step(step, number)
        local gradients = number + size >= self.accumulation and self.gradients
        local fresh = writes and number == rank and store or nil
        -- Messages to other ranks are queued op by op as the pass proceeds; they cannot be part of a recording.
        local result = gradients and compute(self, input, gradients, fresh)
            or self.graphs:run(self.graphs.enabled and Graphs.key(batch), compute, self, input, nil, fresh)
        visit(batch, result)
    end
end

--- Queue one update: forward and backward of this rank's micro-steps, then the optimizer.
-- @return a signal, or nil; Meter.FAILURE, and nothing is queued, if the data failed in a single process
function Trainer:launch(step)
    local optimizer, meter = self.optimizer, self.meter
    local record, slot = meter:begin_step(), self.readback and self.readback:take()
    self:accumulate(step, function(batch, result)
        if not slot then
            self:learn_results()
            slot = self.readback:take()
        end
        meter:add(record, batch)
        self.readback:add(slot, result)
        if self.on_micro_step then
            self.on_micro_step(step, record.micro_steps, self.accumulation / self.ranks.size)
        end
    end)
    if self.failure and not self.gradients then return Meter.FAILURE end
    -- In the first step there is nothing to save.
    if self.failure and not slot then error(self.failure, 0) end
    local trace = self.trace
    local computed = trace.now()
    if self.gradients then
        meter:begin_wait()
        if self.failure then self.gradients:spoil() else self.gradients:finish() end
        meter:end_wait()
        trace:span("compute", "wait for gradients", computed, trace.now())
    end
    local reduced = trace.now()
    record.learning_rate = self.schedule(step)
    optimizer:set_learning_rate(record.learning_rate)
    if optimizer.communicates then
        optimizer:apply()
    else
        self.graphs:run("update", optimizer.apply, optimizer)
    end
    trace:span("compute", "update", reduced, trace.now(), { step = step })
    trace:collectives(self.ranks.comm)
    self.readback:close(slot, optimizer.scalars)
    local signal = self.failure and Meter.FAILURE or self.pending_signal and self.pending_signal()
    self.pending[#self.pending + 1] = { step = step, record = record, slot = slot, signal = signal }
    self.launched = step
    return signal
end

--- Examine the results of steps, oldest first, until at most `limit` are left and the oldest of those is not ready.
function Trainer:settle(limit, outcome)
    local pending = self.pending
    while pending[1] and (#pending > limit or pending[1].slot.reached:is_reached()) do
        local entry = table.remove(pending, 1)
        local sums, scalars = self.readback:read(entry.slot)
        local last, signal = self.meter:end_step(entry.record, sums, self.ranks, entry.signal)
        if signal == Meter.FAILURE then
            -- Counted as an update that overflowed, which it was not.
            if self.scalars then self.optimizer.scalars:set(self.scalars) end
            self:fail(entry.step - 1, outcome)
        end
        self.scalars = scalars
        outcome.stats = self:check(entry.step, last, scalars)
        outcome.step, outcome.last, outcome.signal = entry.step, last, signal
        if self.on_step then self.on_step(entry.step, last, outcome.stats) end
    end
end

--- The first parameter of any rank that holds an inf or NaN: name and "gradient" or "value"; or nil.
-- @param step whose gradients to examine; they are recomputed if a later step has overwritten them
function Trainer:find_non_finite(step)
    if self.launched > step then self:accumulate(step, function() end) end
    local name, what = self.optimizer:find_non_finite()
    if self.ranks.size == 1 then return name, what end
    local list = self.optimizer.store.list
    local mine = #list + 1
    for i, entry in ipairs(list) do
        if entry.name == name then mine = i end
    end
    local first, kind = #list + 1, nil
    for _, found in ipairs(self.ranks:exchange { mine, what == "gradient" and 1 or 0 }) do
        if found[1] < first then first, kind = found[1], found[2] == 1 and "gradient" or "value" end
    end
    return list[first] and list[first].name, kind
end

--- Stop, on every rank alike, at a loss that is not finite, at gradients that keep overflowing, or at a learning rate
-- that is not the same everywhere, which would make the ranks' models different ones.
-- @return state of the optimizer after the step
function Trainer:check(step, last, scalars)
    if #last.bad_ranks > 0 then
        local name, what = self:find_non_finite(step)
        local good = self.saved_path or self.resumed_from
        local who = self.ranks.size > 1 and (" on %s (found in %s)"):format(
            Ranks.names(last.bad_ranks), self.ranks.comm:where()) or ""
        local found = ("step %d: the loss is %s%s%s"):format(step, tostring(last.bad_loss), who,
            name and (" (%s of %s)"):format(what, name) or "")
        if step == 1 then
            -- No learning rate has had an effect yet.
            fault.raisef("%s before the first update: look at %s that the run starts from", found,
                self.objective ~= self.model and "the loss that the recipe computes, and at the parameters"
                or "the parameters")
        end
        fault.raisef("%s; lower --learning-rate (%.3g in this step) or lengthen --warmup-proportion%s", found,
            last.learning_rate, good and (", and resume from %s, the last that is finite"):format(good) or "")
    end
    if #last.rate_ranks > 0 then
        fault.raisef("step %d: the learning rate on %s is not that of rank 0 (%.3g): schedule must return the same on "
            .. "every process; on_step and its like, which run on rank 0 alone, must not change it", step,
            Ranks.names(last.rate_ranks), last.learning_rate)
    end
    local stats = self.optimizer:check(step, scalars, function() return self:find_non_finite(step) end)
    return stats
end

--- The record of a log line: means since the last one, with the state of this step.
function Trainer:log_record(step, last, stats)
    local record = self.meter:flush()
    record.step = step
    record.step_loss = last.loss
    record.learning_rate = last.learning_rate
    record.grad_norm = stats.grad_norm
    record.loss_scale = stats.loss_scale
    record.skipped = stats.skipped
    record.remaining = self.meter:remaining(self.last_step - step)
    return record
end

--- Write the checkpoint of a step, once.
-- @param step number
-- @param last means of that step
function Trainer:save_checkpoint(step, last)
    if self.save and self.saved_step ~= step then
        self.saved_path = self.save(step, last)
        self.saved_step = step
    end
end

--- End the run with the message of what failed on this rank or another, after a checkpoint of the last step that was
-- done.
-- @param step number of that step
-- @param problem fault; self.failure if left out
function Trainer:fail(step, outcome, problem)
    problem = problem or self.failure
    local done = ""
    if self.save and step >= self.first_step then
        local saved, reason = pcall(self.save_checkpoint, self, step, outcome.last)
        done = saved and ("; step %d was saved first: resume from %s"):format(step, self.saved_path)
            or ("; step %d could not be saved: %s"):format(step, fault.message(reason))
    end
    self.ranks:together(function()
        if not problem then return end
        fault.raise(problem.message .. done, problem.code)
    end)
end

--- Evaluate after a step whose results have been examined.
-- @return whether a checkpoint is due; outcome gets stopped = true, or the signal that ended the evaluation
function Trainer:evaluate(step, outcome)
    local good, verdict = pcall(self.evaluation.run, step)
    -- Rank 0 evaluates, and its faults are raised on all ranks.
    if not good and fault.is(verdict) then self:fail(step, outcome, verdict) end
    if not good then error(verdict, 0) end
    outcome.stopped, outcome.signal = verdict.stop, verdict.signal
    return verdict.save or verdict.stop
end

--- Run the steps.
-- @return outcome: status "finished" or "interrupted" (then signal), step, last: means of the last step, record
--   of the last log line, totals, ranks: list of figures of each rank, checkpoint path, stopped: true if an evaluation
--   ended the run
function Trainer:run()
    local outcome = { status = "finished", step = self.first_step - 1 }
    local evaluation = self.evaluation
    if evaluation and evaluation.first then
        local save = self:evaluate(outcome.step, outcome)
        if outcome.signal then
            outcome.status = "interrupted"
        elseif save or self.first_step > self.last_step then
            -- Where no step follows, nothing else would record that this step is evaluated.
            self:save_checkpoint(outcome.step)
        end
    end
    for step = self.first_step, (outcome.stopped or outcome.signal) and 0 or self.last_step do
        local signal = self:launch(step)
        if self.launched ~= step then
            self:settle(0, outcome)
            self:fail(step - 1, outcome)
        end
        -- While the device computes. What fails here fails the next step.
        if self.loader.prepare and step < self.last_step and not signal then
            local prepared, problem = pcall(self.loader.prepare, self.loader)
            if not prepared then self:fails(problem) end
        end
        local log = step % self.log_freq == 0 or step == self.last_step
        local save = self.checkpoint_freq and step % self.checkpoint_freq == 0
        local evaluate = evaluation and evaluation.is_due(step)
        self:settle((log or save or signal or evaluate) and 0 or self.in_flight, outcome)
        if log or outcome.signal then
            outcome.record = self:log_record(step, outcome.last, outcome.stats)
            if self.on_log then self.on_log(outcome.record) end
        end
        -- After a signal there may be little time: the resumed run evaluates this step first.
        if evaluate and not outcome.signal then save = self:evaluate(step, outcome) or save end
        signal = outcome.signal
        if signal then outcome.status = "interrupted" end
        if save or signal then self:save_checkpoint(step, outcome.last) end
        if signal or outcome.stopped then break end
    end
    if outcome.status == "finished" and outcome.step >= self.first_step then
        self:save_checkpoint(outcome.step, outcome.last)
    end
    outcome.totals = self.meter:totals()
    outcome.ranks = self.meter:by_rank(self.ranks)
    outcome.checkpoint = self.saved_path
    return outcome
end

return Trainer
