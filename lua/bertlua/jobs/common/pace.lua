--- How long a run will take, said once, as soon as it can be measured, if that is hours.
--
-- The first step is slower than the others: memory is touched for the first time, kernels are chosen. So the pace is
-- that of the steps after it. Where the first step alone would take long, it is that of its micro-steps, without the
-- first ones.

local clock = require "bertlua.util.clock"

local M = {}

local Pace = {}
Pace.__index = Pace

-- Shorter runs need no warning.
local LONG = 3600
-- Seconds to measure, so that one slow step does not decide.
local ENOUGH = 10
-- Micro-steps of a run that are not measured: on a GPU they run op by op, then are recorded.
local WARM_UP = 3

--- @param run plan: first_step, last_step
--- @param say function(text), called at most once
--- @param now function that returns seconds (for tests)
function M.new(run, say, now)
    return setmetatable({ first = run.first_step, steps = run.last_step - run.first_step + 1,
        limited = run.last_step < run.max_steps, say = say, now = now or clock.monotonic, measured = 0, seconds = 0 },
        Pace)
end

--- "20,000"
local function thousands(n)
    local text = ("%d"):format(n)
    local groups = text:reverse():gsub("(%d%d%d)", "%1,"):gsub(",$", "")
    return groups:reverse()
end

--- "1 h 20 min", "36 h", "12 days".
local function duration_text(seconds)
    local minutes = math.floor(seconds / 60 + 0.5)
    local hours = math.floor(minutes / 60)
    if hours >= 48 then return ("%s days"):format(thousands(math.floor(hours / 24 + 0.5))) end
    if hours >= 10 or minutes % 60 == 0 then return ("%d h"):format(math.floor(minutes / 60 + 0.5)) end
    return ("%d h %d min"):format(hours, minutes % 60)
end

local function tell(self, seconds)
    self.told = true
    local total = seconds * self.steps
    if total < LONG then return end
    local each = seconds >= 600 and ("%.0f min"):format(seconds / 60) or seconds >= 10 and ("%.0f s"):format(seconds)
        or ("%.2g s"):format(seconds)
    self.say(("this run will take about %s: %s steps at %s each%s"):format(duration_text(total), thousands(self.steps),
        each, self.limited and "" or "; --steps-this-run N makes it shorter"))
end

--- A micro-step has been done.
-- @param step, done, total as in on_micro_step of train/trainer.lua
function Pace:micro_step(step, done, total)
    if self.told or step ~= self.first then return end
    if done == WARM_UP then self.began = self.now() end
    if done <= WARM_UP or done == total then return end
    local seconds = self.now() - self.began
    if seconds >= ENOUGH then tell(self, seconds / (done - WARM_UP) * total) end
end

--- A step has been done.
-- @param seconds that it took
function Pace:step(step, seconds)
    if self.told or step == self.first then return end
    self.measured, self.seconds = self.measured + 1, self.seconds + seconds
    if self.seconds >= ENOUGH then tell(self, self.seconds / self.measured) end
end

return M
