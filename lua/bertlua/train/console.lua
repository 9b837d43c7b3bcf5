--- The console log: one line per record in fixed columns, fits 80 columns.
--
--     step        loss    mlm    nsp       lr   grad scale  seq/s  tok/s      ETA
--     1000/7038  8.123  7.430  0.693 6.00e-03   12.3  2^20    529  67.7k  1:02:03
--
-- Results are the scalars of a task: list of {name = the record's field, column = its header, or nil for none}.
-- @module bertlua.train.console

local clock = require "bertlua.util.clock"
local progress = require "bertlua.util.progress"

local console = {}

local Console = {}
Console.__index = Console

-- Columns of a line where nobody knows better.
local WIDTH = 80
-- Lines between two headers, so that one is always in sight.
local HEADER_LINES = 40

local function short(x)
    return x and progress.short(x) or "-"
end

--- "2^20" for powers of two, which loss scales are unless set by hand.
local function scale(x)
    if not x then return "-" end
    local mantissa, exponent = math.frexp(x)
    if mantissa == 0.5 and exponent > 11 then return "2^" .. exponent - 1 end
    return progress.short(x)
end

-- Header, width, text of a record; the results come before these.
local COLUMNS = {
    { "lr", 9, function(r) return r.learning_rate and ("%.2e"):format(r.learning_rate) or "-" end },
    { "grad", 7, function(r) return short(r.grad_norm) end },
    { "scale", 6, function(r) return scale(r.loss_scale) end },
    { "seq/s", 7, function(r) return short(r.sequences_per_second) end },
    { "tok/s", 7, function(r) return short(r.tokens_per_second) end },
    { "ETA", 9, function(r) return clock.format(r.remaining) end },
}
-- Which of them go first where a line is too long; then results, from the last, and the ETA. The report has them all.
local DISPENSABLE = { "scale", "tok/s", "grad", "seq/s", "lr" }
-- Width of a result; more where its header is longer.
local RESULT = 7

--- The columns of a log that fit: list of {header, width, text of a record}.
local function layout(max_steps, results, columns)
    local list, total = {}, 2 * #tostring(max_steps) + 1
    for _, result in ipairs(results) do
        if result.column then
            list[#list + 1] = { result.column, math.max(RESULT, #result.column + 1), function(record)
                local value = record[result.name]
                return value and ("%.3f"):format(value) or "-"
            end, true }
        end
    end
    for _, column in ipairs(COLUMNS) do list[#list + 1] = column end
    for _, column in ipairs(list) do total = total + column[2] end
    local function drop(at)
        total = total - list[at][2]
        table.remove(list, at)
    end
    for _, name in ipairs(DISPENSABLE) do
        for at = #list, 1, -1 do
            if total > columns and list[at][1] == name and not list[at][4] then drop(at) end
        end
    end
    for _, of_results in ipairs { true, false } do
        for at = #list, 2, -1 do
            if total > columns and (list[at][4] or false) == of_results then drop(at) end
        end
    end
    return list
end

--- The first column is left-aligned and as wide as the step numbers.
local function row(first, max_steps, list, cell)
    local parts = { ("%-" .. 2 * #tostring(max_steps) + 1 .. "s"):format(first) }
    for _, column in ipairs(list) do
        local text = cell(column)
        parts[#parts + 1] = (" "):rep(math.max(1, column[2] - #text)) .. text
    end
    return table.concat(parts)
end

--- The columns' names.
-- @tparam number max_steps sets the width of the first column
-- @tparam table results as above
-- @tparam[opt=80] number columns of the terminal
function console.header(max_steps, results, columns)
    return row("step", max_steps, layout(max_steps, results, columns or WIDTH), function(column) return column[1] end)
end

--- One record as a line.
-- @tparam table record step, the results, learning_rate, grad_norm, loss_scale, sequences_per_second,
--   tokens_per_second, remaining (seconds); what is missing shows as "-"
-- @tparam number max_steps
-- @tparam table results as above
-- @tparam[opt=80] number columns of the terminal
function console.line(record, max_steps, results, columns)
    return row(("%d/%d"):format(record.step, max_steps), max_steps, layout(max_steps, results, columns or WIDTH),
        function(column) return column[3](record) end)
end

--- A console that prints records, with a header from time to time.
-- @tparam table options max_steps; results; write = function(line without newline), standard output if left out;
--   columns = function returning the terminal's (80 if left out)
function console.new(options)
    return setmetatable({
        max_steps = options.max_steps,
        results = options.results,
        columns = options.columns or function() return WIDTH end,
        write = options.write or function(line)
            io.stdout:write(line, "\n")
            io.stdout:flush()
        end,
        lines = 0,
    }, Console)
end

--- Results that have a column but no room for it: list of their names.
function Console:hidden()
    local shown, list = {}, {}
    for _, column in ipairs(layout(self.max_steps, self.results, self.columns() or WIDTH)) do
        if column[4] then shown[column[1]] = true end
    end
    for _, result in ipairs(self.results) do
        if result.column and not shown[result.column] then list[#list + 1] = result.name end
    end
    return list
end

--- Print the header, before the first record is there; nothing where results are only known with the first step.
function Console:begin()
    if #self.results == 0 then return end
    self.write(console.header(self.max_steps, self.results, self.columns()))
    self.headed = true
end

--- Print one record.
function Console:record(record)
    if self.lines % HEADER_LINES == 0 and not self.headed then self:begin() end
    self.headed = false
    self.lines = self.lines + 1
    self.write(console.line(record, self.max_steps, self.results, self.columns()))
end

return console
