--- This process: the processors it may use, the memory it takes.
-- @module bertlua.process

local ffi = require "ffi"
local native = require "bertlua.ffi"

local lib = native.lib

local process = {}

--- Processors that this process may run on.
function process.processors()
    return lib.bl_processors()
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
