--- Line charts of one or more series, for the terminal and as SVG.
--
--     local chart = require "bertlua.util.chart"
--     local figure = {
--         title = "pre-training loss", x_label = "step", y_label = "loss",
--         series = { { name = "loss", x = { 1, 2, 3 }, y = { 9.1, 7.2, 6.8 } } },
--     }
--     print(chart.terminal(figure))
--     io.open("loss.svg", "w"):write(chart.svg(figure))
--
-- Fields of a figure: series (list of {name, x, y}; x defaults to 1, 2, ...),
-- title, x_label, y_label, log_x, log_y, smoothing (weight of the past in an
-- exponential mean, 0 for none, below 1), width, height. Values that are NaN,
-- or not positive on a log axis, leave a gap.
-- @module bertlua.util.chart

local scale = require "bertlua.util.chart.scale"

local chart = {}

local function check(figure)
    if type(figure) ~= "table" or type(figure.series) ~= "table" or #figure.series == 0 then
        error("chart: series is missing, expected a list of {name=, x=, y=}", 3)
    end
    local smoothing = figure.smoothing or 0
    if type(smoothing) ~= "number" or smoothing < 0 or smoothing >= 1 then
        error("chart: smoothing is " .. tostring(smoothing) .. ", expected 0 <= smoothing < 1", 3)
    end
    for i, series in ipairs(figure.series) do
        if type(series.y) ~= "table" then error(("chart: series %d has no y"):format(i), 3) end
        if series.x and #series.x ~= #series.y then
            error(("chart: series %d has %d x and %d y"):format(i, #series.x, #series.y), 3)
        end
    end
end

--- The chart as text lines, at most `width` (default 80) columns wide.
-- One series is drawn with braille dots, several with one mark each.
-- @tparam table figure see above; height (default 18) is in lines of the plot; ascii = true for plain marks
-- @treturn string with a newline at the end
function chart.terminal(figure)
    check(figure)
    return require("bertlua.util.chart.terminal").draw(figure, scale.prepare(figure))
end

--- The chart as an SVG document whose colours are legible on light and dark backgrounds.
-- @tparam table figure see above; width (default 720) and height (default 400) in pixels
-- @treturn string
function chart.svg(figure)
    check(figure)
    return require("bertlua.util.chart.svg").draw(figure, scale.prepare(figure))
end

return chart
