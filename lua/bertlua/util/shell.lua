--- Words for the shell.
-- @module bertlua.util.shell

local M = {}

--- A text or number as one word of a shell command, whatever it holds.
function M.quote(text)
    return "'" .. tostring(text):gsub("'", "'\\''") .. "'"
end

return M
