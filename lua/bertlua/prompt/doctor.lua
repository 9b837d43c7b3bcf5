--- `bertlua --version` and `bertlua doctor`: what is installed, what is missing, and how to fix it.

local root = require("bertlua.host").root

local M = {}

-- "cuda: what is wrong; what to do" in two, without the device.
local function problem_and_fix(message)
    local problem, fix = message:match "^cuda: (.-); (.*)$"
    return problem or message, fix or "training runs on the CPU"
end

-- "2 GPUs: name, memory, capability; ...", or why there is none.
local function describe_cuda()
    local context = require "bertlua.context"
    local count, message = context.count "cuda"
    if count == 0 then return (problem_and_fix(message)) end
    local found = {}
    for _, line in ipairs(context.report "cuda" or {}) do
        if line.name:match "^GPU" then found[#found + 1] = line.detail end
    end
    return ("%d GPU%s: %s"):format(count, count == 1 and "" or "s", table.concat(found, "; "))
end

local function versions_of_libraries()
    local version, context = require "bertlua.version", require "bertlua.context"
    context.open { device = "cpu" }
    return {
        { "oneDNN", version.onednn() },
        { "HDF5", version.hdf5() },
        { "ICU", version.icu() },
        { "CPU", context.describe() },
        { "CUDA", describe_cuda() },
        { "MPI", require("bertlua.comm").describe "mpi" or "not built" },
        { "NCCL", require("bertlua.comm").describe "nccl" or "not found" },
    }
end

--- The text that the option `version` prints.
function M.versions()
    local lines = { "bertlua " .. require("bertlua.version").engine, (jit.version) }
    for _, entry in ipairs(versions_of_libraries()) do lines[#lines + 1] = entry[1] .. " " .. entry[2] end
    return table.concat(lines, "\n") .. "\n"
end

local function read(path)
    local file = io.open(path)
    if not file then return "" end
    local text = file:read "*a"
    file:close()
    return text
end

-- Every check returns state ("ok", "note" or "missing"), detail, fix.
local checks = {}

-- more: function that returns a list of further lines {state, name, detail, fix}, or nil.
local function check(name, fn, more)
    checks[#checks + 1] = { name = name, fn = fn, more = more }
end

check("engine", function()
    local found, paths = pcall(require, "bertlua.paths")
    if not found then
        return "missing", tostring(paths):gsub("^.-%.lua:%d+: ", ""), "run make (it lists missing Debian packages)"
    end
    return "ok", paths.library()
end)

check("processor", function()
    local context = require "bertlua.context"
    local opened, reason = pcall(context.open, { device = "cpu" })
    if not opened then
        return "missing", tostring(reason):gsub("^.-%.lua:%d+: ", ""), "unset BERTLUA_MAX_CPU, or name another level"
    end
    if context.fast_dtype "bf16" then return "ok", context.describe() end
    return "note", context.describe(), "fp32 is multiplied faster than bf16 here: --amp alone computes in fp32"
end)

check("threads", function()
    local process = require "bertlua.process"
    local threads, allowed, quota = require("bertlua.context").threads(), process.processors(), process.quota()
    local _, cores = read("/proc/cpuinfo"):gsub("processor%s*:", "")
    local detail = ("%d of %d cores"):format(threads, cores)
    if quota and quota < cores then
        detail = ("%s: this container gets the time of %.4g"):format(detail, quota)
    elseif allowed < cores then
        detail = ("%s: this process may run on %d"):format(detail, allowed)
    end
    if threads < allowed then return "note", detail, "unset OMP_NUM_THREADS to use all" end
    if threads > allowed then return "note", detail, ("unset OMP_NUM_THREADS, or set it to %d"):format(allowed) end
    return "ok", detail
end)

check("memory", function()
    local left, total, limited = require("bertlua.process").memory_left()
    if not left then return "note", "/proc/meminfo cannot be read", "mount /proc" end
    local detail = ("%.1f GiB free"):format(left / 2 ^ 30)
    if limited then detail = ("%s of the %.1f GiB that this container may use"):format(detail, total / 2 ^ 30) end
    if left < 4 * 2 ^ 30 then return "note", detail, "use a small batch or a small model" end
    return "ok", detail
end)

check("HDF5", function()
    local version = require "bertlua.version"
    if version.hdf5_thread_safe() then return "ok", version.hdf5() .. ", thread-safe" end
    return "missing", version.hdf5() .. " is not thread-safe: batches cannot be read ahead",
        "apt-get install libhdf5-dev, then make clean && make"
end)

check("HDF5 reader", function()
    local program, expected = require("bertlua.paths").companion "bertlua-hdf5"
    if program then return "ok", program end
    return "missing", expected, "run make, or make install again: shards are read by it"
end)

for _, entry in ipairs {
    { "cjson", "lua-cjson" }, { "lfs", "lua-filesystem" },
    { "posix.unistd", "lua-posix" },
} do
    check("Lua " .. entry[1], function()
        if pcall(require, entry[1]) then return "ok", entry[2] end
        return "missing", entry[2], "apt-get install " .. entry[2]
    end)
end

local function count_files(folder, pattern)
    local found, lfs = pcall(require, "lfs")
    local path = root .. "/" .. folder
    if not found or lfs.attributes(path, "mode") ~= "directory" then return 0, path end
    local n = 0
    for name in lfs.dir(path) do
        if name:match(pattern) then n = n + 1 end
    end
    return n, path
end

local function folder_check(name, folder, pattern)
    check(name, function()
        local n, path = count_files(folder, pattern)
        if n > 0 then return "ok", ("%d in %s"):format(n, path) end
        return "missing", "none in " .. path, "install bertlua again, or restore the folder from its source"
    end)
end

folder_check("recipes", "recipes", "%.lua$")
folder_check("configurations", "bert_configs", "%.json$")
folder_check("vocabularies", "vocab", "vocab%.txt$")

-- Without a GPU everything runs on the CPU, unless the environment insists.
local function gpu_is_needed()
    return os.getenv "BERTLUA_DEVICE" == "cuda"
end

check("CUDA", function()
    local count, message = require("bertlua.context").count "cuda"
    if count > 0 then return "ok", ("%d device%s"):format(count, count == 1 and "" or "s") end
    local problem, fix = problem_and_fix(message)
    return gpu_is_needed() and "missing" or "note", problem, fix
end, function()
    local lines = require("bertlua.context").report "cuda"
    for _, line in ipairs(lines or {}) do
        if line.state == "note" and line.name:match "^GPU" and gpu_is_needed() then line.state = "missing" end
    end
    return lines
end)

check("MPI", function()
    local name, missing = require("bertlua.comm").describe "mpi"
    if not name then return "note", missing, "without it training on the CPU runs in one process" end
    if os.execute "command -v mpirun >/dev/null 2>&1" ~= 0 then
        return "note", name .. ", and no mpirun", "apt-get install openmpi-bin, or start processes with srun"
    end
    return "ok", name .. ": mpirun -n N bertlua RECIPE trains in N processes"
end)

check("NCCL", function()
    local name, missing = require("bertlua.comm").describe "nccl"
    if name then return "ok", name .. ": one process per GPU" end
    return "note", "not found", (missing:gsub("^comm: ", ""))
end)

--- Run every check and print a line for each.
-- @param write function that takes text; standard output if left out
-- @return true if nothing required is missing
function M.run(write)
    write = write or function(text) io.write(text) end
    local healthy = true
    local function show(name, state, detail, fix)
        if state == "missing" then healthy = false end
        write(("%-8s %-16s %s\n"):format(state, name, detail))
        if state ~= "ok" then write(("%-8s %-16s -> %s\n"):format("", "", fix)) end
    end
    for _, entry in ipairs(checks) do
        local done, state, detail, fix = pcall(entry.fn)
        if not done then state, detail, fix = "missing", tostring(state):match("^[^\n]*"), "see the first line" end
        show(entry.name, state, detail, fix)
        if done and entry.more then
            for _, line in ipairs(entry.more() or {}) do show(line.name, line.state, line.detail, line.fix) end
        end
    end
    write(healthy and "Everything required is here.\n" or "Something required is missing: see above.\n")
    return healthy
end

return M
