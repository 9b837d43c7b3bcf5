--- Files that a user names for what a program writes: one rule for all of them. A folder that is missing may be
-- misspelt, so it is not made, and that is said before any work.

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"

local M = {}

--- A fault if the folder of a file is missing.
-- @param option as the user writes it: "--report-file"
-- @param path nil or "-" for none
-- @param made a folder that the program makes itself, or nil
function M.check(option, path, made)
    if not path or path == "-" then return end
    local folder = fs.dirname(path)
    if fs.is_directory(folder) then return end
    if made and (folder .. "/"):sub(1, #made + 1) == made .. "/" then return end
    fault.raisef("%s: cannot write: there is no such folder: make it, or correct %s", path, option)
end

return M
