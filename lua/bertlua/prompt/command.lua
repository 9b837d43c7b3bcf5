--- The command line of the bertlua executable: options, running files, reporting errors.

require "bertlua.jit_guard"
local commands = require "bertlua.prompt.commands"
local files = require "bertlua.prompt.files"
local host = require "bertlua.host"
local printable = require "bertlua.printable"
local suggest = require "bertlua.util.suggest"
local undefined = require "bertlua.util.undefined"
local user_code = require "bertlua.util.user_code"

local M = {}

local USAGE = [=[
Usage: bertlua [NAME|FILE [arguments]]
       bertlua -e CODE [arguments]

  bertlua                     a prompt, or runs standard input if it is piped in
  bertlua NAME [settings]     run a recipe, such as bertlua fill_mask ...;
                              bertlua NAME --help lists its settings
  bertlua FILE [arguments]    run a Lua file: a path with a slash, or NAME.lua
  bertlua recipes             list the recipes
  bertlua convert from-huggingface|to-huggingface [settings]
                              parameters of another program to a checkpoint, or
                              a checkpoint to a folder of transformers
  bertlua quantize FOLDER OUT a model with weights of 8 bits, for faster
                              inference
  bertlua seal-shards [settings]
                              put a seal behind each shard of other programs
  bertlua -e CODE             run CODE; prints the value of an expression, and
                              help with -e '? NAME'
  bertlua -                   run standard input
  bertlua doctor              check this machine and the installation
  bertlua --device NAME ...   any of these on cpu, cuda or auto (cuda where it
                              is found); recipes have a setting of that name
  bertlua --version           versions of bertlua, its libraries and backends
  bertlua --help              this text

Environment: BL_DEBUG=1 shows tracebacks, OMP_NUM_THREADS sets the threads,
NO_COLOR turns colours off, BERTLUA_DEVICE names the device, BERTLUA_LIB another
build of the library.
]=]

local OPTIONS = { "--help", "--version", "--device", "-e", "-h", "-v", "-" }
-- What takes no arguments.
local ALONE = { doctor = true, recipes = true, ["--help"] = true, ["-h"] = true, ["--version"] = true, ["-v"] = true }
local INTERRUPTED = 130

local function complain(message)
    local progress = package.loaded["bertlua.util.progress"]
    if progress then progress.leave_line() end
    message = "bertlua: " .. printable.lines(message)
    local term = package.loaded["bertlua.util.term"]
    if term then message = term.fit("stderr", message, 0) end
    io.stderr:write(message, "\n")
end

-- Runs where the error was raised, while the traceback still exists.
local function on_error(problem)
    if type(problem) == "string" then problem = user_code.relocate(problem, 2) end
    return { problem = problem, traceback = debug.traceback("", 2), frames = user_code.frames(2) }
end

local function first_line(text)
    return text:match("^%s*([^\n]*)")
end

-- Whether this process speaks for its job, also before the processes of the job have met.
local function first_rank()
    local found, launch = pcall(function() return require("bertlua.distributed.launch").detect() end)
    return not found or launch.rank == 0
end

-- What goes wrong before the processes of a job have met goes wrong in all of them: the others wait for rank 0 to
-- report it, and the launcher ends them meanwhile.
local function let_rank_0_speak()
    if not first_rank() then require("posix.unistd").sleep(2) end
end

-- In a job of several processes one rank prints a failure for all of them.
local function complain_for_job(message, code)
    local comm = package.loaded["bertlua.comm"]
    if not (comm and comm.in_job()) then
        let_rank_0_speak()
        return complain(message)
    end
    local named = comm.named(message)
    if comm.leave(message, code) then complain(named) end
end

--- Print a problem as one line and return the exit code for it.
local function report(failure)
    local problem = failure.problem
    if host.interrupted() and tostring(problem):match("interrupted$") then
        complain "interrupted"
        return INTERRUPTED
    end
    local message, code = tostring(problem), 1
    undefined.failed(message)
    local fault = package.loaded["bertlua.fault"]
    if fault and fault.is(problem) then
        code = problem.code
    elseif problem == nil then
        message = "an error without a message"
    elseif os.getenv "BL_DEBUG" ~= "1" then
        message = first_line(message)
        -- At the prompt it is there already, so it is missing in what was copied from there.
        if message:find "attempt to index global 'bl' %(a nil value%)$" then
            message = message .. '; a file begins with local bl = require "bertlua"'
        end
    end
    complain_for_job(message, code)
    if os.getenv "BL_DEBUG" == "1" then
        io.stderr:write((failure.traceback:gsub("^\n", "")), "\n")
    elseif failure.frames and not (fault and fault.is(problem)) and not package.loaded["bertlua.comm"] then
        io.stderr:write("    ", table.concat(failure.frames, "\n    "), "\n")
    end
    return code
end

local function run(fn, ...)
    local ok, result = xpcall(fn, on_error, ...)
    if not ok then return report(result) end
    return 0, result
end

local function usage_error(message)
    complain(message .. "; bertlua --help shows how to start")
    return 1
end

-- arg as in stand-alone Lua: arg[0] the script, arguments from 1.
local function set_arguments(argv, script_index, name)
    local arguments = {}
    for i = 0, #argv do arguments[i - script_index] = argv[i] end
    arguments[0] = name
    _G.arg = arguments
    return arguments
end

local function run_path(path, argv, index, name)
    local chunk, message = loadfile(path)
    if not chunk then
        complain(message)
        return 1
    end
    local arguments = set_arguments(argv, index, name)
    undefined.watch(chunk, function(line)
        if first_rank() then complain("warning: " .. line) end
    end)
    local code = run(chunk, unpack(arguments))
    undefined.flush()
    return code
end

local function run_file(argv, index)
    local name = argv[index]
    local path, message = files.find(name)
    if not path then return usage_error(message) end
    if message and first_rank() then
        local line = "bertlua: %s is the recipe; to run the file %s of this folder: bertlua ./%s\n"
        io.stderr:write(line:format(name, message, message))
    end
    return run_path(path, argv, index, name)
end

local function show_help(command)
    return (run(function() io.write(commands.help_text(command)) end))
end

--- A command that is a script, or one of several: `bertlua convert from-huggingface --input ...`.
local function run_script(command, argv)
    local words, word = commands.words(command), argv[2]
    if not words[1] then return run_path(commands.script(command), argv, 1, command.name) end
    local path = commands.script(command, word)
    if path then return run_path(path, argv, 2, command.name .. " " .. word:gsub("_", "-")) end
    if word == "--help" or word == "-h" then return show_help(command) end
    local guess = word and suggest.closest(word, words)
    return usage_error(("%s: %s, expected %s%s"):format(command.name, word and "got " .. word or "a word is missing",
        table.concat(words, " or "), guess and "; did you mean " .. guess .. "?" or ""))
end

local function run_stdin(argv, index)
    local text = io.read "*a"
    local chunk, message = loadstring(text, "=stdin")
    if not chunk then
        complain(message)
        return 1
    end
    local arguments = set_arguments(argv, index, "-")
    return (run(chunk, unpack(arguments)))
end

local function run_code(argv, index)
    local code = argv[index + 1]
    if not code then return usage_error "-e: a value is missing, expected Lua code" end
    local arguments = set_arguments(argv, index + 1, "-e")
    return (run(function()
        require("bertlua.prompt.repl").execute(code, "=(command line)", unpack(arguments))
    end))
end

local function show_version()
    return (run(function() io.write(require("bertlua.prompt.doctor").versions()) end))
end

local function run_doctor()
    local status, healthy = run(function() return require("bertlua.prompt.doctor").run() end)
    return status ~= 0 and status or healthy and 0 or 1
end

local function run_prompt()
    return (run(function() require("bertlua.prompt").run() end))
end

-- Opens it at once, so that a missing device is reported before anything else.
local function choose_device(name)
    if not name then return usage_error "--device: a value is missing, expected cpu, cuda or auto" end
    return (run(function()
        local opened, problem = pcall(require("bertlua.context").open, { device = name })
        if not opened then error((tostring(problem):gsub("^[^\n]-%.lua:%d+: ", "")), 0) end
        require("posix.stdlib").setenv("BERTLUA_DEVICE", name)
    end))
end

--- Words that are neither options nor recipes; nil if the first one is not of them.
local function run_command(argv)
    local command = commands.find(argv[1])
    if not command then return nil end
    if command.script or command.scripts then return run_script(command, argv) end
    if argv[2] then return show_help(command) end
    if command.name == "doctor" then return run_doctor() end
    return (run(function() io.write(commands.recipes_text()) end))
end

local function dispatch(argv)
    while argv[1] == "--device" do
        local code = choose_device(argv[2])
        if code ~= 0 then return code end
        table.remove(argv, 1)
        table.remove(argv, 1)
    end
    if argv[1] == "help" then
        -- Of what it names; alone, the text of the option.
        table.remove(argv, 1)
        argv[argv[1] and #argv + 1 or 1] = "--help"
    end
    local first = argv[1]
    local asks = argv[2] == "--help" or argv[2] == "-h"
    if ALONE[first] and argv[2] and not (asks and commands.find(first) and not argv[3]) then
        return usage_error(("%s takes no arguments, got %s; a recipe's help is shown by bertlua NAME --help"):format(
            first, argv[2]))
    end
    if first == nil then
        if host.isatty(0) and host.isatty(1) then return run_prompt() end
        return run_stdin(argv, 0)
    elseif first == "-" then
        return run_stdin(argv, 1)
    elseif first == "-h" or first == "--help" then
        io.write(USAGE)
        return 0
    elseif first == "-v" or first == "--version" then
        return show_version()
    elseif first == "--complete" then
        local words = { argv[2] or "", unpack(argv, 3) }
        return (run(function() io.write(require("bertlua.prompt.completion").text(words)) end))
    elseif first == "-e" then
        return run_code(argv, 1)
    elseif first:sub(1, 1) == "-" then
        local guess = suggest.closest(first, OPTIONS)
        return usage_error("unknown option " .. first .. (guess and "; did you mean " .. guess .. "?" or ""))
    end
    return run_command(argv) or run_file(argv, 1)
end

-- Leave the job's other processes. After a failure their messages may still be under way, so the libraries' own
-- clean-up is skipped.
local function leave_job(code)
    local comm = package.loaded["bertlua.comm"]
    -- No table if it could not be loaded.
    if type(comm) ~= "table" then return code end
    if code ~= 0 then
        host.flush()
        if comm.in_job() then host.quit(code) end
        return code
    end
    return (run(comm.leave))
end

--- Run a command line.
-- @param argv arguments, argv[0] the program
-- @return exit code
function M.main(argv)
    local code = leave_job(dispatch(argv))
    local written, message = host.flush()
    -- An earlier failure has already printed its line.
    if not written and code == 0 then
        complain("standard output: " .. message)
        return 1
    end
    return code
end

return M
