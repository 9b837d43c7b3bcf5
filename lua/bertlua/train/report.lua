--- Report file in dllogger's format: one line `DLLL {json}` per record, flushed
-- at once, so that whatever reads NVIDIA's logs reads ours.
--
-- Records: PARAMETER (the settings, first), METADATA (unit and meaning of a
-- value) and LOG with a step: a number, a list such as {epoch, step}, or an
-- empty list for the summary of the run.
-- @module bertlua.train.report

local aside = require "bertlua.util.aside"
local clock = require "bertlua.util.clock"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"

local report = {}

local Report = {}
Report.__index = Report

local ORDER = { "timestamp", "elapsedtime", "datetime", "type", "step", "metric", "data", "metadata" }

local function ends_in_newline(path)
    local file = io.open(path, "rb")
    if not file then return true end
    local size = file:seek "end"
    file:seek("set", math.max(0, size - 1))
    local last = file:read(1)
    file:close()
    return size == 0 or last == "\n"
end

--- Open a report.
-- @tparam string path its folder is created if missing
-- @tparam[opt] table options append = true goes on behind existing records (a resumed run); else an earlier report is
--   kept under another name; now = clock for tests
-- @return Report, with `kept` = that name if there was one; or nil, message
function report.open(path, options)
    options = options or {}
    local ok, reason = fs.mkdirs(fs.dirname(path))
    if not ok then return nil, reason end
    -- A killed run may have left half a line; its end must not swallow our first record.
    local repair = options.append and not ends_in_newline(path)
    local file, kept
    if not options.append then
        kept, reason = aside.keep(path)
        if reason then return nil, "report file " .. reason end
    end
    file, reason = io.open(path, options.append and "ab" or "wb")
    if not file then return nil, "report file " .. reason end
    if repair then file:write "\n" end
    local now = options.now or clock.wall
    return setmetatable({ path = path, file = file, kept = kept, now = now, started = now() }, Report)
end

local function write(self, record)
    if not self.file then return nil, self.path .. " is closed" end
    local now = self.now()
    record.timestamp = ("%.6f"):format(now)
    record.elapsedtime = ("%.6f"):format(now - self.started)
    local whole = math.floor(now)
    record.datetime = os.date("%Y-%m-%d %H:%M:%S", whole) .. (".%06d"):format(math.floor((now - whole) * 1e6))
    local line = "DLLL " .. json.encode(record, { order = ORDER, nan = "string" }) .. "\n"
    local ok, reason = fs.append(self.file, line)
    if not ok then return nil, ("%s: cannot write: %s"):format(self.path, reason) end
    return true
end

--- Record the settings of the run. True; or nil, message.
function Report:parameters(values)
    return write(self, { type = "LOG", step = "PARAMETER", data = values })
end

--- Record a value's unit and meaning, as metadata("tokens_per_second", {unit = "tokens/s"}). True; or nil, message.
function Report:metadata(metric, values)
    return write(self, { type = "METADATA", metric = metric, metadata = values })
end

--- Record the values of a step. True; or nil, message.
-- @param step number, list, or nil for the summary of the run
-- @tparam table data
function Report:log(step, data)
    if step == nil then step = json.array {} end
    return write(self, { type = "LOG", step = step, data = data })
end

--- Close the file; a second close does nothing.
function Report:close()
    if self.file then
        self.file:close()
        self.file = nil
    end
end

return report
