--- What benchmarks that measure in other processes share: each process prints a JSON object on its last line.

local json = require "bertlua.util.json"
local paths = require "bertlua.paths"
local shell = require "bertlua.util.shell"

local quote = shell.quote

local M = {}

--- The JSON object at the end of a command's output; nil and all of the output if there is none.
function M.json(command)
    local text = shell.output(command)
    local line = text:match "(%b{})%s*$"
    if not line then return nil, text end
    return json.decode(line)
end

local function script(folder, name)
    return quote(paths.root() .. folder .. name)
end

--- The same for a script in bench/, run by this program.
-- @tparam string name
-- @tparam string arguments as the shell takes them
function M.own(name, arguments)
    return M.json(("%s %s %s"):format(quote(paths.program()), script("/bench/", name), arguments))
end

--- The same for a script in bench/peers/.
-- @tparam string python its interpreter
-- @tparam string name
-- @tparam string arguments as the shell takes them
-- @tparam ?number threads that PyTorch may use
function M.peer(python, name, arguments, threads)
    return M.json(("%s%s %s %s"):format(threads and ("OMP_NUM_THREADS=%d "):format(threads) or "", quote(python),
        script("/bench/peers/", name), arguments))
end

return M
