--- Clocks: wall-clock time for timestamps, monotonic time for durations.
-- @module bertlua.util.clock

local posix_time = require "posix.time"

local clock = {}

local function seconds(id)
    local now = posix_time.clock_gettime(id)
    return now.tv_sec + now.tv_nsec * 1e-9
end

--- Seconds since 1970, with fractions.
function clock.wall()
    return seconds(posix_time.CLOCK_REALTIME)
end

--- Seconds that never jump; only differences are meaningful.
function clock.monotonic()
    return seconds(posix_time.CLOCK_MONOTONIC)
end

--- "1:02:03" or "2:03" for a number of seconds; "--:--" for an unknown or infinite one.
function clock.format(duration)
    if not duration or duration ~= duration or duration < 0 or duration > 8.64e8 then return "--:--" end
    local s = math.floor(duration + 0.5)
    local days, hours, minutes = math.floor(s / 86400), math.floor(s / 3600) % 24, math.floor(s / 60) % 60
    if days > 0 then return ("%dd%02dh"):format(days, hours) end
    if hours > 0 then return ("%d:%02d:%02d"):format(hours, minutes, s % 60) end
    return ("%d:%02d"):format(minutes, s % 60)
end

return clock
