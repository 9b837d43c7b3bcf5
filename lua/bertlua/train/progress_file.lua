--- progress.json of a checkpoint: how far the run was, and size and CRC32C of the other files. It vouches for itself
-- too (util/self_checksum.lua).
--
-- Format 1, of checkpoints of older versions, has no such field; everything else is the same.
-- @module bertlua.train.progress_file

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local inside = require "bertlua.util.inside"
local json = require "bertlua.util.json"
local printable = require "bertlua.printable"
local self_checksum = require "bertlua.util.self_checksum"
local storage = require "bertlua.storage"

local progress_file = {}

local NAME = "progress.json"
local FORMAT, WITHOUT_CHECKSUM = 2, 1
local FIRST_KEYS = { "step", "format", "self_crc32c", "bertlua_version" }
--- Whether its text is as it was written; or false, reason.
local function check_text(text, progress)
    local format = progress.format
    -- Checkpoints of the very first versions have no number.
    if format == nil then format = WITHOUT_CHECKSUM end
    if format ~= FORMAT and format ~= WITHOUT_CHECKSUM then
        return false, ("is of format %s, but this version of bertlua reads up to %d"):format(
            printable.text(tostring(format)), FORMAT)
    end
    local ok, problem = self_checksum.check(text, progress)
    if ok and format ~= FORMAT then return false, "is damaged: it is not of the format that it states" end
    if ok or not problem and format == WITHOUT_CHECKSUM then return true end
    return false, problem or "is damaged: its checksum is missing"
end

local function is_count(value)
    return type(value) == "number" and value >= 0 and value % 1 == 0 and value < 2 ^ 53
end

--- Read a checkpoint's progress.json.
-- @tparam string path the checkpoint's folder
-- @return table; or nil, reason
function progress_file.read(path)
    local file = path .. "/" .. NAME
    local text, problem = fs.read(file)
    if not text then return nil, problem end
    local progress
    progress, problem = json.decode(text, file)
    if progress == nil then return nil, problem end
    if type(progress) ~= "table" then return nil, file .. ": not a JSON object" end
    local ok
    ok, problem = check_text(text, progress)
    if not ok then return nil, file .. ": " .. problem end
    if not is_count(progress.step) or type(progress.files) ~= "table" then
        return nil, file .. ": contains no step or list of files"
    end
    for name, record in pairs(progress.files) do
        if not inside.is_name(name) then
            return nil, ("%s: %s is not the name of a file of the checkpoint"):format(file,
                printable.text(tostring(name)))
        end
        if type(record) ~= "table" or not is_count(record.bytes) or not is_count(record.crc32c) then
            return nil, ("%s: contains no size and checksum of %s"):format(file, name)
        end
    end
    return progress
end

--- Write it, durably, for the files that are in the folder; format and checksums are filled in here.
-- @tparam string path the checkpoint's folder
-- @tparam table progress step and what else the run records
function progress_file.write(path, progress)
    progress.format, progress.self_crc32c = FORMAT, self_checksum.PLACE
    progress.bertlua_version = storage.engine_version()
    progress.files = {}
    for _, name in ipairs(fault.check(fs.list(path))) do
        if name ~= NAME then
            local crc, bytes = storage.file_crc32c(path .. "/" .. name)
            fault.check(crc, bytes)
            progress.files[name] = { bytes = bytes, crc32c = crc }
        end
    end
    local text = json.encode(progress, { pretty = true, nan = "null", order = FIRST_KEYS }) .. "\n"
    fault.check(fs.write(path .. "/" .. NAME, self_checksum.seal(text)))
end

return progress_file
