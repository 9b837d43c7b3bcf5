--- Words for the shell.
-- @module bertlua.util.shell

local M = {}

--- A string or number quoted as one word of a shell command, whatever it contains.
function M.quote(text)
    return "'" .. tostring(text):gsub("'", "'\\''") .. "'"
end

return M
