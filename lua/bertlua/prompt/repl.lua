--- The prompt without a terminal: a session that takes lines and writes results.
--
-- What a line means (expression, statement, unfinished, command) is decided
-- here; editing and signals belong to prompt/init.lua and the executable. `-e` runs
-- its code through execute(), so both evaluate in the same way.

local complete = require "bertlua.prompt.complete"
local help = require "bertlua.prompt.help"
local inspect = require "bertlua.prompt.inspect"

local M = {}

local PROMPT, CONTINUATION = "> ", ">> "
local RED, RESET = "\27[31m", "\27[0m"

M.HELP = [[
expression        print its value, which is also in _ (a ; at the end: silent)
? name            help on a function or module, such as ? bl.ops.linear_forward
$ command         run a shell command
:time expression  how long it takes
:quit             leave, as Ctrl-D does
Tab completes names, methods and, inside quotes, file names. Ctrl-C cancels the
line or stops what is running. Names set without `local` stay; bl is require "bertlua".
]]

local function is_unfinished(message)
    return message:match "near '<eof>'$" ~= nil
end

--- Compile code as an expression or as statements.
-- @return function and whether it is silent (ends with ";"), or nil, message, unfinished
function M.compile(code, name)
    local expression = code:gsub("^%s*=", ""):gsub("[;%s]*$", "")
    local silent = code:match ";%s*$" ~= nil
    local chunk, expression_message = loadstring("return " .. expression, name)
    if chunk then
        -- `return f()` is a tail call, which hides this chunk from error(): pass the values through a call.
        chunk = loadstring("return (function(...) return ... end)(" .. expression .. "\n)", name) or chunk
        return chunk, silent
    end
    local message
    chunk, message = loadstring(code, name)
    if chunk then return chunk, silent end
    return nil, message, is_unfinished(message) or is_unfinished(expression_message)
end

local function set_globals(env)
    if rawget(env, "bl") == nil then env.bl = require "bertlua" end
end

--- Run code once, printing the values of an expression; errors are the caller's.
-- @param code Lua code
-- @param name chunk name, for messages
-- @param ... what the code sees as ...
function M.execute(code, name, ...)
    set_globals(_G)
    local chunk, silent = M.compile(code, name)
    if not chunk then error(silent, 0) end
    local function show(...)
        if silent then return end
        for i = 1, select("#", ...) do print(inspect.inspect((select(i, ...)))) end
    end
    show(chunk(...))
end

local Session = {}
Session.__index = Session

--- A new session.
-- @param options table of
--   write: function that takes text (standard output);
--   color: true for escape sequences;
--   env: where names live (_G)
function M.new(options)
    options = options or {}
    local self = setmetatable({
        write = options.write or function(text) io.write(text) end,
        color = options.color or false,
        env = options.env or _G,
        pending = nil,
    }, Session)
    set_globals(self.env)
    return self
end

--- What to show before the next line.
function Session:prompt()
    return self.pending and CONTINUATION or PROMPT
end

--- Forget an unfinished input.
function Session:cancel()
    self.pending = nil
end

--- Print an error.
function Session:complain(message)
    message = tostring(message)
    if self.color then message = RED .. message .. RESET end
    self.write(message .. "\n")
end

local function trace(problem)
    local message = problem == nil and "an error without a message" or tostring(problem)
    if os.getenv "BL_DEBUG" == "1" then return debug.traceback(message, 2) end
    return message
end

--- Run a compiled chunk. Returns as xpcall does.
function Session:run(chunk)
    setfenv(chunk, self.env)
    -- Interpreted, so that Ctrl-C also ends a loop that was typed here: compiled code doesn't look.
    jit.off(chunk, true)
    return xpcall(chunk, trace)
end

local function pack(ok, ...)
    return ok, select("#", ...), { ... }
end

--- Evaluate an input and print its values.
-- @return "done", "error", or "more" if the input is unfinished
function Session:evaluate(code)
    local chunk, silent, unfinished = M.compile(code, "=stdin")
    if not chunk then
        if unfinished then return "more" end
        self:complain(silent)
        return "error"
    end
    local ok, n, values = pack(self:run(chunk))
    if not ok then
        self:complain(values[1])
        return "error"
    end
    if n > 0 then
        if values[1] ~= nil then self.env._ = values[1] end
        if not silent then
            for i = 1, n do
                local done, text = pcall(inspect.inspect, values[i])
                if done then self.write(text .. "\n") else self:complain(text) end
            end
        end
    end
    return "done"
end

--- Evaluate an input and print how long it took.
-- @return "done" or "error"
function Session:time(code)
    local chunk, message = M.compile(code, "=stdin")
    if not chunk then
        self:complain(message)
        return "error"
    end
    local clock = require "bertlua.util.clock"
    local start = clock.monotonic()
    local ok, n, values = pack(self:run(chunk))
    local seconds = clock.monotonic() - start
    if not ok then
        self:complain(values[1])
        return "error"
    end
    if n > 0 and values[1] ~= nil then self.env._ = values[1] end
    local text = seconds < 1e-3 and ("%.1f us"):format(seconds * 1e6)
        or seconds < 1 and ("%.2f ms"):format(seconds * 1e3) or ("%.3f s"):format(seconds)
    self.write(text .. "\n")
    return "done"
end

--- Obey a line that begins with a colon.
-- @return "done", "error" or "quit"
function Session:command(line)
    local name, rest = line:match "^:(%a*)%s*(.*)$"
    if name == "time" and rest ~= "" then return self:time(rest) end
    if name == "quit" or name == "q" then return "quit" end
    if name == "help" then
        self.write(M.HELP)
        return "done"
    end
    self:complain(name == "time" and ":time: an expression is missing"
        or "unknown command " .. line:match "^%S+" .. "; there are :time, :help and :quit")
    return "error"
end

--- Run a command of the shell.
-- @return "done" or "error"
function Session:shell(command)
    local status = os.execute(command)
    if status ~= 0 then
        self:complain(("exit code %d"):format(math.floor(status / 256)))
        return "error"
    end
    return "done"
end

--- Take a line.
-- @return "done", "error", "more" (the input is unfinished) or "quit"
function Session:feed(line)
    if not self.pending then
        if line:match "^%s*$" then return "done" end
        local topic = line:match "^%s*%?%s*(.-)%s*$"
        if topic then
            self.write(topic == "" and M.HELP or help.describe(topic, self.env))
            return "done"
        end
        local command = line:match "^%s*%$%s*(.+)$"
        if command then return self:shell(command) end
        if line:match "^%s*:%a" then return self:command(line:match "^%s*(.-)%s*$") end
        local word = line:match "^%s*(%a+)%s*$"
        if (word == "exit" or word == "quit") and rawget(self.env, word) == nil then return "quit" end
    end
    local code = self.pending and self.pending .. "\n" .. line or line
    local outcome = self:evaluate(code)
    self.pending = outcome == "more" and code or nil
    return outcome
end

--- Complete the text before the cursor.
-- @return text to insert, or "" ; list of candidates where there are several
function Session:complete(text)
    return complete.complete(text, self.env)
end

return M
