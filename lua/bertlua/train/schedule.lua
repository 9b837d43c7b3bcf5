--- Learning rate as a function of the step.

local fault = require "bertlua.fault"

local M = {}

--- Linear warm-up, then linear decay to 0.
--
-- With N = max_steps, W = floor(warmup_proportion * N) and steps counted from
-- 1 (the learning rate of the update that step s makes):
--
--     s <= W:  start + (peak - start) * s / W
--     s >  W:  peak * (1 - (s - W) / (N - W)) ^ power
--
-- So the first step has start + (peak - start) / W (peak * (1 - 1/N) without a
-- warm-up), step W has the peak, and the last step, N, has exactly 0, as in the
-- PaddlePaddle reference, whose scheduler has already advanced to 1 when the
-- first step asks it. With W = N the last step has the peak. Past N it stays 0.
--
-- @param settings {learning_rate=, warmup_start_lr=0, warmup_proportion=0, max_steps=, power=1}
-- @return function(step) -> learning rate
function M.polynomial(settings)
    local peak, total = settings.learning_rate, settings.max_steps
    local start, proportion = settings.warmup_start_lr or 0, settings.warmup_proportion or 0
    local power = settings.power or 1
    if type(peak) ~= "number" or peak ~= peak or peak < 0 then
        fault.raisef("schedule: learning_rate is %s, expected a number >= 0", tostring(peak))
    end
    if type(total) ~= "number" or total < 1 or total % 1 ~= 0 then
        fault.raisef("schedule: max_steps is %s, expected a positive integer", tostring(total))
    end
    if proportion ~= proportion or proportion < 0 or proportion > 1 then
        fault.raisef("schedule: warmup_proportion is %s, expected a number in [0, 1]", tostring(proportion))
    end
    local warmup = math.floor(proportion * total)
    return function(step)
        if step <= warmup then return start + (peak - start) * step / warmup end
        if step >= total then return 0 end
        return peak * (1 - (step - warmup) / (total - warmup)) ^ power
    end
end

return M
