--- Words for the shell, and what its commands print.
-- @module bertlua.util.shell

local M = {}

--- A string or number quoted as one word of a shell command, whatever it contains.
function M.quote(text)
    return "'" .. tostring(text):gsub("'", "'\\''") .. "'"
end

--- All that a command of the shell prints on its standard output.
function M.output(command)
    local pipe = assert(io.popen(command))
    local text = pipe:read "*a"
    pipe:close()
    return text
end

return M
