--- Learning rate as a function of the step.
--
-- With N = max_steps, W = floor(warmup_proportion * N) and steps counted from
-- 1 (the learning rate of the update that step s makes), every schedule warms up
-- alike and differs in what follows, with t = (s - W) / (N - W):
--
--     s <= W                start + (peak - start) * s / W
--     linear                peak * (1 - t)
--     polynomial            peak * (1 - t) ^ power
--     cosine                peak * (1 + cos(pi t)) / 2                        (arXiv 1608.03983, one period)
--     constant              peak
--     warmup_stable_decay   peak until decay_proportion * N steps before the end, then linear to 0  (arXiv 2404.06395)
--
-- So the first step has start + (peak - start) / W (peak * (1 - 1/N) without a
-- warm-up), step W has the peak, and the last step, N, has exactly 0, as in the
-- PaddlePaddle reference, whose scheduler has already advanced to 1 when the
-- first step asks it; only the constant one keeps the peak. With W = N the last
-- step has the peak. Past N it stays as at N.

local fault = require "bertlua.fault"
local lua_value = require "bertlua.util.lua_value"

local M = {}

--- Names of the schedules.
M.NAMES = { "linear", "polynomial", "cosine", "constant", "warmup_stable_decay" }

local function check(settings)
    local peak, total = settings.learning_rate, settings.max_steps
    if type(peak) ~= "number" or peak ~= peak or peak < 0 then
        fault.raisef("schedule: learning_rate is %s, expected a number >= 0", tostring(peak))
    end
    if type(total) ~= "number" or total < 1 or total % 1 ~= 0 then
        fault.raisef("schedule: max_steps is %s, expected a positive integer", tostring(total))
    end
    for name, limit in pairs { warmup_proportion = 1, decay_proportion = 1 } do
        local value = settings[name] or 0
        if value ~= value or value < 0 or value > limit then
            fault.raisef("schedule: %s is %s, expected a number in [0, 1]", name, tostring(value))
        end
    end
end

--- The share of the peak after the warm-up, as functions of t and of the step.
local SHAPES = {
    linear = function() return function(t) return 1 - t end end,
    polynomial = function(settings)
        local power = settings.power or 1
        return function(t) return (1 - t) ^ power end
    end,
    cosine = function() return function(t) return (1 + math.cos(math.pi * t)) / 2 end end,
    constant = function() return function() return 1 end end,
    warmup_stable_decay = function(settings)
        local total = settings.max_steps
        local decay = math.max(1, math.floor((settings.decay_proportion or 0.1) * total))
        return function(_, step) return math.min(1, (total - step) / decay) end
    end,
}

--- A schedule by its name.
-- @param name one of M.NAMES
-- @param settings {learning_rate=, warmup_start_lr=0, warmup_proportion=0, max_steps=, power=1, decay_proportion=0.1}
-- @return function(step) -> learning rate
function M.make(name, settings)
    check(settings)
    local peak, total, start = settings.learning_rate, settings.max_steps, settings.warmup_start_lr or 0
    local warmup = math.floor((settings.warmup_proportion or 0) * total)
    local share = SHAPES[name](settings)
    return function(step)
        if step <= warmup then return start + (peak - start) * step / warmup end
        if step >= total then
            return name == "constant" and peak or 0
        end
        return peak * share((step - warmup) / (total - warmup), step)
    end
end

--- A schedule that a recipe's function makes.
-- @param fn function(step, run) -> learning rate; run: what make() takes, and warmup_steps
-- @param settings as in make()
-- @return function(step) -> learning rate; a fault where fn returns anything else
function M.from_function(fn, settings)
    check(settings)
    local run = { warmup_steps = math.floor((settings.warmup_proportion or 0) * settings.max_steps) }
    for name, value in pairs(settings) do run[name] = value end
    -- What a step changed here, a resumed run would not know.
    local shown = setmetatable({}, { __index = run, __newindex = function(_, name)
        error(("run.%s cannot be set: the rate must follow from step and run alone"):format(tostring(name)), 2)
    end })
    return function(step)
        local rate = lua_value.call(("schedule, step %d"):format(step), fn, step, shown)
        if type(rate) ~= "number" or rate ~= rate or rate < 0 or rate == math.huge then
            fault.raisef("schedule: the %s returned %s at step %d, expected a finite number of at least 0",
                lua_value.shown(fn), tostring(rate), step)
        end
        return rate
    end
end

return M
