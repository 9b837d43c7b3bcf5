--- What reads the machine code of CUDA kernels shares: the program that shows it, and names that people can read.

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local quote = require("bertlua.util.shell").quote

local M = {}

function M.output_of(command)
    local pipe = assert(io.popen(command))
    local text = pipe:read "*a"
    pipe:close()
    return text
end

--- Whether a command of the shell ends with 0.
function M.succeeds(command)
    local first, _, status = os.execute(command)
    return first == true or first == 0 and (status == nil or status == 0)
end

--- The toolkit's cuobjdump, or PyPI's nvidia-cuda-cuobjdump in PATH; CUOBJDUMP names another.
function M.find_cuobjdump()
    local given = os.getenv "CUOBJDUMP"
    if given then return given end
    local toolkit = (os.getenv "CUDA_HOME" or "/usr/local/cuda") .. "/bin/cuobjdump"
    if fs.is_file(toolkit) then return toolkit end
    local found = M.output_of("command -v cuobjdump"):match "%S+"
    if found then return found end
    fault.raise("no cuobjdump: install that part of the CUDA toolkit, or set CUOBJDUMP")
end

--- "gelu_kernel<bf16,8>" of each mangled name.
function M.readable(mangled)
    local path = os.tmpname()
    fault.check(fs.write(path, table.concat(mangled, "\n") .. "\n"))
    local names, i = {}, 0
    for line in M.output_of(("c++filt < %s"):format(quote(path))):gmatch "[^\n]+" do
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
