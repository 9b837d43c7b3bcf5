--- Where bertlua's own files are: recipes, model configurations, vocabularies.

local ffi = require "bertlua.ffi"

local M = {}

local FOLDER = { recipe = "recipes", config = "bert_configs", vocab = "vocab", lua = "lua" }

--- Folder that holds lua/, recipes/, bert_configs/ and vocab/: the source tree or PREFIX/share/bertlua.
function M.root()
    return ffi.root
end

--- The engine's library.
function M.library()
    return ffi.library_path
end

--- The engine's declarations, with what each function does.
function M.declarations()
    return ffi.cdef_path
end

--- A file that belongs to the library, such as a program that it starts.
-- @return path, or nil if it was not built; the path that it would have in a build
M.companion = ffi.companion

--- The running executable.
function M.program()
    -- The kernel marks the path of a program that was rebuilt since it started.
    return (require("posix.unistd").readlink("/proc/self/exe"):gsub(" %(deleted%)$", ""))
end

--- Find a file: as given (from the current folder), else among bertlua's own.
-- @param kind "recipe", "config", "vocab" or "lua"
-- @param name path, or name below the kind's folder
-- @return path, or nil and a message that lists where it looked
function M.find(kind, name)
    local folder = FOLDER[kind]
    if not folder then error(("paths: kind is %s, expected recipe, config, vocab or lua"):format(tostring(kind)), 2) end
    local candidates = { name }
    if name:sub(1, 1) ~= "/" then
        candidates[2] = M.root() .. "/" .. name
        candidates[3] = M.root() .. "/" .. folder .. "/" .. name
    end
    for _, path in ipairs(candidates) do
        local file = io.open(path, "rb")
        if file then
            -- A folder opens but does not read.
            local readable = file:read(0) or file:seek("end") == 0
            file:close()
            if readable then return path end
        end
    end
    return nil, ("no such %s: %s"):format(kind, table.concat(candidates, ", "))
end

return M
