--- The end of a program that was asked for, such as after --help: at the prompt it ends only what was started there.
-- @module bertlua.leave

local found, host = pcall(require, "bertlua.host")

local leave = { at_prompt = false }

--- What the last recipe's run gave, set by bertlua.recipe; nil before.
leave.outcome = nil

--- What is thrown at the prompt in place of leaving; nobody has to be told of it.
leave.STOP = setmetatable({}, { __tostring = function() return "ended" end })

--- From now on what runs was started at a prompt, or no longer.
-- Ctrl-C then never ends the process at the first two times (see bindings/signals.c).
-- @tparam boolean on
function leave.prompt(on)
    leave.at_prompt = on
    if found then host.prompt(on) end
end

-- What gives back what a run holds, in case it fails: the memory of models and arenas is not the garbage collector's.
local releases = {}

--- Register what gives back what a run holds, should it fail at the prompt; elsewhere the process ends with it.
-- @tparam function release called at most once, without arguments
-- @return what settled() takes
function leave.on_failure(release)
    if leave.at_prompt then releases[#releases + 1] = release end
    return release
end

--- The run has given everything back itself.
function leave.settled(release)
    for i = #releases, 1, -1 do
        if releases[i] == release then table.remove(releases, i) end
    end
end

--- Give back what failed runs hold, the latest first.
function leave.clean_up()
    for i = #releases, 1, -1 do
        -- What it can't give back must not hide why the run failed.
        pcall(table.remove(releases, i))
    end
end

--- End the program; at the prompt, what was started there.
-- @tparam number code exit code of a program
function leave.exit(code)
    if leave.at_prompt then error(leave.STOP, 0) end
    os.exit(code, true)
end

return leave
