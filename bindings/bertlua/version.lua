--- Versions of the engine and of the libraries it was linked with.

local ffi = require "ffi"
local bl = require "bertlua.ffi"

-- The libraries come with the engine: their symbols are found through its handle.
ffi.cdef [[
typedef struct bl_dnnl_version { int major, minor, patch; } bl_dnnl_version;
const bl_dnnl_version *dnnl_version(void);
int H5get_libversion(unsigned *major, unsigned *minor, unsigned *release);
int H5is_library_threadsafe(bool *safe);
]]

local M = {}

--- Version of the engine, "MAJOR.MINOR.PATCH".
M.engine = ffi.string(bl.lib.bl_version())

--- Version of oneDNN, "MAJOR.MINOR.PATCH".
function M.onednn()
    local v = bl.lib.dnnl_version()
    return ("%d.%d.%d"):format(v.major, v.minor, v.patch)
end

--- Version of the HDF5 library, "MAJOR.MINOR.PATCH".
function M.hdf5()
    local v = ffi.new "unsigned[3]"
    bl.lib.H5get_libversion(v, v + 1, v + 2)
    return ("%d.%d.%d"):format(v[0], v[1], v[2])
end

--- True if the HDF5 library may be called from several threads.
function M.hdf5_thread_safe()
    local safe = ffi.new "bool[1]"
    return bl.lib.H5is_library_threadsafe(safe) >= 0 and safe[0]
end

--- ICU's function names contain its major version: find the one that exists.
function M.icu()
    for major = 60, 99 do
        local name = "u_getVersion_" .. major
        ffi.cdef("void " .. name .. "(uint8_t *version);")
        local found, get = pcall(function() return bl.lib[name] end)
        if found then
            local v = ffi.new "uint8_t[4]"
            get(v)
            return ("%d.%d"):format(v[0], v[1])
        end
    end
    return "unknown"
end

return M
