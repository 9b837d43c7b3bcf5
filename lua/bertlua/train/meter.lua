--- Meter: averages losses over the steps between two log lines and measures
-- throughput. Time spent outside begin_step .. end_step (checkpoints,
-- evaluation) is not counted. In a job of several processes, losses are means
-- and counts are sums over all of them, the same on every rank.

local clock = require "bertlua.util.clock"

local Meter = {}
Meter.__index = Meter

--- Peak resident memory of this process in bytes, or nil where the system does not report it.
function Meter.peak_memory()
    local file = io.open("/proc/self/status")
    if not file then return nil end
    local kib = file:read("*a"):match("VmHWM:%s*(%d+)%s*kB")
    file:close()
    return kib and tonumber(kib) * 1024
end

--- The number in a scalar: a tensor, or a variable of the tape.
function Meter.number(scalar)
    if type(scalar) == "table" and scalar.value then scalar = scalar.value end
    return scalar:item()
end

--- @param now function that returns seconds (for tests); the monotonic clock if left out
--- @param fields names of the model's scalars to average, the loss first ({"loss"} if left out)
function Meter.new(now, fields)
    local meter = setmetatable({ now = now or clock.monotonic, fields = fields or { "loss" } }, Meter)
    meter.run = { steps = 0, seconds = 0, sequences = 0, tokens = 0 }
    -- Of this rank alone: sequences, and the seconds of its steps spent waiting for gradients and other ranks.
    meter.own = { sequences = 0, waiting = 0 }
    meter:clear()
    return meter
end

--- Average these scalars from now on; before the end of the first step.
function Meter:set_fields(fields)
    self.fields = fields
    self:clear()
end

--- Start a new window of steps to average.
function Meter:clear()
    self.window = { steps = 0, seconds = 0, sequences = 0, tokens = 0 }
    for _, field in ipairs(self.fields) do self.window[field] = 0 end
end

--- Open the record of a step. More than one may be open; they are closed in the order of opening.
function Meter:begin_step()
    return { started = self.now(), micro_steps = 0, sequences = 0, tokens = 0 }
end

--- Count one micro-step.
-- @param step record of begin_step
-- @param batch the loader's batch: batch_size sequences, tokens real tokens
function Meter:add(step, batch)
    step.micro_steps = step.micro_steps + 1
    step.sequences = step.sequences + batch.batch_size
    step.tokens = step.tokens + batch.tokens
    self.own.sequences = self.own.sequences + batch.batch_size
end

--- This rank has nothing to do until end_wait().
function Meter:begin_wait()
    self.wait_started = self.now()
end

--- The end of the wait that began with begin_wait().
function Meter:end_wait()
    self.own.waiting = self.own.waiting + self.now() - self.wait_started
end

--- In place of a signal: a rank could not read what to train on in this step.
Meter.FAILURE = "failure"

-- Signals as the ranks exchange them; if there are several, the last in this list counts.
local SIGNALS = { "SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP", "SIGPIPE", Meter.FAILURE }

local function code_of(signal)
    for code, name in ipairs(SIGNALS) do
        if name == signal then return code end
    end
    return 0
end

local function is_finite(x)
    return x - x == 0
end

--- Put into the step its sums over all ranks, which ranks have a loss that is not finite, and which have another
-- learning rate than rank 0.
-- @return the signal of any rank, or nil
local function combine(step, fields, ranks, signal)
    local mine = { step.micro_steps, step.sequences, step.tokens, code_of(signal), step.learning_rate or 0 }
    local rate
    for _, field in ipairs(fields) do mine[#mine + 1] = step[field] end
    for _, name in ipairs { "micro_steps", "sequences", "tokens" } do step[name] = 0 end
    for _, field in ipairs(fields) do step[field] = 0 end
    step.bad_ranks, step.rate_ranks = {}, {}
    local code = 0
    for r, theirs in ipairs(ranks and ranks:exchange(mine) or { mine }) do
        step.micro_steps, step.sequences = step.micro_steps + theirs[1], step.sequences + theirs[2]
        step.tokens, code = step.tokens + theirs[3], math.max(code, theirs[4])
        rate = rate or theirs[5]
        if theirs[5] ~= rate then step.rate_ranks[#step.rate_ranks + 1] = r - 1 end
        for i, field in ipairs(fields) do step[field] = step[field] + theirs[5 + i] end
        local loss = theirs[6] / theirs[1]
        if not is_finite(loss) then
            step.bad_ranks[#step.bad_ranks + 1] = r - 1
            step.bad_loss = step.bad_loss or loss
        end
    end
    -- Each rank says the same, whichever of them is heard.
    if #step.rate_ranks > 0 then step.learning_rate = rate end
    return SIGNALS[code]
end

--- Close the record of a step whose results have arrived: its means over the micro-steps of all ranks, and seconds. A
-- step that began while the previous one was still being computed counts from the end of that one. The first field is
-- the loss.
-- @param step record of begin_step
-- @param sums of the fields over this rank's micro-steps
-- @param ranks the processes of the job (train/ranks.lua), nil for one
-- @param signal name of a signal that this rank got, or nil
-- @return step {micro_steps, sequences, tokens, seconds, the fields; bad_ranks: those whose loss is not finite, and
--   bad_loss, the first of theirs; rate_ranks: those whose learning rate is not rank 0's, which
--   learning_rate is then}; the signal that any rank got, or nil
function Meter:end_step(step, sums, ranks, signal)
    local window, run = self.window, self.run
    for _, field in ipairs(self.fields) do step[field] = sums[field] end
    signal = combine(step, self.fields, ranks, signal)
    local now = self.now()
    step.seconds = now - math.max(step.started, self.ended or step.started)
    self.ended = now
    for _, field in ipairs(self.fields) do
        step[field] = step[field] / step.micro_steps
        window[field] = window[field] + step[field]
    end
    for _, total in ipairs { window, run } do
        total.steps = total.steps + 1
        for _, field in ipairs { "seconds", "sequences", "tokens" } do total[field] = total[field] + step[field] end
    end
    return step, signal
end

local function rate(count, seconds)
    return seconds > 0 and count / seconds or 0
end

--- Means over the window, which is cleared; sequences_per_second counts sequences,
-- tokens_per_second real tokens (padding is not counted).
function Meter:flush()
    local window = self.window
    local record = {
        steps = window.steps,
        seconds = window.seconds,
        sequences_per_second = rate(window.sequences, window.seconds),
        tokens_per_second = rate(window.tokens, window.seconds),
    }
    for _, field in ipairs(self.fields) do record[field] = window[field] / window.steps end
    self:clear()
    return record
end

--- Totals of the run: steps, seconds, sequences, tokens and their rates.
function Meter:totals()
    local run = self.run
    return {
        steps = run.steps, seconds = run.seconds, sequences = run.sequences, tokens = run.tokens,
        sequences_per_second = rate(run.sequences, run.seconds),
        tokens_per_second = rate(run.tokens, run.seconds),
    }
end

--- Figures of every rank: list of {rank, sequences, seconds in steps, waiting: those spent waiting for others}.
function Meter:by_rank(ranks)
    local list = {}
    for r, values in ipairs(ranks:exchange { self.own.sequences, self.run.seconds, self.own.waiting }) do
        list[r] = { rank = r - 1, sequences = values[1], seconds = values[2], waiting = values[3] }
    end
    return list
end

--- Seconds left at the mean pace of the run.
function Meter:remaining(steps_left)
    return self.run.steps > 0 and self.run.seconds / self.run.steps * steps_left or 0
end

return Meter
