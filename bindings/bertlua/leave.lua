--- The end of a program that was asked for, such as after --help: at the prompt it ends only what was started there.
-- @module bertlua.leave

local found, host = pcall(require, "bertlua.host")

local leave = { at_prompt = false }

--- What is thrown at the prompt in place of leaving; nobody has to be told of it.
leave.STOP = setmetatable({}, { __tostring = function() return "ended" end })

--- From now on what runs was started at a prompt, or no longer.
-- Ctrl-C then never ends the process at the first two times (see bindings/signals.c).
-- @tparam boolean on
function leave.prompt(on)
    leave.at_prompt = on
    if found then host.prompt(on) end
end

--- End the program; at the prompt, what was started there.
-- @tparam number code exit code of a program
function leave.exit(code)
    if leave.at_prompt then error(leave.STOP, 0) end
    os.exit(code, true)
end

return leave
