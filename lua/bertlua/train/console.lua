--- The console log: one line per record in fixed columns, 78 characters wide with up to three results. More, or results
-- with long names, get a column as long as the line stays within 79.
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

local WIDTH = 79

--- Width of the column of a result.
local function width_of(result)
    return math.max(7, #result.column + 1)
end

local function first_width(max_steps)
    return 2 * #tostring(max_steps) + 1
end

--- The results that have a column, and the names of those for which there is no room.
local function columns_of(results, max_steps)
    local shown, hidden, width = {}, {}, first_width(max_steps)
    for _, column in ipairs(COLUMNS) do width = width + column[2] end
    for i, result in ipairs(results) do
        if result.column and (i <= 3 and width_of(result) == 7 or width + width_of(result) <= WIDTH) then
            width = width + width_of(result)
            shown[#shown + 1] = result
        elseif result.column then
            hidden[#hidden + 1] = result.name
        end
    end
    return shown, hidden
end

--- The first column is left-aligned and as wide as the step numbers.
local function row(first, max_steps, results, cell, result_cell)
    local parts = { ("%-" .. first_width(max_steps) .. "s"):format(first) }
    local function put(text, columns)
        parts[#parts + 1] = (" "):rep(math.max(1, columns - #text)) .. text
    end
    for _, result in ipairs((columns_of(results, max_steps))) do put(result_cell(result), width_of(result)) end
    for _, column in ipairs(COLUMNS) do put(cell(column), column[2]) end
    return table.concat(parts)
end

--- The columns' names.
-- @tparam number max_steps sets the width of the first column
-- @tparam table results as above
function console.header(max_steps, results)
    return row("step", max_steps, results, function(column) return column[1] end,
        function(result) return result.column end)
end

--- One record as a line.
-- @tparam table record step, the results, learning_rate, grad_norm, loss_scale, sequences_per_second,
--   tokens_per_second, remaining (seconds); what is missing shows as "-"
-- @tparam number max_steps
-- @tparam table results as above
function console.line(record, max_steps, results)
    return row(("%d/%d"):format(record.step, max_steps), max_steps, results, function(column)
        return column[3](record)
    end, function(result)
        local value = record[result.name]
        return value and ("%.3f"):format(value) or "-"
    end)
end

--- A console that prints records, with a header from time to time.
-- @tparam table options max_steps; results; write = function(line without newline), standard output if left out
function console.new(options)
    return setmetatable({
        max_steps = options.max_steps,
        results = options.results,
        write = options.write or function(line)
            io.stdout:write(line, "\n")
            io.stdout:flush()
        end,
        lines = 0,
    }, Console)
end

--- Names of the results that have no column for lack of room.
function Console:hidden()
    return select(2, columns_of(self.results, self.max_steps))
end

--- Print one record.
function Console:record(record)
    if self.lines % HEADER_LINES == 0 then self.write(console.header(self.max_steps, self.results)) end
    self.lines = self.lines + 1
    self.write(console.line(record, self.max_steps, self.results))
end

return console
