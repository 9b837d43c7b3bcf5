--- What reads the machine code of CUDA kernels shares: the program that shows it, and names that people can read.

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local shell = require "bertlua.util.shell"

local M = {}

--- The toolkit's cuobjdump, or PyPI's nvidia-cuda-cuobjdump in PATH; CUOBJDUMP names another.
function M.find_cuobjdump()
    local given = os.getenv "CUOBJDUMP"
    if given then return given end
    local toolkit = (os.getenv "CUDA_HOME" or "/usr/local/cuda") .. "/bin/cuobjdump"
    if fs.is_file(toolkit) then return toolkit end
    local found = shell.output("command -v cuobjdump"):match "%S+"
    if found then return found end
    fault.raise("no cuobjdump: install that part of the CUDA toolkit, or set CUOBJDUMP")
end

--- Read what cuobjdump shows of an object with -sass -res-usage.
-- @tparam function begin called with the mangled name of each kernel, and its registers
-- @tparam function each called with every line behind that
function M.read(text, begin, each)
    local name, registers, inside = nil, {}, false
    for line in text:gmatch "[^\n]+" do
        local used = line:match "^%s+Function (%S+):$"
        local number = line:match "^%s+REG:(%d+)"
        local begun = line:match "^%s+Function : (%S+)"
        if used then name = used end
        if number then registers[name] = tonumber(number) end
        if begun then
            inside = true
            begin(begun, registers[begun])
        elseif inside then
            each(line)
        end
    end
end

--- "gelu_kernel<bf16,8>" of each mangled name.
function M.readable(mangled)
    local path = os.tmpname()
    fault.check(fs.write(path, table.concat(mangled, "\n") .. "\n"))
    local names, i = {}, 0
    for line in shell.output(("c++filt < %s"):format(shell.quote(path))):gmatch "[^\n]+" do
        i = i + 1
        local name = line:gsub("^void ", ""):gsub("__nv_bfloat16", "bf16"):gsub("__half", "f16")
            :gsub("%(bool%)1", "true"):gsub("%(bool%)0", "false"):gsub("%(%a+%)(%d)", "%1"):gsub(" ", "")
        names[mangled[i]] = name:match "^[%w_:]+%b<>" or name:match "^[%w_:]+"
    end
    os.remove(path)
    if i ~= #mangled then fault.raisef("c++filt read %d of %d names", i, #mangled) end
    return names
end

return M
