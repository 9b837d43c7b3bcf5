--- Where bertlua's own files are: recipes, model configurations, vocabularies.

local fault = require "bertlua.fault"
local ffi = require "bertlua.ffi"
local lfs = require "lfs"

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

--- The vocabulary that a user means: a path, or the name of one of bertlua's own, from whatever folder.
-- @param name as given; NAME and vocab/NAME both name bertlua's
-- @return path; the name as it is where there is neither
function M.vocabulary(name)
    -- What lies there, readable or not, is what was meant.
    if lfs.symlinkattributes(name, "mode") then return name end
    local own = name:match "^[^/]+%.txt$" or name:match "^vocab/([^/]+%.txt)$"
    local path = own and ("%s/%s/%s"):format(M.root(), FOLDER.vocab, own)
    return path and lfs.attributes(path, "mode") == "file" and path or name
end

--- What is wrong with the path of a vocabulary, for who names one; nil if it is a file.
-- @param path of vocabulary()
function M.no_vocabulary(path)
    local mode = lfs.attributes(path, "mode")
    if mode == "directory" then return path .. ": is a folder, expected a file" end
    if mode then return nil end
    local folder, own = ("%s/%s"):format(M.root(), FOLDER.vocab), {}
    if lfs.attributes(folder, "mode") == "directory" then
        for name in lfs.dir(folder) do
            if name:find "%.txt$" then own[#own + 1] = name end
        end
    end
    table.sort(own)
    return ("%s: no such file, nor one of bertlua's own vocabularies (%s)"):format(path, table.concat(own, ", "))
end

--- A fault if the path of a vocabulary is no file.
-- @param path of vocabulary(); nil where none is named
-- @param shown what the message begins with; "--vocab-file " if left out
function M.check_vocabulary(path, shown)
    local problem = path and M.no_vocabulary(path)
    if problem then fault.raise((shown or "--vocab-file ") .. problem) end
end

return M
