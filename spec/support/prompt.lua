--- A prompt without a terminal.

local repl = require "bertlua.prompt.repl"

local M = {}

--- @return session, function that feeds lines and returns what was written and the outcome of the last, globals
function M.new()
    local out = {}
    local env = setmetatable({}, { __index = _G })
    local session = repl.new { write = function(text) out[#out + 1] = text end, env = env }
    local function feed(...)
        out = {}
        local outcome
        for i = 1, select("#", ...) do outcome = session:feed((select(i, ...))) end
        return table.concat(out), outcome
    end
    return session, feed, env
end

return M
