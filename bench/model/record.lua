--- Records of what a training step gives a GPU to do, for bench/gpu_model.lua.
--
-- The step is that of bench/gpu_worker.lua, run by the real engine on the emulated device, which writes down launches,
-- products and transfers in place of doing most of them (spec/cuda/emulation/record.h).

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local paths = require "bertlua.paths"
local shell = require "bertlua.util.shell"

local quote = shell.quote

local M = {}

local LIBRARY = "build/libbertlua-cuda-watched.so"

--- Run a job of gpu_worker.lua, and read what it recorded.
-- @tparam table job of kind train; cuda_graph, warm-up and steps are set here
-- @tparam table device capability (90), multiprocessors, memory_mib
-- @tparam string path where the record goes
-- @treturn table see M.read
function M.run(job, device, path)
    local library = fs.join(paths.root(), LIBRARY)
    if not fs.is_file(library) then fault.raisef("no %s; run make %s", library, LIBRARY) end
    -- A shape's first step runs op by op, its second is captured and replayed.
    job.kind, job.device, job.cuda_graph, job.warmup, job.steps, job.inner = "train", "cuda", true, 1, 1, 1
    local command = ("BERTLUA_EMULATION_DEVICE=%d,%d BERTLUA_EMULATION_MEMORY_MIB=%d BERTLUA_EMULATION_RECORD=%s "
        .. "BERTLUA_CUDA_LIB=%s %s %s %s 2>&1"):format(device.capability, device.multiprocessors, device.memory_mib,
        quote(path), quote(library), quote(fs.join(paths.root(), "build/bertlua")),
        quote(fs.join(paths.root(), "bench/gpu_worker.lua")), quote(json.encode(job)))
    local text = shell.output(command)
    local last = text:match "([^\n]+)\n?$" or ""
    if last:sub(1, 1) ~= "{" then fault.raisef("recording %s failed: %s", job.name, text:sub(-2000)) end
    return M.read(path)
end

--- The captured step of a record.
-- @treturn table entries in order; each has `is` (kernel, product, copy, memset, upload, download) and the fields that
--   spec/cuda/emulation/record.cc and cublaslt.c write; `part` says of which graph: 1 the micro-step, 2 the update, and
--   0 for what is between and behind them
function M.read(path)
    local seen, entries, part, graphs = {}, {}, 0, 0
    for line in fault.check(fs.read(path)):gmatch "[^\n]+" do
        local entry = json.decode(line)
        if entry.is == "graph" then
            graphs, part = graphs + 1, graphs + 1
        elseif entry.is == "end" then
            part = 0
        else
            if entry.is == "kernel" then seen[entry.number] = entry end
            if entry.is == "again" then entry = seen[entry.number] end
            if graphs > 0 then
                local copy = {}
                for key, value in pairs(entry) do copy[key] = value end
                copy.part = part
                entries[#entries + 1] = copy
            end
        end
    end
    if graphs ~= 2 then fault.raisef("%s: %d graphs replayed, expected a micro-step and an update", path, graphs) end
    return entries
end

--- Mangled names of the kernels by their places in the emulation's library, as entries have them in `at`.
function M.names()
    local names = {}
    local command = ("nm --defined-only %s"):format(quote(fs.join(paths.root(), LIBRARY)))
    for line in shell.output(command):gmatch "[^\n]+" do
        local at, name = line:match "^(%x+) [tTwW] (%S+)$"
        if at then names[tonumber(at, 16)] = name end
    end
    return names
end

return M
