--- The prompt without a terminal: a session that takes lines and writes results.
--
-- What a line means (expression, statement, unfinished, command) is decided
-- here; editing and signals belong to prompt/init.lua and the executable. `-e` runs
-- its code through execute(), so both evaluate in the same way.

local complete = require "bertlua.prompt.complete"
local files = require "bertlua.prompt.files"
local guess = require "bertlua.prompt.guess"
local help = require "bertlua.prompt.help"
local inspect = require "bertlua.prompt.inspect"
local leave = require "bertlua.leave"
local locals = require "bertlua.prompt.locals"
local printable = require "bertlua.printable"
local term = require "bertlua.util.term"
local user_code = require "bertlua.util.user_code"

local M = {}

local PROMPT, CONTINUATION = "> ", ">> "
local RED, RESET = "\27[31m", "\27[0m"

M.HELP = [[
expression        print its value, which is also in _ (a ; at the end: silent)
? name            help on a function or module, such as ? bl.ops.linear_forward
$ command         run a shell command
:run FILE [args]  run a Lua file, such as :run my_recipe.lua --epochs 2
:reload NAME      load a module again after you have changed its file
:paste            take lines up to one with a single . as one block (terminals
                  with bracketed paste do this by themselves)
:time expression  how long it takes
:quit             leave, as Ctrl-D, exit() and quit() do
Tab completes names, methods and, inside quotes, file names, or modules after
require. Up recalls a line or block. Ctrl-C cancels the line or stops what runs;
your values stay. Names set at the top level stay, with or without `local`; a
second `local x` sets the same x. bl is require "bertlua".
bl.load "FOLDER" opens a model, bl.plot(list) draws, ? bl lists the rest.
]]

local COMMANDS = ":run, :reload, :paste, :time, :help and :quit"

-- A quoted string ends with its line, so that another one does not help.
local function is_unfinished(message)
    return message:match "near '<eof>'$" ~= nil and not message:find "unfinished string near"
end

--- Compile code as an expression or as statements.
-- @param code Lua code
-- @param name chunk name, for messages
-- @param keep_locals true: statements are compiled with their top-level locals kept (see locals.lua)
-- @return function and whether it is silent (ends with ";"), or nil, message, unfinished
function M.compile(code, name, keep_locals)
    local expression = code:gsub("^%s*=", ""):gsub("[;%s]*$", "")
    local silent = code:match ";%s*$" ~= nil
    local chunk, expression_message = loadstring("return " .. expression, name)
    if chunk then
        -- `return f()` is a tail call, which hides this chunk from error(): pass the values through a call.
        local call = "return (function(...) return ... end)(" .. expression
        -- The line break ends a comment; without one, errors name the right line.
        chunk = loadstring(call .. ")", name) or loadstring(call .. "\n)", name) or chunk
        return chunk, silent
    end
    local message
    chunk, message = loadstring(code, name)
    if chunk then
        -- The code as it is has no mistake, so messages about it never show what it is rewritten to.
        return keep_locals and loadstring(locals.rewrite(code), name) or chunk, silent
    end
    return nil, message, is_unfinished(message) or is_unfinished(expression_message)
end

local function set_globals(env)
    if rawget(env, "bl") == nil then env.bl = require "bertlua" end
end

--- The topic of a line that asks for help, or nil.
local function topic_of(line)
    return line:match "^%s*%?%s*(.-)%s*$"
end

--- The value whose field an expression names, such as that of x in `x.shape`; nil if it is another expression.
local function owner_in(code, env)
    local path = code:match "^%s*=?%s*([%a_][%w_%.]*)%.[%a_][%w_]*[;%s]*$"
    return path and complete.resolve(path, env)
end

local function help_on(topic, env)
    return topic == "" and M.HELP or help.describe(topic, env)
end

--- Run code once, printing the values of an expression; errors are the caller's.
-- @param code Lua code, or a question such as "? bl.ops"
-- @param name chunk name, for messages
-- @param ... what the code sees as ...
function M.execute(code, name, ...)
    set_globals(_G)
    local topic = topic_of(code)
    if topic then
        io.write(help_on(topic, _G))
        return
    end
    local chunk, silent = M.compile(code, name)
    if not chunk then error(silent, 0) end
    local function show(...)
        if silent then return end
        local owner = owner_in(code, _G)
        for i = 1, select("#", ...) do print(inspect.inspect((select(i, ...)), owner)) end
    end
    show(chunk(...))
end

local Session = {}
Session.__index = Session

--- A new session.
-- @param options table of
--   write: function that takes text (standard output);
--   color: true for escape sequences;
--   env: where globals live (_G);
--   columns: function that returns how wide messages may be (no limit);
--   on_input: called with each complete input before it runs, for a history;
--   interrupted: function that says whether Ctrl-C interrupted the code just run
function M.new(options)
    options = options or {}
    local self = setmetatable({
        write = options.write or function(text) io.write(text) end,
        color = options.color or false,
        env = options.env or _G,
        columns = options.columns,
        on_input = options.on_input or function() end,
        interrupted = options.interrupted or function() return false end,
        pending = nil,
        pasting = nil,
    }, Session)
    self.scope = locals.scope(self.env)
    set_globals(self.env)
    return self
end

--- What to show before the next line.
function Session:prompt()
    if self.pasting then return "" end
    return self.pending and CONTINUATION or PROMPT
end

--- Forget an unfinished input.
function Session:cancel()
    self.pending, self.pasting = nil, nil
end

--- All names of the session, the locals before the globals, for completion and help.
function Session:names()
    local names = {}
    for name, value in pairs(self.scope.values) do names[name] = value end
    return setmetatable(names, { __index = self.env })
end

--- Print an error.
function Session:complain(message)
    local progress = package.loaded["bertlua.util.progress"]
    if progress then progress.leave_line() end
    message = printable.lines(tostring(message))
    if self.columns then message = term.wrap(message, self.columns(), 0) end
    if self.color then message = RED .. message .. RESET end
    self.write(message .. "\n")
end

-- Runs where the error was raised, while its functions can still be seen.
local function trace(problem)
    if problem == leave.STOP then return problem end
    local message = problem == nil and "an error without a message" or tostring(problem)
    if os.getenv "BL_DEBUG" == "1" then return debug.traceback(message, 2) end
    message = user_code.relocate(message, 2)
    -- Where require has looked is many lines that rarely help.
    message = message:gsub("^([^\n]*module '[^'\n]*' not found):\n.*$", "%1; it is looked for in package.path")
    local frames = user_code.frames(2)
    return frames and message .. "\n    " .. table.concat(frames, "\n    ") or message
end

local function pack(ok, ...)
    return ok, select("#", ...), { ... }
end

--- Call a function and tell what goes wrong.
-- @return true, the number of its values and the values; or false
function Session:call(f, ...)
    local ok, n, values = pack(xpcall(f, trace, ...))
    if ok then return true, n, values end
    if values[1] == leave.STOP then return true, 0, {} end
    if self.interrupted() and values[1]:match "^[^\n]*" :match "interrupted$" then values[1] = "interrupted" end
    self:complain(guess.message(values[1], self.running, self:names()))
    -- What a failed run held: its memory, its files.
    leave.clean_up()
    collectgarbage()
    return false
end

--- Run a compiled chunk in the session's scope; returns as call().
function Session:run(chunk)
    setfenv(chunk, self.scope.environment)
    -- Interpreted, so that Ctrl-C also ends a loop that was typed here: compiled code doesn't look.
    jit.off(chunk, true)
    return self:call(chunk)
end

--- Keep the first value in _, and print all.
-- @param code the expression that they are of; nil if it is none
function Session:show(n, values, silent, code)
    if n == 0 then return end
    if values[1] ~= nil then self.env._ = values[1] end
    if silent then return end
    local owner = code and owner_in(code, self:names())
    for i = 1, n do
        local done, text = pcall(inspect.inspect, values[i], owner)
        if done then self.write(text .. "\n") else self:complain(text) end
    end
end

--- Evaluate an input and print its values.
-- @return "done", "error", or "more" if the input is unfinished
function Session:evaluate(code)
    local chunk, silent, unfinished = M.compile(code, "=stdin", true)
    if not chunk then
        local pieces = code:find("\n", 1, true) and self:pieces(code)
        if not pieces and unfinished then return "more" end
        self.on_input(code)
        if pieces then return self:each_piece(pieces) end
        self:complain(silent)
        return "error"
    end
    self.on_input(code)
    self.running = code
    local ok, n, values = self:run(chunk)
    self.running = nil
    if not ok then return "error" end
    self:show(n, values, silent, code)
    return "done"
end

-- Inputs as they stand in a copied session, without the prompts and what was printed between them; nil if it is none.
local function transcript(code)
    if not code:match "^%s*> " then return nil end
    local lines = {}
    for line in (code .. "\n"):gmatch "(.-)\n" do lines[#lines + 1] = line:match "^%s*>>? (.*)$" end
    return table.concat(lines, "\n")
end

--- Complete inputs that follow one another in a block that is no chunk, such as expressions to print in a row; nil if
-- some part of it is not Lua.
function Session:pieces(code)
    local pieces, begun = {}, nil
    for line in (code .. "\n"):gmatch "(.-)\n" do
        local piece = begun and begun .. "\n" .. line or line
        if not piece:match "%S" or not begun and self:special(piece) or M.compile(piece, "=stdin") then
            pieces[#pieces + 1] = piece
            begun = nil
        elseif select(3, M.compile(piece, "=stdin")) then
            begun = piece
        else
            return nil
        end
    end
    return not begun and pieces or nil
end

--- Run pieces until one fails.
function Session:each_piece(pieces)
    local record = self.on_input
    self.on_input = function() end
    local ok, outcome = pcall(function()
        for _, piece in ipairs(pieces) do
            local last = self:feed(piece)
            if last ~= "done" then return last end
        end
        return "done"
    end)
    self.on_input = record
    if not ok then error(outcome, 0) end
    return outcome
end

local function duration(seconds)
    return seconds < 1e-3 and ("%.1f us"):format(seconds * 1e6)
        or seconds < 1 and ("%.2f ms"):format(seconds * 1e3) or ("%.3f s"):format(seconds)
end

--- exit(code) and quit(code) in the code of a session; alone in a line they are a matter of the session itself.
function M.exit(code)
    os.exit(code or 0, true)
end

local commands = {}

--- How long an expression takes; its value is in _.
function commands.time(self, code)
    if code == "" then return nil, ":time: an expression is missing" end
    local chunk, message = M.compile(code, "=stdin", true)
    if not chunk then return nil, message end
    local clock = require "bertlua.util.clock"
    local start = clock.monotonic()
    local ok, n, values = self:run(chunk)
    local seconds = clock.monotonic() - start
    if not ok then return "error" end
    self:show(n, values, true)
    self.write(duration(seconds) .. "\n")
    return "done"
end

--- Globals of the file stay, its values are printed; a recipe returns none, so _ is then the outcome of its run.
function commands.run(self, line)
    local words, problem = files.split(line)
    if not words then return nil, ":run: " .. problem end
    if not words[1] then return nil, ":run: a file is missing, expected such as :run my_recipe.lua --epochs 2" end
    local path, message = files.find(words[1])
    if not path then return nil, ":run: " .. message end
    if message then
        self.write((":run: %s is the recipe; to run the file %s: ./%s\n"):format(words[1], message, message))
    end
    local chunk
    chunk, message = loadfile(path)
    if not chunk then return nil, message end
    local before, outcome = _G.arg, leave.outcome
    _G.arg = { [0] = words[1], unpack(words, 2) }
    local ok, n, values = self:call(chunk, unpack(words, 2))
    _G.arg = before
    if not ok then return "error" end
    self:show(n, values)
    if n == 0 and leave.outcome ~= outcome then self.env._ = leave.outcome end
    return "done"
end

--- Load a module again (see reload.lua).
function commands.reload(self, name)
    if name == "" then return nil, ":reload: a module is missing, expected such as :reload my_module" end
    local text, problem = require("bertlua.prompt.reload").reload(name, self:names())
    if not text then return nil, ":reload: " .. problem end
    self.write(text)
    return "done"
end

--- From the next line on, collect a block.
function commands.paste(self)
    self.pasting = {}
    self.write "Paste or type; a line with a single . or Ctrl-D ends it, Ctrl-C drops it.\n"
    return "done"
end

--- What there is at the prompt.
function commands.help(self)
    self.write(M.HELP)
    return "done"
end

--- End the session.
function commands.quit()
    return "quit"
end

commands.q = commands.quit

--- Obey a line that begins with a colon.
-- @return "done", "error" or "quit"
function Session:command(line)
    local name, rest = line:match "^:(%a*)%s*(.*)$"
    local command = commands[name]
    local outcome, message
    if command then
        outcome, message = command(self, rest)
    else
        message = "unknown command " .. line:match "^%S+" .. "; there are " .. COMMANDS
    end
    if outcome then return outcome end
    self:complain(message)
    return "error"
end

--- Run a command of the shell.
-- @return "done" or "error"
function Session:shell(command)
    local status = os.execute(command)
    if status ~= 0 then
        -- As wait() gives it: the signal that ended it, or its exit code.
        local signal = status % 128
        self:complain(signal == 2 and "interrupted" or signal > 0 and ("ended by signal %d"):format(signal)
            or ("exit code %d"):format(math.floor(status / 256)))
        return "error"
    end
    return "done"
end

--- Run what `:paste` collected.
-- @return as feed()
function Session:finish_paste()
    local code = table.concat(self.pasting, "\n")
    self.pasting = nil
    if not code:match "%S" then return "done" end
    local outcome = self:evaluate(code)
    if outcome == "more" then
        self.on_input(code)
        self:complain "the block is not complete: an `end`, a bracket or the rest of an expression is missing"
        return "error"
    end
    return outcome
end

--- What a line that stands alone means, if it is not Lua; nil if it is.
function Session:special(line)
    local topic = topic_of(line)
    if topic then return function() self.write(help_on(topic, self:names())) return "done" end end
    local command = line:match "^%s*%$%s*(.+)$"
    if command then return function() return self:shell(command) end end
    if line:match "^%s*:%a" then return function() return self:command(line:match "^%s*(.-)%s*$") end end
    local word = line:match "^%s*(%a+)%s*$" or line:match "^%s*(%a+)%s*%(%s*%)[%s;]*$"
    if word == "help" and self:names().help == nil then return function() return commands.help(self) end end
    if word == "exit" or word == "quit" then
        local value = self:names()[word]
        if value == nil or value == M.exit then return function() return "quit" end end
    end
end

--- Take a line, or a pasted block of lines.
-- @return "done", "error", "more" (the input is unfinished) or "quit"
function Session:feed(line)
    if self.pasting then
        if line:match "^%s*%.%s*$" then return self:finish_paste() end
        self.pasting[#self.pasting + 1] = line
        return "done"
    end
    if not self.pending then
        line = transcript(line) or line
        if line:match "^%s*$" then return "done" end
        local action = not line:find("\n", 1, true) and self:special(line)
        if action then
            self.on_input(line)
            return action()
        end
    end
    local code = self.pending and self.pending .. "\n" .. line or line
    local outcome = self:evaluate(code)
    self.pending = outcome == "more" and code or nil
    return outcome
end

--- Complete the text before the cursor.
-- @return text to insert, or "" ; list of candidates where there are several
function Session:complete(text)
    return complete.complete(text, self:names())
end

return M
