--- checksums.json of a model's folder that we wrote for other programs: size and CRC32C of its files. Such a folder has
-- no progress.json, and nothing in the files themselves shows that a byte has changed.
--
-- Other programs may write there too, so a file of another size is theirs, and is told. Parameters of the same size
-- with other bytes are damaged.
-- @module bertlua.weights.checksums

local fs = require "bertlua.util.fs"
local inside = require "bertlua.util.inside"
local self_checksum = require "bertlua.util.self_checksum"
local storage = require "bertlua.storage"

local checksums = {}

local NAME, FORMAT = "checksums.json", 1

--- Remove the file, before what it vouches for is written anew. Returns true; or nil, message.
function checksums.remove(path)
    local file = fs.join(path, NAME)
    if not fs.exists(file) then return true end
    return fs.remove(file)
end

--- Write the file, last, for some files of a folder.
-- @tparam string path
-- @tparam table names of the files; may have holes
-- @return true; or nil, message
function checksums.write(path, names)
    local files = {}
    for i = 1, table.maxn(names) do
        local name = names[i]
        if name then
            local crc, bytes = storage.file_crc32c(fs.join(path, name))
            if not crc then return nil, bytes end
            files[name] = { bytes = bytes, crc32c = crc }
        end
    end
    return self_checksum.write(fs.join(path, NAME), { format = FORMAT, files = files,
        writer = "bertlua " .. storage.engine_version() })
end

--- One file compared with its record: nil, or what is wrong; and whether it must not be used.
local function problem_of(path, name, record)
    local file = fs.join(path, name)
    if not inside.is_name(name) or type(record) ~= "table" or not fs.is_file(file) then return nil end
    if fs.size(file) ~= record.bytes then
        return ("%s: is not the file that bertlua wrote, but one of %.0f bytes"):format(file, fs.size(file))
    end
    local crc, problem = storage.file_crc32c(file)
    if not crc then return problem, true end
    if crc == record.crc32c then return nil end
    if name:find "%.safetensors$" then
        return ("%s: is damaged: its CRC32C is %08x, expected %08x; copy it again, or remove %s if another program "
            .. "wrote it"):format(file, crc, tonumber(record.crc32c) or 0, fs.join(path, NAME)), true
    end
    return ("%s: is not as bertlua wrote it: it was edited, or is damaged"):format(file)
end

--- Compare the files of a folder with what was written, if it was recorded.
-- @tparam string path
-- @return list of texts to tell, empty if all is well; or nil, message if the parameters must not be used
function checksums.check(path)
    local file = fs.join(path, NAME)
    if not fs.is_file(file) then return {} end
    local value, reason = self_checksum.read(file)
    if not value or type(value.files) ~= "table" then
        return { (reason or file .. ": lists no files") .. ": the model's files are not compared with it" }
    end
    local names, told = {}, {}
    for name in pairs(value.files) do names[#names + 1] = name end
    table.sort(names)
    for _, name in ipairs(names) do
        local problem, refused = problem_of(path, name, value.files[name])
        if refused then return nil, problem end
        told[#told + 1] = problem
    end
    return told
end

return checksums
