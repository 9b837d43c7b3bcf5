--- Event files that TensorBoard reads: scalars by step.
--
-- A file is a sequence of records: u64 length, u32 masked CRC32C of the length,
-- data, u32 masked CRC32C of the data. The data is an Event message in the
-- protobuf wire format: wall_time 1 double, step 2 int64, file_version 3
-- string, summary 5 {value 1 {tag 1 string, simple_value 2 float}}, session_log
-- 7 {status 1 enum, START = 1}. A START of a step says that what other files hold
-- of that step and later ones is to be forgotten.
-- @module bertlua.train.tensorboard

local unistd = require "posix.unistd"

local clock = require "bertlua.util.clock"
local fs = require "bertlua.util.fs"
local storage = require "bertlua.storage"

local tensorboard = {}

local Writer = {}
Writer.__index = Writer

local pack = storage.pack

-- Wire types of the protobuf encoding.
local VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

-- A session's status.
local START = 1

local function varint(n)
    local bytes = {}
    repeat
        local low = n % 128
        n = (n - low) / 128
        bytes[#bytes + 1] = string.char(n > 0 and low + 128 or low)
    until n == 0
    return table.concat(bytes)
end

local function key(field, wire)
    return varint(field * 8 + wire)
end

local function bytes_field(field, text)
    return key(field, BYTES) .. varint(#text) .. text
end

local function frame(data)
    local length = pack("u64", #data)
    return length .. pack("u32", storage.masked_crc32c(length)) .. data .. pack("u32", storage.masked_crc32c(data))
end

local function event(wall_time, step, payload)
    return key(1, FIXED64) .. pack("f64", wall_time) .. key(2, VARINT) .. varint(step) .. payload
end

local function scalar_value(tag, value)
    return bytes_field(1, bytes_field(1, tag) .. key(2, FIXED32) .. pack("f32", value))
end

local function host_name()
    local file = io.open "/proc/sys/kernel/hostname"
    local name = file and file:read "*l"
    if file then file:close() end
    return name and name:match "^[%w%.%-_]+$" or "localhost"
end

--- A file name that no other run in this folder uses.
local function fresh_name(folder, seconds)
    local stem = ("%s/events.out.tfevents.%010d.%s"):format(folder, seconds, host_name())
    if not fs.exists(stem) then return stem end
    -- TensorBoard only requires the name to contain "tfevents".
    local n, name = 0
    repeat
        n = n + 1
        name = ("%s.%d.%d"):format(stem, unistd.getpid(), n)
    until not fs.exists(name)
    return name
end

--- Start a new event file in a folder, which is created if missing.
-- @tparam string folder
-- @tparam[opt] table options now = clock for tests; first_step = of a run that goes on where another stopped: what that
--   one wrote of this step and later ones no longer counts
-- @return Writer; or nil, message
function tensorboard.open(folder, options)
    local ok, reason = fs.mkdirs(folder)
    if not ok then return nil, reason end
    local now = options and options.now or clock.wall
    local started = now()
    local path = fresh_name(folder, math.floor(started))
    local file
    file, reason = io.open(path, "wb")
    if not file then return nil, reason end
    local self = setmetatable({ path = path, file = file, now = now }, Writer)
    ok, reason = self:write(key(1, FIXED64) .. pack("f64", started) .. bytes_field(3, "brain.Event:2"))
    if not ok then return nil, reason end
    if options and options.first_step then
        ok, reason = self:write(event(started, options.first_step, bytes_field(7, key(1, VARINT) .. varint(START))))
        if not ok then return nil, reason end
    end
    return self
end

--- Append one framed record and flush it. True; or nil, message.
function Writer:write(data)
    if not self.file then return nil, self.path .. " is closed" end
    local ok, reason = fs.append(self.file, frame(data))
    if not ok then return nil, ("%s: cannot write: %s"):format(self.path, reason) end
    return true
end

--- Write several scalars of one step as one record, sorted by name. True; or nil, message.
-- @tparam number step integer from 0
-- @tparam table values numbers by tag, such as {["train/loss"] = 7.1}
function Writer:scalars(step, values)
    if type(step) ~= "number" or step < 0 or step % 1 ~= 0 then
        error("tensorboard: step is " .. tostring(step) .. ", expected an integer from 0", 2)
    end
    local tags, parts = {}, {}
    for tag in pairs(values) do tags[#tags + 1] = tag end
    table.sort(tags)
    for i, tag in ipairs(tags) do
        if type(values[tag]) ~= "number" then
            error(("tensorboard: %s is a %s, expected a number"):format(tag, type(values[tag])), 2)
        end
        parts[i] = scalar_value(tag, values[tag])
    end
    return self:write(event(self.now(), step, bytes_field(5, table.concat(parts))))
end

--- Write one scalar. True; or nil, message.
function Writer:scalar(tag, value, step)
    return self:scalars(step, { [tag] = value })
end

--- Close the file; a second close does nothing.
function Writer:close()
    if self.file then
        self.file:close()
        self.file = nil
    end
end

return tensorboard
