--- A folder that is written as a whole: until its last file is in place it lacks that file, and what a killed process
-- left in it is removed by the next one that writes there. What others put there is never touched.
--
-- The files are written into FOLDER/.unfinished-PID, then moved up, after their names were listed there. So no
-- permission is needed in the parent, and the folder itself may be a link or a mounted disk.
-- @module bertlua.util.new_folder

local errno = require "posix.errno"
local signal = require "posix.signal"
local unistd = require "posix.unistd"

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local inside = require "bertlua.util.inside"

local new_folder = {}

-- The list of what is moved, in the hidden folder; no file that is made has this name.
local LIST = ".moving"

local function is_alive(pid)
    local ok, _, code = signal.kill(pid, 0)
    return ok ~= nil or code == errno.EPERM
end

--- What is in a folder that a killed process left behind.
-- @return names of hidden folders, files that it had moved already; or nil, reason if there is anything else
local function leftovers(path)
    if not fs.exists(path) then return {}, {} end
    if not fs.is_directory(path) then return nil, "is not a folder" end
    local hidden, moved, is_moved, others = {}, {}, {}, {}
    for _, name in ipairs(fault.check(fs.list(path))) do
        local pid = tonumber(name:match "^%.unfinished%-(%d+)$")
        if not pid or inside.is_link(fs.join(path, name)) or not fs.is_directory(fs.join(path, name)) then
            others[#others + 1] = name
        elseif pid ~= unistd.getpid() and is_alive(pid) then
            return nil, ("is being written by process %d"):format(pid)
        else
            hidden[#hidden + 1] = name
            for line in (fs.read(fs.join(path, name, LIST)) or ""):gmatch "[^\n]+" do is_moved[line] = true end
        end
    end
    for _, name in ipairs(others) do
        if not is_moved[name] or not inside.file(path, name) then return nil, "is not empty" end
        moved[#moved + 1] = name
    end
    return hidden, moved
end

--- Whether a folder may be written: it is not there, is empty, or holds only what a killed process left.
-- @return true; or nil, reason such as "is not empty"
function new_folder.check(path)
    local hidden, reason = leftovers(path)
    if not hidden then return nil, reason end
    return true
end

local function sweep(path)
    local hidden, moved = leftovers(path)
    if not hidden then fault.raisef("%s: %s", path, moved) end
    -- The lists go last: they say what else may be removed.
    for _, list in ipairs { moved, hidden } do
        for _, name in ipairs(list) do fault.check(fs.remove(fs.join(path, name))) end
    end
end

local function move(path, from, last)
    local names = {}
    for _, name in ipairs(fault.check(fs.list(from))) do
        if name ~= last then names[#names + 1] = name end
    end
    names[#names + 1] = fs.exists(fs.join(from, last)) and last or nil
    fault.check(fs.write(fs.join(from, LIST), table.concat(names, "\n") .. "\n"))
    for _, name in ipairs(names) do fault.check(fs.rename(fs.join(from, name), fs.join(path, name))) end
end

--- Write a folder. On a failure nothing of it is left.
-- @tparam string path created if missing; a fault unless check() allows it
-- @tparam string last name of the file without which nobody takes the folder for complete
-- @tparam function make make(folder) writes plain files into a folder, durably. It may make folders too: if it is
--   killed while they are moved, check() refuses what is left, since only plain files are ever removed for it
function new_folder.write(path, last, make)
    local is_new = not fs.exists(path)
    fault.check(fs.mkdirs(path))
    sweep(path)
    local hidden = (".unfinished-%d"):format(unistd.getpid())
    local from = fs.join(path, hidden)
    local ok, problem = pcall(function()
        fault.check(fs.mkdirs(from))
        make(from)
        move(path, from, last)
        -- What is moved counts only once this is gone.
        fault.check(fs.remove(from))
        fault.check(fs.sync(path))
    end)
    if ok then return end
    pcall(sweep, path)
    -- Fails, as it should, where somebody else has put something there.
    if is_new then os.remove(path) end
    error(problem, 0)
end

return new_folder
