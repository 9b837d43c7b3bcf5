--- The pre-training loop: micro-steps, accumulation, schedule, update, logs,
-- checkpoints, signals. It knows nothing of BERT: a model is anything with
-- forward(tape, batch), a loader anything with batch(n).
--
-- Everything that changes from step to step is a function of the step number
-- (batch, dropout, learning rate) or lies in the parameters and the optimizer,
-- so a run that goes on from a checkpoint equals one that never stopped.

local fault = require "bertlua.fault"
local Meter = require "bertlua.train.meter"

local Trainer = {}
Trainer.__index = Trainer

--- @param parts table of
--   model, optimizer, loader, tape, schedule: what to train with;
--   accumulation: micro-steps in an update;
--   first_step, last_step: the updates of this run, counted from 1;
--   log_freq, on_log(record): called every log_freq steps and at the last;
--   checkpoint_freq, save(step, last) -> path: nil for none; last: means of that step;
--   on_step(step, record): called after every step (progress bars), or nil;
--   pending_signal() -> name or nil: asked after every step;
--   fields: names of the model's scalars to log (those of pre-training if left out);
--   now() -> seconds: for tests
function Trainer.new(parts)
    for _, name in ipairs { "model", "optimizer", "loader", "tape", "schedule", "accumulation", "first_step",
        "last_step", "log_freq" } do
        if parts[name] == nil then error("trainer: " .. name .. " is missing", 2) end
    end
    local trainer = setmetatable({}, Trainer)
    for name, value in pairs(parts) do trainer[name] = value end
    trainer.meter = Meter.new(parts.now, parts.fields)
    return trainer
end

--- One update: forward and backward of every micro-step, then the optimizer.
-- @return means over the micro-steps and the learning rate used
function Trainer:step(step)
    local optimizer, tape = self.optimizer, self.tape
    self.meter:begin_step()
    optimizer.store:zero_grad()
    for micro = 0, self.accumulation - 1 do
        local batch = self.loader:batch((step - 1) * self.accumulation + micro)
        tape:start(step, micro, true)
        local result = self.model:forward(tape, batch)
        self.meter:add(batch, result)
        tape:backward(result.loss, optimizer.loss_scale_tensor)
    end
    local learning_rate = self.schedule(step)
    optimizer:step(learning_rate)
    local record = self.meter:end_step()
    record.learning_rate = learning_rate
    return record
end

--- Stop at a loss that is no number, or at gradients that overflow for good.
-- @return state of the optimizer after the step
function Trainer:check(step, last)
    local loss = last.loss
    if loss ~= loss or loss == math.huge or loss == -math.huge then
        local name, what = self.optimizer:find_non_finite()
        fault.raisef("step %d: the loss is %s%s; lower --learning-rate (%.3g in this step) or lengthen "
            .. "--warmup-proportion%s", step, tostring(loss), name and (" (%s of %s)"):format(what, name) or "",
            last.learning_rate, self.saved_path and ", and go on from " .. self.saved_path or "")
    end
    return self.optimizer:check(step)
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

function Trainer:save_checkpoint(step, last)
    if self.save and self.saved_step ~= step then
        self.saved_path = self.save(step, last)
        self.saved_step = step
    end
end

--- Run the steps.
-- @return outcome: status "finished" or "interrupted" (then signal), step, last: means of the last step, record
--   of the last log line, totals, checkpoint path
function Trainer:run()
    local outcome = { status = "finished", step = self.first_step - 1 }
    for step = self.first_step, self.last_step do
        local last = self:step(step)
        local stats = self:check(step, last)
        outcome.step = step
        if self.on_step then self.on_step(step, last) end
        local signal = self.pending_signal and self.pending_signal()
        if step % self.log_freq == 0 or step == self.last_step or signal then
            outcome.record = self:log_record(step, last, stats)
            if self.on_log then self.on_log(outcome.record) end
        end
        if signal then
            outcome.status, outcome.signal = "interrupted", signal
            self:save_checkpoint(step, last)
            break
        elseif self.checkpoint_freq and step % self.checkpoint_freq == 0 then
            self:save_checkpoint(step, last)
        end
        outcome.last = last
    end
    if outcome.status == "finished" and outcome.step >= self.first_step then
        self:save_checkpoint(outcome.step, outcome.last)
    end
    outcome.totals = self.meter:totals()
    outcome.checkpoint = self.saved_path
    return outcome
end

return Trainer
