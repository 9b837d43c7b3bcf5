--- What a program left in a folder.

local fs = require "bertlua.util.fs"
local storage = require "bertlua.storage"

local M = {}

--- SHA-256 of every file below a folder, by relative path. Names that begin with a dot are skipped.
function M.hashes(folder)
    local list = {}
    local function walk(path)
        for _, name in ipairs(assert(fs.list(path))) do
            local child = fs.join(path, name)
            if name:sub(1, 1) ~= "." then
                if fs.is_directory(child) then
                    walk(child)
                else
                    list[child:sub(#folder + 2)] = assert(storage.file_sha256(child))
                end
            end
        end
    end
    walk(folder)
    return list
end

--- Fails if a killed run's unfinished files are still there.
function M.assert_finished(folder)
    for _, name in ipairs(assert(fs.list(folder))) do
        local child = fs.join(folder, name)
        assert(not name:match "%.tmp%-%d+$" and not name:match "^%.part%-", child)
        if fs.is_directory(child) then M.assert_finished(child) end
    end
end

return M
