--- bl.plot: values as a chart in the terminal, or in an SVG file.
--
--     bl.plot { 3, 1, 4, 1, 5 }
--     bl.plot(values, "loss.svg")                       to a file
--     bl.plot { train = list, dev = list }              several series
--     bl.plot "results/report.json"                     the losses of a run
--     bl.plot("first/report.json", "second/report.json")  two runs compared
--     bl.plot(values, { log_y = true, smoothing = 0.9 })
--
-- Values are lists, tensors or variables. Options: title, x_label, y_label, log_x, log_y, smoothing (0 to below 1),
-- width, height, ascii, and of runs metric ("loss"), such as "mlm_loss" or "learning_rate".

local chart = require "bertlua.util.chart"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local plural = require "bertlua.util.plural"
local tensor = require "bertlua.tensor"
local term = require "bertlua.util.term"

local M = {}

local OPTIONS = { title = "string", x_label = "string", y_label = "string", log_x = "boolean", log_y = "boolean",
    smoothing = "number", width = "number", height = "number", ascii = "boolean", metric = "string" }

local function is_finite(value)
    return type(value) == "number" and value - value == 0
end

--- The numbers of a run's report by step, and the steps in order. A step may have several records, of training, of an
-- evaluation, of event.log; of a number that a resumed run repeated the last one counts.
local function read_report(path)
    if fs.is_directory(path) then path = fs.join(path, "report.json") end
    local file, message = io.open(path, "rb")
    if not file then fault.raisef("plot: %s", message) end
    local by_step, steps = {}, {}
    for line in file:lines() do
        local record = json.decode(line:match "^DLLL (.*)$" or "null")
        if type(record) == "table" and record.type == "LOG" and type(record.step) == "number"
            and type(record.data) == "table" then
            local values = by_step[record.step]
            if not values then
                values = {}
                by_step[record.step], steps[#steps + 1] = values, record.step
            end
            for name, value in pairs(record.data) do values[name] = value end
        end
    end
    file:close()
    table.sort(steps)
    return by_step, steps, path
end

--- Names of the numbers in a report.
local function metrics_of(by_step, steps)
    local seen, names = {}, {}
    for _, step in ipairs(steps) do
        for name, value in pairs(by_step[step]) do
            if not seen[name] and (type(value) == "number" or tonumber(value)) then
                seen[name] = true
                names[#names + 1] = name
            end
        end
    end
    table.sort(names)
    return names, seen
end

--- Whether a figure has the values of a series already, of the same steps: one curve would hide the other.
local function is_drawn(figure, series)
    for _, other in ipairs(figure.series) do
        local same = #other.y == #series.y
        for i = 1, same and #series.y or 0 do
            -- NaN is NaN here.
            same = same and other.x[i] == series.x[i]
                and (other.y[i] == series.y[i] or other.y[i] ~= other.y[i] and series.y[i] ~= series.y[i])
        end
        if same then return true end
    end
    return false
end

--- Add the series of a report to a figure: the asked metric, or all losses.
-- @param alone whether it is the only run
local function add_report(figure, path, options, alone)
    local by_step, steps, file = read_report(path)
    local names, seen = metrics_of(by_step, steps)
    if #names == 0 then fault.raisef("plot: %s holds no step of a run: expected a run's --report-file", file) end
    local metric = options.metric or not alone and "loss" or nil
    if metric and not seen[metric] then
        fault.raisef("plot: %s has no %s, but %s", file, metric, table.concat(names, ", "))
    end
    for _, name in ipairs(names) do
        if name == metric or not metric and name:match "loss$" and not name:match "^step_" then
            local series = { name = alone and name or file, x = {}, y = {} }
            for _, step in ipairs(steps) do
                local value = by_step[step][name]
                if value ~= nil then
                    series.x[#series.x + 1] = step
                    -- NaN is text in a report.
                    series.y[#series.y + 1] = tonumber(value) or 0 / 0
                end
            end
            -- Of two runs, even equal ones are both asked for.
            if metric or not is_drawn(figure, series) then figure.series[#figure.series + 1] = series end
        end
    end
    if #figure.series == 0 then
        fault.raisef("plot: %s has no loss, but %s: name one with { metric = ... }", file, table.concat(names, ", "))
    end
    figure.x_label = figure.x_label or "step"
    figure.title = figure.title or alone and (metric or #figure.series == 1 and "loss") or metric
end

--- A list of numbers, from whatever holds some; nil if it is no such thing.
local function numbers(value)
    if type(value) == "table" and tensor.is(rawget(value, "value")) then value = value.value end
    if tensor.is(value) then value = value:tolist() end
    if type(value) == "number" then return { value } end
    if type(value) ~= "table" then return nil end
    return value
end

--- Refuse a list that holds something else; what is wrong is the caller's.
-- @param name of the list: "" for the only one, or " of series 2"
local function check_numbers(list, name)
    for i = 1, #list do
        if type(list[i]) ~= "number" then
            error(("plot: value %d%s is a %s, expected a number"):format(i, name, type(list[i])), 5)
        end
    end
end

local function is_options(value)
    if type(value) ~= "table" or next(value) == nil or #value > 0 or getmetatable(value) then return false end
    for name, option in pairs(value) do
        if type(option) ~= OPTIONS[name] then return false end
    end
    return true
end

--- Add one argument's series: a list of numbers, a list of lists, or lists by name.
local function add_values(figure, value, position)
    local list = numbers(value)
    if not list then
        error(("plot: argument %d is a %s, expected a list of numbers, a tensor or the name of a report"):format(
            position, type(value)), 4)
    end
    local inner = list[1]
    if inner == nil and getmetatable(list) then
        error(("plot: argument %d is an object, expected a list of numbers, a tensor or the name of a report"):format(
            position), 4)
    end
    if type(inner) == "table" or tensor.is(inner) then
        for i, row in ipairs(list) do
            local y = numbers(row)
            if not y then
                error(("plot: series %d is a %s, expected a list of numbers"):format(i, type(row)), 4)
            end
            check_numbers(y, " of series " .. i)
            figure.series[#figure.series + 1] = { name = "series " .. i, y = y }
        end
        return
    end
    if inner == nil and next(list) ~= nil then
        local names = {}
        for name in pairs(list) do names[#names + 1] = tostring(name) end
        table.sort(names)
        for _, name in ipairs(names) do
            local row = numbers(list[name])
            if not row then
                error(("plot: %s is a %s, expected a list of numbers; options are %s"):format(name, type(list[name]),
                    "title, x_label, y_label, log_x, log_y, smoothing, width, height, ascii, metric"), 4)
            end
            check_numbers(row, " of " .. name)
            figure.series[#figure.series + 1] = { name = name, y = row }
        end
        return
    end
    check_numbers(list, "")
    figure.series[#figure.series + 1] = { y = list }
end

--- How many values can't be drawn, and how many there are.
local function count_gaps(figure)
    local gaps, total = 0, 0
    for _, series in ipairs(figure.series) do
        for i = 1, #series.y do
            local value = series.y[i]
            total = total + 1
            if not is_finite(value) or figure.log_y and value <= 0 then gaps = gaps + 1 end
        end
    end
    return gaps, total
end

--- What a call draws, as text; also writes the file.
-- Errors are those of the caller's caller.
local function compose(...)
    local figure, options, reports, target = { series = {} }, {}, {}, nil
    local count = select("#", ...)
    if count == 0 then error("plot: values are missing, expected a list, a tensor or the name of a report", 3) end
    for i = 1, count do
        local value = select(i, ...)
        if type(value) == "string" then
            if value:match "%.png$" or value:match "%.pdf$" or value:match "%.jpe?g$" then
                fault.raisef("plot: %s: charts are written as SVG, into a name that ends in .svg", value)
            end
            if value:match "%.svg$" then target = value else reports[#reports + 1] = value end
        elseif is_options(value) then
            for name, option in pairs(value) do options[name], figure[name] = option, option end
        else
            add_values(figure, value, i)
        end
    end
    for _, path in ipairs(reports) do add_report(figure, path, options, #reports == 1 and #figure.series == 0) end
    local gaps, total = count_gaps(figure)
    if total == 0 then return "plot: nothing to draw, there are no values\n" end
    if gaps == total then
        return ("plot: nothing to draw, none of %s is finite%s\n"):format(plural.count(total, "value"),
            figure.log_y and " and positive" or "")
    end
    if #figure.series == 1 and not figure.title then figure.title = figure.series[1].name end
    figure.width = figure.width or not target and math.min(term.columns "stdout" - 1, 100) or nil
    local text
    if target then
        fault.check(fs.write(target, chart.svg(figure)))
        text = "wrote " .. target .. "\n"
    else
        text = chart.terminal(figure)
    end
    return text .. (gaps == 0 and "" or ("%s not drawn: NaN, infinite%s\n"):format(plural.count(gaps, "value"),
        figure.log_y and " or not positive" or ""))
end

--- The chart, or the line that says which file was written, as text.
-- @param ... as plot()
function M.text(...)
    local text = compose(...)
    return text
end

--- Draw values on standard output.
-- @param ... what to draw, in any order: lists, tensors or variables; names of reports or of runs' folders; a name that
--   ends in .svg, for a file instead of the terminal; a table of options
function M.plot(...)
    local text = compose(...)
    io.write(text)
end

return M
