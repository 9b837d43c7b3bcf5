--- The engine as an FFI namespace: finds libbertlua.so and its declarations.
--
-- Only modules under bindings/ use this one. In a source tree the library is
-- build/libbertlua.so; after `make install` PREFIX/share/bertlua has a link to it. The
-- executable takes the one beside itself, BERTLUA_LIB names any other. The declarations
-- (cdef.h), which `make` extracts from engine/api/*.h, are where companion() looks.

local ffi = require "ffi"
local fault = require "bertlua.fault"

local M = {}

ffi.cdef "char *realpath(const char *path, char *resolved); void free(void *block);"

--- Absolute path without symbolic links, or nil if there is no such file.
function M.realpath(path)
    local resolved = ffi.C.realpath(path, nil)
    if resolved == nil then return nil end
    local text = ffi.string(resolved)
    ffi.C.free(resolved)
    return text
end

local function here()
    local source = debug.getinfo(1, "S").source
    local folder = source:match("^@(.*)/[^/]*$") or "."
    return M.realpath(folder) or folder
end

--- Folder that holds lua/, bindings/, recipes/, vocab/: the source tree or PREFIX/share/bertlua.
M.root = here():gsub("/bindings/bertlua$", "")

local function readable(path)
    local file = io.open(path, "rb")
    if file then file:close() end
    return file ~= nil
end

local function find_library()
    local chosen = os.getenv "BERTLUA_LIB"
    if chosen and chosen ~= "" then
        if not readable(chosen) then error("bertlua: BERTLUA_LIB is " .. chosen .. ": no such file", 0) end
        return chosen
    end
    local host = package.loaded["bertlua.host"]
    if host and host.library then return host.library end
    local tried = {}
    for _, path in ipairs { M.root .. "/build/libbertlua.so", M.root .. "/libbertlua.so" } do
        if readable(path) then return path end
        tried[#tried + 1] = path
    end
    error("bertlua: no libbertlua.so (" .. table.concat(tried, ", ") .. "); run make", 0)
end

local function declare(path)
    local file, message = io.open(path, "rb")
    if not file then error("bertlua: " .. message .. "; run make", 0) end
    local text = file:read("*a")
    file:close()
    ffi.cdef(text)
end

M.library_path = M.realpath(find_library())

--- A file that belongs to the library: beside it, or, where its name has a version, in the folder bertlua-VERSION
-- beside it (engine/core/companion.h).
-- @return path, or nil if there is none; the first path that was tried
function M.companion(name)
    local folder = M.library_path:gsub("[^/]+$", "")
    local path = folder .. name
    if readable(path) then return path, path end
    local version = M.library_path:match "%.so%.([^/]+)$"
    local installed = version and ("%sbertlua-%s/%s"):format(folder, version, name)
    return installed and readable(installed) and installed or nil, path
end

local cdef, beside = M.companion "cdef.h"
M.cdef_path = cdef or beside
declare(M.cdef_path)
local lib = ffi.load(M.library_path)

--- The engine's functions: lib.bl_linear_forward(...).
M.lib = lib

local ERROR_MEMORY, ERROR_DEVICE = 2, 7

--- Raise the engine's message if a call failed; with memory_advice() behind it, where that is set and memory ran out.
-- That, and a device that failed, are problems of the machine: no line of a program is to blame, and they are raised
-- as faults (bertlua.fault).
-- @param status bl_status of the call
-- @param level whose line to blame, counted from the function that calls check: 1 itself, 2 (default) its caller
function M.check(status, level)
    if status ~= 0 then
        local message = ffi.string(lib.bl_last_error())
        local advice = M.memory_advice
        if tonumber(status) == ERROR_MEMORY and advice then
            -- Its own calls may fail too.
            M.memory_advice = nil
            message = message .. ": " .. advice()
            M.memory_advice = advice
            fault.raise(message)
        elseif tonumber(status) == ERROR_DEVICE then
            fault.raise(message)
        end
        error(message, (level or 2) + 1)
    end
end

--- Message of the last failure in this thread.
function M.last_error()
    return ffi.string(lib.bl_last_error())
end

local ERROR_ARGUMENT = 1
M.ERROR_ARGUMENT = ERROR_ARGUMENT

--- For functions that return what a file or the system refuses: nil and the message. A wrong argument is an error
-- at the line of the function's caller. Use it as a tail call: `return refused(status)`.
function M.refused(status)
    local message = ffi.string(lib.bl_last_error())
    -- The tail call took the place of the function, so level 2 is its caller.
    if tonumber(status) == ERROR_ARGUMENT then error(message, 2) end
    return nil, message
end

local DTYPE = { f32 = 0, bf16 = 1, f16 = 2, i32 = 3, i64 = 4, i8 = 5 }
local DTYPE_NAME = {}
for name, code in pairs(DTYPE) do DTYPE_NAME[code] = name end
M.DTYPE, M.DTYPE_NAME = DTYPE, DTYPE_NAME

--- Number of a dtype name; an error at `level` (as in check) for an unknown one.
function M.dtype(name, level)
    local code = DTYPE[name]
    if not code then
        error(("dtype is %s, expected f32, bf16, f16, i32, i64 or i8"):format(tostring(name)), (level or 2) + 1)
    end
    return code
end

-- Shapes go to the engine through one array: it copies them before the call returns.
local shape = ffi.new "int64_t[4]"
local floor = math.floor
M.shape = shape

--- Put dims into `shape`; returns their number. An error at `level` for anything but 0 to 4 whole numbers.
function M.set_shape(dims, level)
    local n = #dims
    if n > 4 then error(("shape has %d dims, expected at most 4"):format(n), (level or 2) + 1) end
    for i = 1, n do
        local d = dims[i]
        if type(d) ~= "number" or d < 0 or d ~= floor(d) then
            error(("dim %d is %s, expected a whole number of 0 or more"):format(i, tostring(d)), (level or 2) + 1)
        end
        shape[i - 1] = d
    end
    return n
end

return M
