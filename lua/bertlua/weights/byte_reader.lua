--- Reads the bytes of a part of a file in order, without ever holding much of it.
--
-- Every method throws a fault that names the file if the part ends too early.
-- Positions are offsets in the file, from 0.
-- @classmod bertlua.weights.byte_reader

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"

local ByteReader = {}
ByteReader.__index = ByteReader

local CHUNK = 65536

--- Open a file, or a part of it.
-- @tparam string path
-- @tparam[opt] number offset first byte (0)
-- @tparam[opt] number length bytes (to the end)
function ByteReader.open(path, offset, length)
    local file, reason = io.open(path, "rb")
    if not file then fault.raisef("%s: cannot open: %s", path, reason:gsub("^.*: ", ""):lower()) end
    local size = file:seek "end"
    -- A folder opens, but has no size.
    if not size or size > 2 ^ 52 then fault.raisef("%s: not a regular file", path) end
    offset = offset or 0
    local stop = length and offset + length or size
    if offset < 0 or offset > size or stop < offset or stop > size then
        file:close()
        fault.raisef("%s: truncated: bytes %.0f to %.0f of a file of %.0f", path, offset, stop, size)
    end
    return setmetatable({ path = path, file = file, size = size, position = offset, stop = stop, buffer = "",
        start = offset }, ByteReader)
end

--- Go to an offset of the file.
function ByteReader:seek(position)
    if position < 0 or position > self.stop then
        fault.raisef("%s: truncated at byte %.0f, expected %.0f bytes", self.path, self.stop, position)
    end
    self.position = position
end

--- The next n bytes as a string; n must be small.
function ByteReader:bytes(n)
    local first = self.position - self.start + 1
    if first >= 1 and first + n - 1 <= #self.buffer then
        self.position = self.position + n
        return self.buffer:sub(first, first + n - 1)
    end
    if n > self.stop - self.position then
        fault.raisef("%s: truncated at byte %.0f", self.path, self.stop)
    end
    self.file:seek("set", self.position)
    self.start = self.position
    local text, reason, code = self.file:read(math.min(math.max(n, CHUNK), self.stop - self.position))
    if not text and code then fault.raise(fs.read_problem(self.path, reason, code)) end
    self.buffer = text or ""
    if #self.buffer < n then fault.raisef("%s: cannot be read at byte %.0f", self.path, self.position) end
    self.position = self.position + n
    return self.buffer:sub(1, n)
end

--- The next byte as a number.
function ByteReader:byte()
    return self:bytes(1):byte()
end

--- Unsigned little-endian integer of n bytes, exact up to 2^53.
function ByteReader:unsigned(n)
    local text, value = self:bytes(n), 0
    for i = n, 1, -1 do value = value * 256 + text:byte(i) end
    return value
end

--- Skip n bytes.
function ByteReader:skip(n)
    self:seek(self.position + n)
end

--- Text up to the next line feed, without it; at most limit bytes.
function ByteReader:line(limit)
    local bytes = {}
    for i = 1, limit + 1 do
        local c = self:bytes(1)
        if c == "\n" then return table.concat(bytes) end
        bytes[i] = c
    end
    fault.raisef("%s: a line of more than %d bytes at byte %.0f", self.path, limit, self.position)
end

--- Close the file.
function ByteReader:close()
    self.file:close()
end

return ByteReader
