--- What both forms of a chart share: cleaned points, ranges, ticks, smoothing.
-- @module bertlua.util.chart.scale

local scale = {}

local function usable(value, log)
    return type(value) == "number" and value == value and math.abs(value) < math.huge and (not log or value > 0)
end

--- Exponential mean with the start-up bias removed, as in TensorBoard.
function scale.smooth(values, weight)
    if weight == 0 then return values end
    local out, mean, power = {}, 0, 1
    for i, value in ipairs(values) do
        mean = mean * weight + value * (1 - weight)
        power = power * weight
        out[i] = mean / (1 - power)
    end
    return out
end

--- Runs of neighbouring usable points: list of {x = {...}, y = {...}}.
local function split(series, log_x, log_y)
    local runs, run = {}, nil
    for i = 1, #series.y do
        local x, y = series.x and series.x[i] or i, series.y[i]
        if usable(x, log_x) and usable(y, log_y) then
            if not run then
                run = { x = {}, y = {} }
                runs[#runs + 1] = run
            end
            run.x[#run.x + 1], run.y[#run.y + 1] = x, y
        else
            run = nil
        end
    end
    return runs
end

--- Step of 1, 2 or 5 times a power of ten, giving at most `count` intervals.
local function nice_step(span, count)
    local raw = span / count
    local power = 10 ^ math.floor(math.log10(raw))
    for _, factor in ipairs { 1, 2, 5 } do
        -- Rounding must not push an exact match to the next factor.
        if factor * power >= raw * (1 - 1e-9) then return factor * power end
    end
    return 10 * power
end

--- A number as a short label; `step` sets the decimals of a linear axis.
local function label(value, step)
    local magnitude = math.abs(value)
    if magnitude > 0 and (magnitude >= 1e6 or magnitude < 1e-3) then
        return (("%.3g"):format(value):gsub("e([+-])0?(%d)", function(sign, digit)
            return "e" .. (sign == "-" and "-" or "") .. digit
        end))
    end
    if not step then return ("%g"):format(value) end
    local decimals = math.max(0, -math.floor(math.log10(step) + 1e-9))
    return (("%%.%df"):format(decimals)):format(value == 0 and 0 or value)
end

local function linear_ticks(low, high, count)
    local step = nice_step(high - low, count)
    local ticks = {}
    for i = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) do
        ticks[#ticks + 1] = { value = i * step, label = label(i * step, step) }
    end
    return ticks
end

local function log_ticks(low, high, count)
    local decades = math.log10(high / low)
    local factors = decades < 1.5 and { 1, 2, 5 } or { 1 }
    local stride = math.max(1, math.ceil(decades / count))
    local ticks = {}
    for exponent = math.floor(math.log10(low)), math.ceil(math.log10(high)) do
        if exponent % stride == 0 then
            for _, factor in ipairs(factors) do
                local value = factor * 10 ^ exponent
                if value >= low * (1 - 1e-9) and value <= high * (1 + 1e-9) then
                    ticks[#ticks + 1] = { value = value, label = label(value) }
                end
            end
        end
    end
    -- A range inside one decade without a round number: fall back to even steps.
    return #ticks >= 2 and ticks or linear_ticks(low, high, count)
end

--- An axis from its extremes: {low, high, log, position = value -> [0, 1], ticks = count -> list}.
local function make_axis(low, high, log, pad)
    if low > high then low, high = 1, 2 end
    if log then
        if low == high then low, high = low / 2, high * 2 end
        local margin = (high / low) ^ pad
        low, high = low / margin, high * margin
    else
        if low == high then
            local half = math.max(math.abs(low) * 0.05, 0.5)
            low, high = low - half, high + half
        end
        local margin = (high - low) * pad
        low, high = low - margin, high + margin
    end
    local axis = { low = low, high = high, log = log }
    function axis.position(value)
        if log then return math.log(value / low) / math.log(high / low) end
        return (value - low) / (high - low)
    end
    function axis.ticks(count)
        return (log and log_ticks or linear_ticks)(low, high, count)
    end
    return axis
end

--- Points and axes of a figure.
-- @return {x = axis, y = axis, series = {{name, raw = runs, smooth = runs or nil}}}
function scale.prepare(figure)
    local prepared = { series = {} }
    local range = { x = { math.huge, -math.huge }, y = { math.huge, -math.huge } }
    local weight = figure.smoothing or 0
    for i, series in ipairs(figure.series) do
        local raw = split(series, figure.log_x, figure.log_y)
        local entry = { name = series.name or "series " .. i, raw = raw }
        if weight > 0 then
            entry.smooth = {}
            for j, run in ipairs(raw) do
                entry.smooth[j] = { x = run.x, y = scale.smooth(run.y, weight) }
            end
        end
        for _, run in ipairs(raw) do
            for key, limits in pairs(range) do
                for _, value in ipairs(run[key]) do
                    limits[1], limits[2] = math.min(limits[1], value), math.max(limits[2], value)
                end
            end
        end
        prepared.series[i] = entry
    end
    prepared.x = make_axis(range.x[1], range.x[2], figure.log_x, 0)
    prepared.y = make_axis(range.y[1], range.y[2], figure.log_y, 0.04)
    return prepared
end

return scale
