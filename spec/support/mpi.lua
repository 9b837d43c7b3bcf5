--- Run jobs of several processes from specs.

local process = require "spec.support.process"

local M = {}

local quote = process.quote

local function has(command)
    local _, code = process.run("command -v " .. command .. " >/dev/null")
    return code == 0
end

local plugin = process.bertlua:match "^(.*/)" .. "libbertlua-mpi.so"

--- Open MPI's major version; nil where there is none.
M.major = tonumber((process.run("mpirun --version 2>/dev/null"):match "Open MPI%) (%d+)"))

--- nil, or why jobs of several processes cannot run here.
M.missing = nil
if not has "mpirun" then
    M.missing = "no mpirun: apt-get install openmpi-bin"
elseif not M.major then
    M.missing = "mpirun is not Open MPI's, whose options the specs use"
elseif not io.open(plugin) then
    M.missing = plugin .. " was not built: apt-get install libopenmpi-dev, then make"
end

-- mpirun itself runs without the sanitizers that its processes get.
local function passed_on()
    local flags = {}
    for _, name in ipairs { "LD_PRELOAD", "ASAN_OPTIONS", "UBSAN_OPTIONS", "BERTLUA_LIB", "BERTLUA_TEST_DEVICE" } do
        local value = os.getenv(name)
        if value then flags[#flags + 1] = "-x " .. quote(name .. "=" .. value) end
    end
    return table.concat(flags, " ")
end

--- The command that starts n processes of bertlua.
-- Root and more processes than cores are allowed, everything stays on this machine, and each has one thread.
-- @param n processes
-- @param arguments of bertlua, quoted
-- @param options for mpirun, or nil
-- @param each what a shell does in each process before, or nil: RANK is its number, "$@" the program and its arguments
--   (Open MPI 5.0 crashes where mpirun is given several programs)
function M.command(n, arguments, options, each)
    local program = quote(process.bertlua)
    if each then
        program = ("sh -c %s sh %s"):format(quote("RANK=$OMPI_COMM_WORLD_RANK; " .. each .. '; exec "$@"'), program)
    end
    return ("env -u LD_PRELOAD OMP_NUM_THREADS=1 mpirun --allow-run-as-root --oversubscribe --bind-to none "
        .. "--mca mpi_yield_when_idle 1 --mca btl_base_warn_component_unused 0 --mca orte_base_help_aggregate 0 "
        .. "-x OMP_NUM_THREADS %s %s -n %d %s %s"):format(passed_on(), options or "", n, program, arguments)
end

--- Run n processes of bertlua; a job that hangs is ended after five minutes, more than a busy machine takes for any.
-- @return output, exit code, seconds
function M.run(n, arguments, options, each)
    local clock = require "bertlua.util.clock"
    local began = clock.monotonic()
    local output, code = process.run("timeout -k 5 300 " .. M.command(n, arguments, options, each) .. " </dev/null")
    return output, code, clock.monotonic() - began
end

--- The process of a rank, among those that an mpirun has started on this machine; nil if there is none.
-- @param pid of mpirun
function M.process_of(pid, rank)
    for _, child in ipairs(process.children(pid)) do
        local file = io.open(("/proc/%d/environ"):format(child), "rb")
        local text = file and "\0" .. file:read "*a" or ""
        if file then file:close() end
        if text:find(("%%zOMPI_COMM_WORLD_RANK=%d%%z"):format(rank)) then return child end
    end
end

--- The lines that bertlua itself printed as messages.
function M.messages(output)
    local lines = {}
    for line in output:gmatch "[^\n]+" do
        if line:match "^bertlua: " then lines[#lines + 1] = line end
    end
    return lines
end

--- busted's `it`, or a pending one with the reason where jobs cannot run.
function M.specs(it, pending)
    if not M.missing then return it end
    return function(name) it(name, function() pending(M.missing) end) end
end

return M
