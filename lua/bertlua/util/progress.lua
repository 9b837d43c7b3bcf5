--- Progress of a long job: a bar that redraws itself on a terminal, or an occasional
-- plain line when the output goes to a file or a pipe.
--
--     local bar = progress.new { total = 1000, label = "shards", unit = "articles" }
--     for i = 1, 1000 do bar:update(i, { loss = 1.23 }) end
--     bar:finish()
-- @module bertlua.util.progress

local clock = require "bertlua.util.clock"
local term = require "bertlua.util.term"

local progress = {}

local Bar = {}
Bar.__index = Bar

-- Ten redraws per second look smooth; plain lines are for logs, where one every ten seconds is plenty.
local REDRAW_SECONDS = 0.1
local PLAIN_SECONDS = 10
-- Weight of the latest rate in the moving average, per second of work.
local SMOOTHING_SECONDS = 15

local blocks = { "▏", "▎", "▍", "▌", "▋", "▊", "▉" }

--- A bar of `width` columns, filled to a fraction in [0, 1].
local function draw_bar(fraction, width, plain)
    local eighths = math.floor(fraction * width * 8 + 0.5)
    local full, rest = math.floor(eighths / 8), eighths % 8
    if plain then return ("#"):rep(full) .. ("."):rep(width - full) end
    local text = ("█"):rep(full)
    if rest > 0 then
        text = text .. blocks[rest]
        full = full + 1
    end
    return text .. (" "):rep(width - full)
end

--- A number in at most five characters: 0.123, 12.3, 1234, 56.7k, 1.23M.
function progress.short(x)
    if x ~= x or x == math.huge or x == -math.huge then return tostring(x) end
    local magnitude = math.abs(x)
    for _, unit in ipairs { { 1e9, "G" }, { 1e6, "M" }, { 1e4, "k", 1e3 } } do
        if magnitude >= unit[1] * 0.9995 then
            local scaled = x / (unit[3] or unit[1])
            return (math.abs(scaled) >= 99.95 and "%.0f%s" or math.abs(scaled) >= 9.995 and "%.1f%s" or "%.2f%s")
                :format(scaled, unit[2])
        end
    end
    if magnitude == math.floor(magnitude) then return ("%d"):format(x) end
    if magnitude >= 999.5 then return ("%.0f"):format(x) end
    if magnitude >= 1 then return ("%.3g"):format(x) end
    return ("%.3f"):format(x)
end

--- New progress display.
-- @tparam table options total = number of units or nil if unknown; label; unit = name of the units, plural;
--   start = units already done (default 0); stream = "stderr" (default) or "stdout"; write = function(text) instead of
--   a stream; terminal = boolean to force the form; columns; clock = function returning seconds; ascii = boolean;
--   plain_seconds = interval between plain lines
function progress.new(options)
    local total = options.total
    if total ~= nil and (type(total) ~= "number" or total < 0) then
        error("progress.new: total is " .. tostring(total) .. ", expected a number or nil", 2)
    end
    local stream = options.stream or "stderr"
    local terminal = options.terminal
    if terminal == nil then terminal = term.is_terminal(stream) end
    local now = options.clock or clock.monotonic
    local started = now()
    return setmetatable({
        total = total,
        label = options.label or "",
        unit = options.unit or "",
        stream = stream,
        sink = options.write or function(text)
            local file = stream == "stdout" and io.stdout or io.stderr
            file:write(text)
            file:flush()
        end,
        terminal = terminal,
        columns = options.columns,
        ascii = options.ascii,
        clock = now,
        pause = terminal and REDRAW_SECONDS or options.plain_seconds or PLAIN_SECONDS,
        started = started,
        first = options.start or 0,
        done = options.start or 0,
        shown_at = terminal and -math.huge or started,
        rate_at = started,
        rate_done = options.start or 0,
        rate = nil,
        drawn = 0,
    }, Bar)
end

--- Moving average of units per second, so that the ETA follows changes in speed without jumping around.
local function update_rate(self, now)
    local elapsed = now - self.rate_at
    if elapsed <= 0 or self.done == self.first then return end
    local latest = (self.done - self.rate_done) / elapsed
    local weight = 1 - math.exp(-elapsed / SMOOTHING_SECONDS)
    if not self.rate then
        weight = 1
    elseif now - self.started < SMOOTHING_SECONDS then
        -- Early on, the plain mean is a better estimate.
        latest, weight = (self.done - self.first) / (now - self.started), 1
    end
    self.rate = (self.rate or 0) * (1 - weight) + latest * weight
    self.rate_at, self.rate_done = now, self.done
end

--- The fields as texts, in the order of their names.
local function format_fields(fields)
    if type(fields) == "string" then return { fields ~= "" and fields or nil } end
    local parts = {}
    local keys = {}
    for key in pairs(fields or {}) do keys[#keys + 1] = key end
    table.sort(keys)
    for _, key in ipairs(keys) do
        local value = fields[key]
        parts[#parts + 1] = key .. " " .. (type(value) == "number" and progress.short(value) or tostring(value))
    end
    return parts
end

--- The line for the current state, at most `columns` wide.
local function compose(self, now, finished)
    local elapsed = now - self.started
    local rate = finished and elapsed > 0 and (self.done - self.first) / elapsed or self.rate
    local head = self.label ~= "" and self.label .. " " or ""
    local tail = {}
    local fraction
    if self.total and self.total > 0 then
        fraction = math.min(1, math.max(0, self.done / self.total))
        tail[#tail + 1] = ("%3d%%"):format(math.floor(fraction * 100))
        tail[#tail + 1] = progress.short(math.floor(self.done)) .. "/" .. progress.short(self.total)
    else
        tail[#tail + 1] = progress.short(math.floor(self.done))
    end
    if self.unit ~= "" then tail[#tail] = tail[#tail] .. " " .. self.unit end
    if rate then tail[#tail + 1] = progress.short(rate) .. "/s" end
    tail[#tail + 1] = clock.format(elapsed)
    if not finished and fraction then
        local left = rate and rate > 0 and (self.total - self.done) / rate or nil
        tail[#tail + 1] = "ETA " .. clock.format(left)
    end
    for _, field in ipairs(format_fields(self.fields)) do tail[#tail + 1] = field end
    local text = table.concat(tail, "  ")
    local columns = self.columns or term.columns(self.stream)
    -- What does not fit is left out from the end; nothing is cut within a word.
    while #tail > 1 and term.width(head) + term.width(text) > columns - 1 do
        tail[#tail] = nil
        text = table.concat(tail, "  ")
    end
    local room = columns - term.width(head) - term.width(text) - 4
    if fraction and room >= 6 then
        local bar = draw_bar(fraction, math.min(room, 30), self.ascii or not self.terminal)
        text = (self.ascii or not self.terminal) and "[" .. bar .. "] " .. text or "▕" .. bar .. "▏ " .. text
    end
    -- One column stays free: a full line makes some terminals wrap.
    return term.cut(head .. text, columns - 1)
end

-- The bar that stands in the terminal's last line, if there is one.
local standing = setmetatable({}, { __mode = "v" })

--- Leave the line of a bar that was not finished, for a message that follows.
function progress.leave_line()
    local bar = standing.bar
    if bar and bar.drawn > 0 then bar.sink "\n" end
    standing.bar = nil
end

local function show(self, now, finished)
    self.shown_at = now
    local line = compose(self, now, finished)
    if not self.terminal then
        self.sink(line .. "\n")
        return
    end
    local width = term.width(line)
    self.sink("\r" .. line .. (" "):rep(math.max(0, self.drawn - width)) .. (finished and "\n" or ""))
    self.drawn = finished and 0 or width
    standing.bar = not finished and self or nil
end

--- Report progress; cheap when nothing needs to be drawn.
-- @tparam number done units finished so far, including those done before the start; the part of one counts in the rate
-- @param[opt] fields table of name = value or a string, shown at the end of the line
function Bar:update(done, fields)
    self.done = done
    if fields ~= nil then self.fields = fields end
    local now = self.clock()
    if now - self.shown_at < self.pause then return end
    update_rate(self, now)
    show(self, now, false)
end

--- Count n more units (default 1).
function Bar:advance(n, fields)
    self:update(self.done + (n or 1), fields)
end

--- From now on so many units are expected in all; nil: nobody knows.
function Bar:expect(total)
    self.total = total
end

--- Take the bar off the terminal until its next update.
function Bar:clear()
    if self.terminal and self.drawn > 0 then
        self.sink("\r" .. (" "):rep(self.drawn) .. "\r")
        self.drawn = 0
        self.shown_at = -math.huge
    end
end

--- Print a line above the bar.
function Bar:log(text)
    self:clear()
    self.sink(text .. "\n")
end

--- Draw the final state and end the line. A second call does nothing.
function Bar:finish(fields)
    if self.finished then return end
    self.finished = true
    if fields ~= nil then self.fields = fields end
    show(self, self.clock(), true)
end

return progress
