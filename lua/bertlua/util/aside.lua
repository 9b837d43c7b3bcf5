--- Results of an earlier run in the way of a new one's: they keep their contents under another name, so that no run
-- removes what another took hours to write. What is shown about it is the caller's.
-- @module bertlua.util.aside

local fs = require "bertlua.util.fs"

local aside = {}

--- The highest N of the files PATH.N in its folder; 0 if there is none.
local function last_number(path)
    local name, last = fs.basename(path) .. ".", 0
    for _, entry in ipairs(fs.list(fs.dirname(path)) or {}) do
        local number = entry:sub(1, #name) == name and entry:sub(#name + 1):match "^[1-9]%d*$"
        last = math.max(last, tonumber(number) or 0)
    end
    return last
end

--- Rename a file, or copy what a link leads to, to PATH.1, PATH.2, ...: the highest number is the newest. An empty
-- file, a device or nothing at all stays as it is.
-- @return the new name, or nil; message if it cannot be renamed
function aside.keep(path)
    if not fs.is_file(path) or fs.size(path) == 0 then return nil end
    local kept = ("%s.%d"):format(path, last_number(path) + 1)
    -- A link stays where it leads.
    local move = fs.is_replaceable(path) and fs.rename or fs.copy
    local ok, reason = move(path, kept)
    if not ok then return nil, reason end
    return kept
end

--- Replace a file, durably; what was in it is kept, unless that is the same. A device, a pipe or what a link leads to
-- is written into.
-- @return true, the name that the earlier file has now or nil; or nil, message
function aside.write(path, text)
    local kept, reason
    if fs.is_file(path) and (fs.size(path) ~= #text or fs.read(path) ~= text) then
        kept, reason = aside.keep(path)
        if reason then return nil, reason end
    end
    local ok, problem = fs.write_output(path, text)
    if not ok then return nil, problem end
    return true, kept
end

return aside
