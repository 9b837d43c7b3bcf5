--- A program at a terminal, provided by `script`: typed into, and waited for.

local clock = require "bertlua.util.clock"
local fs = require "bertlua.util.fs"
local posix_time = require "posix.time"
local process = require "spec.support.process"

local M = {}

--- Whether there is a `script`.
M.available = select(2, process.run "command -v script >/dev/null") == 0

local Terminal = {}
Terminal.__index = Terminal

--- Start a program.
-- @param folder temporary; holds the history of a prompt, what is on the terminal, and the exit code
-- @param command for the shell
-- @param directory to start it in
function M.start(folder, command, directory)
    local self = setmetatable({ path = folder .. "/terminal", code = folder .. "/code", seen = 1 }, Terminal)
    self.pipe = assert(io.popen(("cd %s && XDG_STATE_HOME=%s NO_COLOR=1 TERM=xterm timeout 300 script -qfec %s "
        .. "/dev/null > %s 2>&1; echo $? > %s"):format(process.quote(directory or "."), process.quote(folder),
        process.quote(command), process.quote(self.path), process.quote(self.code)), "w"))
    return self
end

--- Start the prompt.
function M.open(folder, directory)
    local self = M.start(folder, process.quote(process.bertlua), directory)
    self:wait "Ctrl-D to leave"
    return self
end

--- Everything that is on the terminal, without what moves the cursor.
function Terminal:output()
    return ((fs.read(self.path) or ""):gsub("\r", ""):gsub("\27%[%?2004[hl]", ""))
end

--- Wait until a text comes behind what was waited for before; it must not occur in what is typed meanwhile.
function Terminal:wait(text)
    local deadline = clock.monotonic() + 60
    while clock.monotonic() < deadline do
        local _, last = self:output():find(text, self.seen, true)
        if last then
            self.seen = last + 1
            return
        end
        posix_time.nanosleep { tv_sec = 0, tv_nsec = 1e7 }
    end
    error(("%q never came:\n%s"):format(text, self:output()), 2)
end

--- Type keys.
function Terminal:send(keys)
    self.pipe:write(keys)
    self.pipe:flush()
end

--- Paste as a terminal does that was asked to mark it.
function Terminal:paste(text)
    self:send("\27[200~" .. text:gsub("\n", "\r") .. "\27[201~")
end

--- End the session with Ctrl-D, if it has not ended.
-- @return everything that was on the terminal, exit code of the program
function Terminal:close()
    pcall(self.send, self, "\4")
    self.pipe:close()
    return self:output(), tonumber(fs.read(self.code))
end

return M
