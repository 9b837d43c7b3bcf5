--- Graphs: work of a step that is recorded once per shape, then replayed as one launch.
--
-- The first time a key occurs, its work runs directly: scratch memory grows and
-- algorithms are chosen. The second time it is recorded; from then on the
-- recording is launched. The least recently used recording is dropped when
-- there are too many. Where the device has no graphs, or recording fails, the
-- work runs directly.

local device = require "bertlua.device"

local Graphs = {}
Graphs.__index = Graphs

local CAPACITY = 32

--- @param options enabled (true); capacity (32): recordings kept; warn(message): called once if a recording fails
function Graphs.new(options)
    return setmetatable({ enabled = options.enabled ~= false, capacity = options.capacity or CAPACITY,
        warn = options.warn, entries = {}, count = 0, clock = 0, replays = 0, records = 0 }, Graphs)
end

--- The shape of a batch as a key: two batches with equal keys give ops of the same shapes.
-- @param batch with the names of its tensors in `tensors`
function Graphs.key(batch)
    local sizes = {}
    for i, name in ipairs(batch.tensors or {}) do sizes[i] = batch[name]:numel() end
    return table.concat(sizes, " ")
end

local function drop_oldest(self)
    local oldest, name
    for key, entry in pairs(self.entries) do
        if entry.graph and (not oldest or entry.used < oldest.used) then oldest, name = entry, key end
    end
    oldest.graph:free()
    self.entries[name] = nil
    self.count = self.count - 1
end

local function give_up(self, message, unsupported)
    self:free()
    self.enabled = false
    if not unsupported and self.warn then
        self.warn(("the step could not be recorded as a graph and will run op by op: %s"):format(tostring(message)))
    end
end

local function record(entry, work, ...)
    local arguments, count = { ... }, select("#", ...)
    return device.record(function() entry.result = work(unpack(arguments, 1, count)) end)
end

--- Do work(...), as a replay if it was recorded before.
-- The work must launch the same ops on the same addresses each time it runs under this key, and must tolerate being
-- called again after a failure.
-- @return what work returned when it was recorded or ran
function Graphs:run(key, work, ...)
    if not self.enabled then return work(...) end
    self.clock = self.clock + 1
    local entry = self.entries[key]
    if not entry then
        self.entries[key] = { used = self.clock }
        return work(...)
    end
    entry.used = self.clock
    if not entry.graph then
        local graph, message, unsupported = record(entry, work, ...)
        if not graph then
            give_up(self, message, unsupported)
            return work(...)
        end
        if self.count == self.capacity then drop_oldest(self) end
        entry.graph = graph
        self.count, self.records = self.count + 1, self.records + 1
    end
    entry.graph:launch()
    self.replays = self.replays + 1
    return entry.result
end

--- Free all recordings.
function Graphs:free()
    for _, entry in pairs(self.entries) do
        if entry.graph then entry.graph:free() end
    end
    self.entries, self.count = {}, 0
end

return Graphs
