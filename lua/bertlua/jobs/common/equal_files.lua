--- Whether all ranks see the same files: one path may be another folder on another machine. What is in the files is
-- the loaders' matter, which list them: {name, path, samples, bytes, checksum} each.

local fault = require "bertlua.fault"
local json = require "bertlua.util.json"
local storage = require "bertlua.storage"

local M = {}

local FIX = "; every rank must see the same files under the same path"

-- What a file is compared by, in this order, and how a message says it.
local FIELDS = { { "samples", "%d samples" }, { "bytes", "%d bytes" }, { "checksum", "CRC32C %08x" } }

--- One file as {name, samples, bytes, checksum}: paths may differ, and JSON keeps the order of a list.
local function entry_of(file)
    local entry = { file.name }
    for i, field in ipairs(FIELDS) do entry[i + 1] = file[field[1]] end
    return entry
end

--- The first file in which this rank differs from rank 0, as a message; nil if none does.
-- @param files of this rank, sorted by name
-- @param first entries of rank 0, sorted by name
-- @param folder of the files, for those that are not here
function M.difference(files, first, folder)
    for i = 1, math.max(#files, #first) do
        local here, there = files[i], first[i]
        if not here or there and there[1] < here.name then
            return ("no %s/%s, which rank 0 has"):format(folder, there[1])
        end
        if not there or here.name < there[1] then return here.path .. " is not on rank 0" end
        for k, field in ipairs(FIELDS) do
            local value, form = here[field[1]], field[2]
            if value ~= there[k + 1] then
                return ("%s has %s, %s on rank 0"):format(here.path, form:format(value), form:format(there[k + 1]))
            end
        end
    end
    return nil
end

--- Raise a fault that names the first file that differs, unless all ranks see the same. Collective.
-- @param ranks of train/ranks.lua
-- @param files list of {name, path, samples, bytes, checksum}, sorted by name
-- @param folder that holds them
function M.check(ranks, files, folder)
    if ranks.size == 1 then return end
    local entries = {}
    for i, file in ipairs(files) do entries[i] = entry_of(file) end
    local text = json.encode(entries)
    local own, differ = storage.crc32c(text), false
    local all = ranks:exchange { own }
    for r = 2, ranks.size do differ = differ or all[r][1] ~= all[1][1] end
    if not differ then return end
    local first = json.decode(ranks:broadcast_text(ranks.main and text or ""))
    ranks:together(function()
        local message = M.difference(files, first, folder)
        if message then fault.raise(message .. FIX) end
    end)
end

return M
