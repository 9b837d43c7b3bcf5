--- Traces in the JSON format of chrome://tracing and Perfetto: one row per track,
-- one bar per span. They show what overlaps with what in a step.
--
--     local trace = Trace.open("trace.json", { rank = 0 })
--     local began = trace:now()
--     ... forward ...
--     trace:span("compute", "forward", began, trace:now())
--     trace:collectives(comm)
--     trace:close()
--
-- Trace.none has the same methods and does nothing.

local clock = require "bertlua.util.clock"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"

local Trace = {}
Trace.__index = Trace

local ORDER = { "name", "ph", "ts", "dur", "pid", "tid", "args" }

--- The file of one rank of a job: "trace.json" for rank 0, "trace.rank3.json" for rank 3.
function Trace.path(path, rank)
    if rank == 0 then return path end
    local stem, extension = path:match "^(.*)(%.[^./]*)$"
    return ("%s.rank%d%s"):format(stem or path, rank, extension or "")
end

--- Open a trace.
-- @param path its folder is created if it does not exist
-- @param options rank: of this process (0)
-- @return trace; or nil, message
function Trace.open(path, options)
    local rank = options and options.rank or 0
    path = Trace.path(path, rank)
    local ok, reason = fs.mkdirs(fs.dirname(path))
    if not ok then return nil, reason end
    local file
    file, reason = io.open(path, "wb")
    if not file then return nil, "trace file " .. reason end
    local self = setmetatable({ path = path, file = file, rank = rank, tracks = {}, track_count = 0 }, Trace)
    file:write '{"displayTimeUnit":"ms","traceEvents":[\n'
    self:event { name = "process_name", ph = "M", pid = rank, tid = 0, args = { name = "rank " .. rank } }
    return self
end

--- Write an event.
-- @param event table with the fields of Chrome's trace event format
function Trace:event(event)
    if not self.file then return end
    local ok, reason = fs.put(self.file, self.started and ",\n" or "", json.encode(event, { order = ORDER }))
    self.started = true
    if not ok then self.problem = self.problem or reason end
end

local function track_number(self, name)
    local number = self.tracks[name]
    if not number then
        self.track_count = self.track_count + 1
        number = self.track_count
        self.tracks[name] = number
        self:event { name = "thread_name", ph = "M", pid = self.rank, tid = number, args = { name = name } }
    end
    return number
end

--- The clock of spans: seconds.
function Trace.now()
    return clock.monotonic()
end

--- One bar.
-- @param track row it is drawn in
-- @param name what happened
-- @param begin, finish seconds of now()
-- @param args table of details, or nil
function Trace:span(track, name, begin, finish, args)
    self:event { name = name, ph = "X", ts = begin * 1e6, dur = math.max(finish - begin, 0) * 1e6, pid = self.rank,
        tid = track_number(self, track), args = args }
end

--- The collectives that ended since the last call; the communicator must be recording (record()).
function Trace:collectives(comm)
    for _, span in ipairs(comm:spans()) do
        self:span("communication", span.name, span.begin, span.finish, { number = span.number, bytes = span.bytes })
    end
end

--- Finish the file; a second close does nothing.
-- @return true; or nil, message
function Trace:close()
    local file = self.file
    if not file then return true end
    self.file = nil
    local _, reason = fs.put(file, "\n]}\n")
    local _, late = file:close()
    reason = self.problem or reason or late
    if reason then return nil, ("%s: cannot write: %s"):format(self.path, reason) end
    return true
end

local function nothing() end

--- A trace that is not written.
Trace.none = { span = nothing, collectives = nothing, now = function() return 0 end,
    close = function() return true end }

return Trace
