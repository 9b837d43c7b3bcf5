--- A session of the prompt without a terminal.

local repl = require "bertlua.prompt.repl"

local M = {}

--- A session with globals of its own.
-- @return session; feed(line, ...) -> what was written, the outcome of the last line; the globals
function M.new_session()
    local out = {}
    local env = setmetatable({}, { __index = _G })
    local session = repl.new { write = function(text) out[#out + 1] = text end, env = env }
    --- Feed lines; returns what was written and the outcome of the last line.
    local function feed(...)
        out = {}
        local outcome
        for i = 1, select("#", ...) do outcome = session:feed((select(i, ...))) end
        return table.concat(out), outcome
    end
    return session, feed, env
end

return M
