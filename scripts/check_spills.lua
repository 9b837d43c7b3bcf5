--- Fail if a CUDA kernel spills registers to memory, except those listed in scripts/spills_allowed.txt:
--
--     bertlua scripts/check_spills.lua build/engine/cuda
--
-- Reads what ptxas reported when `make cuda` compiled the kernels (*.ptxas next to the objects), and prints for each
-- architecture the number of kernels and the most registers that one uses.

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local lfs = require "lfs"

local folder = arg and arg[1] or "build/engine/cuda"
local allowed_path = "scripts/spills_allowed.txt"

-- {name, architecture, most bytes, used} of each line: KERNEL ARCHITECTURE BYTES REASON
local function read_allowed()
    local list = {}
    for line in (fault.check(fs.read(allowed_path)) .. "\n"):gmatch "(.-)\n" do
        if line:match "%S" and not line:match "^%s*#" then
            local name, arch, bytes = line:match "^(%S+)%s+(%S+)%s+(%d+)%s+%S"
            if not name then
                fault.raisef("%s: expected KERNEL ARCHITECTURE BYTES REASON, got: %s", allowed_path, line)
            end
            list[#list + 1] = { name = name, arch = arch, bytes = tonumber(bytes), used = false }
        end
    end
    return list
end

local allowed = read_allowed()

local function is_allowed(kernel, arch, bytes)
    for _, entry in ipairs(allowed) do
        if kernel:find(entry.name, 1, true) and entry.arch == arch and bytes <= entry.bytes then
            entry.used = true
            return true
        end
    end
    return false
end

local seen, problems, files = {}, {}, 0

local function read_log(path)
    local kernel, arch
    for line in (fault.check(fs.read(path)) .. "\n"):gmatch "(.-)\n" do
        local entry, sm = line:match "Compiling entry function '([^']+)' for '([^']+)'"
        if entry then
            kernel, arch = entry, sm
            seen[arch] = seen[arch] or { kernels = 0, registers = 0 }
            seen[arch].kernels = seen[arch].kernels + 1
        end
        local registers = tonumber(line:match "Used (%d+) registers")
        if registers and arch then seen[arch].registers = math.max(seen[arch].registers, registers) end
        local stores, loads = line:match "(%d+) bytes spill stores, (%d+) bytes spill loads"
        local bytes = math.max(tonumber(stores) or 0, tonumber(loads) or 0)
        if bytes > 0 and kernel and not is_allowed(kernel, arch, bytes) then
            problems[#problems + 1] = ("%s: %s spills %d bytes on %s"):format(path, kernel, bytes, arch)
        end
    end
end

for name in lfs.dir(folder) do
    if name:match "%.ptxas$" then
        files = files + 1
        read_log(folder .. "/" .. name)
    end
end

if files == 0 then fault.raisef("no .ptxas files in %s; run make cuda", folder) end
local archs = {}
for arch in pairs(seen) do archs[#archs + 1] = arch end
table.sort(archs)
for _, arch in ipairs(archs) do
    print(("%s: %d kernels, at most %d registers"):format(arch, seen[arch].kernels, seen[arch].registers))
end
for _, entry in ipairs(allowed) do
    if not entry.used then
        problems[#problems + 1] =
            ("%s: %s on %s no longer spills: remove it"):format(allowed_path, entry.name, entry.arch)
    end
end
if #problems > 0 then fault.raisef("%d spills:\n%s", #problems, table.concat(problems, "\n")) end
