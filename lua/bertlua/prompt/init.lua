--- The prompt on a terminal: reads lines with editing and history, and feeds them to a session.

local host = require "bertlua.host"
local complete = require "bertlua.prompt.complete"
local repl = require "bertlua.prompt.repl"

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

--- Run until the input ends.
function M.run()
    local color = host.isatty(1) and not os.getenv "NO_COLOR" and os.getenv "TERM" ~= "dumb"
    local session = repl.new { color = color }
    local editor
    editor = host.editor(function(text)
        local insert, names = session:complete(text)
        if insert == "" and #names > 1 then return "", complete.columns(names, editor:columns()) end
        return insert, nil
    end)
    local path = history_path()
    if path then editor:load(path) end
    io.write(banner())

    while true do
        local line = editor:read(session:prompt())
        if line == nil then
            io.write "\n"
            break
        elseif line == false then
            session:cancel()
            io.write "\n"
        else
            if line:match "%S" then editor:remember(line) end
            if session:feed(line) == "quit" then break end
            host.interrupted()
        end
    end

    if path then
        make_folders(path)
        editor:save(path)
    end
    editor:close()
end

return M
