--- Files that a user names for what a program writes: one rule for all of them. A folder that is missing may be
-- misspelt, so it is not made, and that is said before any work.

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local stdlib = require "posix.stdlib"

local M = {}

--- One spelling of each folder, that is there or not: "./run", "run/" and "/here/run" are one.
local function spelled(folder)
    local there, missing = folder, {}
    while not fs.exists(there) do
        local name = fs.basename(there)
        if name ~= "." then table.insert(missing, 1, name) end
        there = fs.dirname(there)
    end
    return fs.join(stdlib.realpath(there) or there, unpack(missing))
end

--- Whether a folder is another one or lies below it.
local function is_within(folder, other)
    folder, other = spelled(folder) .. "/", spelled(other) .. "/"
    -- From a folder that is missing no way leads back.
    return folder:sub(1, #other) == other and not folder:find("/../", 1, true)
end

--- A fault if the folder of a file is missing; "-" is standard output.
-- @param option as the user writes it: "--report-file"
-- @param path nil or "-" for none
-- @param made a folder that the program makes itself, or nil
function M.check(option, path, made)
    if not path or path == "-" then return end
    local folder = fs.dirname(path)
    if fs.is_directory(folder) or made and is_within(folder, made) then return end
    fault.raisef("%s: cannot write: there is no such folder: make it, or correct %s", path, option)
end

--- The same of what does not go to standard output: a fault for "-" as well.
function M.check_file(option, path, made)
    if path == "-" then fault.raisef("%s -: expected a file, not standard output; ./- is one of that name", option) end
    M.check(option, path, made)
end

return M
