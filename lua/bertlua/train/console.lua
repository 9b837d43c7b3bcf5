--- The log for people: one line a record in fixed columns, 78 characters wide.
--
--     step        loss    mlm    nsp       lr   grad scale  seq/s  tok/s      ETA
--     1000/7038  8.123  7.430  0.693 6.00e-03   12.3  2^20    529  67.7k  1:02:03
-- @module bertlua.train.console

local clock = require "bertlua.util.clock"
local progress = require "bertlua.util.progress"

local console = {}

local Console = {}
Console.__index = Console

-- A header every so many lines, so that one is always in sight.
local HEADER_LINES = 40

local function loss(x)
    return x and ("%.3f"):format(x) or "-"
end

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

-- Header, width, text of a record. The first column is left-aligned and as wide as the step numbers.
local COLUMNS = {
    { "loss", 7, function(r) return loss(r.loss) end },
    { "mlm", 7, function(r) return loss(r.mlm_loss) end },
    { "nsp", 7, function(r) return loss(r.nsp_loss) end },
    { "lr", 9, function(r) return r.learning_rate and ("%.2e"):format(r.learning_rate) or "-" end },
    { "grad", 7, function(r) return short(r.grad_norm) end },
    { "scale", 6, function(r) return scale(r.loss_scale) end },
    { "seq/s", 7, function(r) return short(r.sequences_per_second) end },
    { "tok/s", 7, function(r) return short(r.tokens_per_second) end },
    { "ETA", 9, function(r) return clock.format(r.remaining) end },
}

local function row(first, width, without, cells)
    local parts = { ("%-" .. width .. "s"):format(first) }
    for _, column in ipairs(COLUMNS) do
        if not (without and without[column[1]]) then
            local text = cells(column)
            parts[#parts + 1] = (" "):rep(math.max(1, column[2] - #text)) .. text
        end
    end
    return table.concat(parts)
end

--- The columns' names.
-- @tparam number max_steps sets the width of the first column
-- @tparam[opt] table without columns to leave out: {mlm = true}
function console.header(max_steps, without)
    return row("step", 2 * #tostring(max_steps) + 1, without, function(column) return column[1] end)
end

--- One record as a line.
-- @tparam table record step, loss, mlm_loss, nsp_loss, learning_rate, grad_norm, loss_scale, sequences_per_second,
--   tokens_per_second, remaining (seconds); what is missing shows as "-"
-- @tparam number max_steps
-- @tparam[opt] table without as in header
function console.line(record, max_steps, without)
    local width = 2 * #tostring(max_steps) + 1
    return row(("%d/%d"):format(record.step, max_steps), width, without, function(column)
        return column[3](record)
    end)
end

--- A console that prints records with a header now and then.
-- @tparam table options max_steps; without as in header; write = function(line without newline), standard output if
--   left out
function console.new(options)
    return setmetatable({
        max_steps = options.max_steps,
        without = options.without,
        write = options.write or function(line)
            io.stdout:write(line, "\n")
            io.stdout:flush()
        end,
        lines = 0,
    }, Console)
end

--- Print one record.
function Console:record(record)
    if self.lines % HEADER_LINES == 0 then self.write(console.header(self.max_steps, self.without)) end
    self.lines = self.lines + 1
    self.write(console.line(record, self.max_steps, self.without))
end

return console
