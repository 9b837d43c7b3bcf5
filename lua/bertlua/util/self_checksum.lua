--- JSON texts that vouch for themselves: the field `self_crc32c` is the CRC32C of the whole text with that field's own
-- digits as zeros, so a change of any byte is noticed before anything in it is believed.
-- @module bertlua.util.self_checksum

local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local storage = require "bertlua.storage"

local self_checksum = {}

local NAME = "self_crc32c"
local FIELD = '("self_crc32c": ?")(%x%x%x%x%x%x%x%x)(")'

--- What the field holds while the text is made.
self_checksum.PLACE = "00000000"

local function sum(text)
    return ("%08x"):format(storage.crc32c((text:gsub(FIELD, "%1" .. self_checksum.PLACE .. "%3", 1))))
end

--- Fill in the checksum of a text.
-- @tparam string text encoded with self_crc32c = PLACE
-- @return text
function self_checksum.seal(text)
    return (text:gsub(FIELD, "%1" .. sum(text) .. "%3", 1))
end

--- Compare a text with its checksum.
-- @tparam string text
-- @tparam table value as decoded
-- @return true; or nil, reason: nil if the text has no such field
function self_checksum.check(text, value)
    local _, written = text:match(FIELD)
    if not written and value.self_crc32c == nil then return nil, nil end
    if not written then return nil, "is damaged: its checksum is missing" end
    local found = sum(text)
    if found ~= written or value.self_crc32c ~= written then
        return nil, ("is damaged: its CRC32C is %s, expected %s"):format(found, written)
    end
    return true
end

--- Write an object with its checksum, durably.
-- @tparam string path
-- @tparam table value
-- @return true; or nil, message
function self_checksum.write(path, value)
    local marked = { [NAME] = self_checksum.PLACE }
    for key, item in pairs(value) do marked[key] = item end
    return fs.write(path, self_checksum.seal(json.encode(marked, { pretty = true, order = { NAME } }) .. "\n"))
end

--- Read an object, compare it with its checksum if it has one, and leave that out.
-- @tparam string path
-- @return table; or nil, message
function self_checksum.read(path)
    local text, problem = fs.read(path)
    if not text then return nil, problem end
    local value
    value, problem = json.decode(text, path)
    if value == nil then return nil, problem end
    if type(value) ~= "table" then return nil, path .. ": not a JSON object" end
    local _, reason = self_checksum.check(text, value)
    if reason then return nil, ("%s: %s"):format(path, reason) end
    value[NAME] = nil
    return value
end

return self_checksum
