--- The prompt on a terminal: reads lines with editing and history, and feeds them to a session.

local host = require "bertlua.host"
local complete = require "bertlua.prompt.complete"
local interruptible = require "bertlua.prompt.interruptible"
local leave = require "bertlua.leave"
local repl = require "bertlua.prompt.repl"
local signal = require "bertlua.signal"

local M = {}

local function history_path()
    local state = os.getenv "XDG_STATE_HOME"
    if not state or state == "" then
        local home = os.getenv "HOME"
        if not home or home == "" then return nil end
        state = home .. "/.local/state"
    end
    return state .. "/bertlua/history"
end

-- Every folder on the way to path; a failure shows when the file is written.
local function make_folders(path)
    local found, lfs = pcall(require, "lfs")
    if not found then return end
    for position in path:gmatch "()/" do
        if position > 1 then lfs.mkdir(path:sub(1, position - 1)) end
    end
end

local function banner()
    local context = require "bertlua.context"
    return ("bertlua %s, %s\n? for help, ? name for help on a name, Tab to complete, Ctrl-D to leave\n"):format(
        require("bertlua.version").engine, context.describe())
end

--- What keeps inputs for the next session: each before it runs, so that the history survives whatever it does.
local function history_of(editor)
    local path = history_path()
    if path then
        editor:load(path)
        make_folders(path)
    end
    return function(input)
        editor:remember(input)
        if path then editor:save(path) end
    end
end

--- Feed a line; nothing that goes wrong may end the session.
local function feed(session, line)
    local ok, outcome
    if line == nil then
        ok, outcome = pcall(session.finish_paste, session)
    else
        ok, outcome = pcall(session.feed, session, line)
    end
    if not ok then session:complain(tostring(outcome):match "interrupted$" or outcome) end
    -- What failed may have left signals trapped.
    signal.untrap()
    host.interrupted()
    return ok and outcome or "error"
end

--- Read a line and feed it; "quit" at the end.
local function take_line(session, editor)
    local line = editor:read(session:prompt())
    if line == nil then
        io.write "\n"
        if not session.pasting then return "quit" end
    elseif line == false then
        session:cancel()
        io.write "\n"
        return "done"
    end
    local outcome = feed(session, line)
    return outcome
end

--- Run until the input ends.
function M.run()
    local color = host.isatty(1) and not os.getenv "NO_COLOR" and os.getenv "TERM" ~= "dumb"
    local editor, session
    editor = host.editor(function(text)
        local insert, names = session:complete(text)
        if insert == "" and #names > 1 then return "", complete.columns(names, editor:columns()) end
        return insert, nil
    end)
    local on_input = history_of(editor)
    session = repl.new { color = color, columns = function() return editor:columns() end, on_input = on_input,
        interrupted = host.interrupted }
    _G.exit, _G.quit = _G.exit or repl.exit, _G.quit or repl.exit
    interruptible.enable()
    leave.prompt(true)
    io.write(banner())

    local ok, outcome
    repeat
        ok, outcome = pcall(take_line, session, editor)
        -- Ctrl-C may come between what runs and the next line.
        if not ok and not tostring(outcome):match "interrupted$" then error(outcome, 0) end
    until ok and outcome == "quit"
    leave.prompt(false)
    interruptible.disable()
    editor:close()
end

return M
