--- Run jobs of several processes on GPUs, or on the emulation, from specs: started as torchrun starts them, over NCCL.

local context = require "bertlua.context"
local ports = require "spec.support.ports"
local process = require "spec.support.process"

local M = {}

local quote = process.quote

local library = os.getenv "BERTLUA_CUDA_LIB" or ""
M.emulated = context.device() == "cuda" and context.describe():find "^emulated" ~= nil

--- nil, or why a job of n processes cannot run here.
function M.missing(n)
    local found = context.count "cuda"
    -- Each process has its own emulated GPU.
    if found < n and not M.emulated then return ("%d GPUs are required, this machine has %d"):format(n, found) end
    return nil
end

--- Run n processes of bertlua; a job that hangs is ended after a minute.
-- @param arguments of bertlua, quoted
-- @param signal for the last rank, {name, after}: sent once the file `after` exists; or nil
-- @return output, exit codes by rank + 1
function M.run(n, arguments, signal)
    local lines = {
        ("export WORLD_SIZE=%d LOCAL_WORLD_SIZE=%d MASTER_ADDR=127.0.0.1 MASTER_PORT=%d OMP_NUM_THREADS=1 "
            .. "BERTLUA_DEVICE=cuda %s"):format(n, n, ports.free(), M.emulated and "BERTLUA_NCCL=" .. quote(library)
            or ""),
    }
    for rank = 0, n - 1 do
        lines[#lines + 1] = ("RANK=%d LOCAL_RANK=%d timeout -k 5 60 %s %s </dev/null & p%d=$!"):format(rank, rank,
            quote(process.bertlua), arguments, rank)
    end
    for rank = 0, n - 1 do lines[#lines + 1] = ("wait $p%d; echo code %d is $?"):format(rank, rank) end
    local script = "{ " .. table.concat(lines, "\n") .. "\n}"
    local output
    if signal then
        output = process.interrupt(script, signal.after, signal.name, function(pid)
            -- What was started is `timeout`; the rank is its child.
            local started = process.children(pid)
            return process.children(started[#started])[1]
        end)
    else
        output = process.run(script)
    end
    local codes = {}
    for rank, code in output:gmatch "code (%d+) is (%d+)" do codes[tonumber(rank) + 1] = tonumber(code) end
    return output, codes
end

return M
