--- This process: the processors it may use, the memory it takes.
-- @module bertlua.process

local ffi = require "ffi"
local native = require "bertlua.ffi"

local lib = native.lib

local process = {}

--- Processors that this process may run on, or use the time of in its container, rounded up.
function process.processors()
    return lib.bl_processors()
end

--- Processors whose time the process's container, service or batch job allows, such as 1.5; nil without a limit.
-- @param root where the system's files are ("/")
function process.quota(root)
    local quota = lib.bl_processor_quota(root)
    return quota > 0 and quota or nil
end

--- Bytes of memory that this process may still take, and may have altogether: the machine's, or less in a container.
-- @param root as in quota
-- @return left, total, whether total is a container's limit; nil and a message where the system does not say
function process.memory_left(root)
    local left, total, limited = ffi.new "uint64_t[1]", ffi.new "uint64_t[1]", ffi.new "bool[1]"
    local status = lib.bl_memory_left(root, left, total, limited)
    if status ~= 0 then return native.refused(status) end
    return tonumber(left[0]), tonumber(total[0]), limited[0]
end

--- A limit in bytes, lowered to what a container lets the process have; a tenth stays for what is not counted: file
-- caches in use, page tables, pipes.
-- @param wanted bytes
-- @param root as in quota
-- @return bytes; and the line that says so where they are fewer
function process.memory_within(wanted, root)
    local _, total, limited = process.memory_left(root)
    local most = limited and math.floor(0.9 * total)
    if not most or wanted <= most then return wanted end
    return most, ("memory_limit is %.0f MiB instead of %.0f MiB: this container may use %.0f MiB"):format(most / 2 ^ 20,
        wanted / 2 ^ 20, total / 2 ^ 20)
end

--- Resident bytes of this process now; 0 where the system does not say.
function process.memory_now()
    local file = io.open("/proc/self/status", "r")
    if not file then return 0 end
    local kilobytes = file:read("*a"):match "VmRSS:%s*(%d+)"
    file:close()
    return (tonumber(kilobytes) or 0) * 1024
end

--- Peak resident bytes of this process, and of the largest of its ended children.
function process.memory_peak()
    local own, child = ffi.new "int64_t[1]", ffi.new "int64_t[1]"
    lib.bl_memory_peak(own, child)
    return tonumber(own[0]), tonumber(child[0])
end

return process
