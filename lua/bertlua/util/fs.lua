--- Files and folders. Failures of the system are returned as nil and a message
-- that names the path; a wrong argument raises an error.
-- @module bertlua.util.fs

local errno = require "posix.errno"
local lfs = require "lfs"
local storage = require "bertlua.storage"

local fs = {}

--- Join parts with single slashes; an absolute part discards those before it.
function fs.join(...)
    local path
    for i = 1, select("#", ...) do
        local part = tostring((select(i, ...)))
        if part:sub(1, 1) == "/" or not path or path == "" then
            path = part
        elseif part ~= "" then
            path = path:gsub("/+$", "") .. "/" .. part
        end
    end
    return path or ""
end

--- Last part of a path.
function fs.basename(path)
    return path:match "([^/]+)/*$" or path
end

--- The folder that contains path; "." for a bare name.
function fs.dirname(path)
    local trimmed = path:gsub("(.)/+$", "%1")
    local parent = trimmed:match "^(.*)/[^/]*$"
    if not parent then return "." end
    return parent == "" and "/" or parent
end

--- "file", "directory", ... for what is at path, links followed; nil if there is nothing.
function fs.kind(path)
    return (lfs.attributes(path, "mode"))
end

--- Whether a file at path may be replaced by another: there is none, or a plain one, which no link leads to.
function fs.is_replaceable(path)
    local mode = lfs.symlinkattributes(path, "mode")
    return mode == nil or mode == "file"
end

--- Whether there is anything at path.
function fs.exists(path)
    return lfs.attributes(path, "mode") ~= nil
end

--- Whether path is a folder.
function fs.is_directory(path)
    return lfs.attributes(path, "mode") == "directory"
end

--- Whether path is a regular file.
function fs.is_file(path)
    return lfs.attributes(path, "mode") == "file"
end

--- What two paths to the same file or folder have in common, links followed; nil if there is nothing.
function fs.identity(path)
    local is = lfs.attributes(path)
    return is and ("%.0f:%.0f"):format(is.dev, is.ino)
end

--- Size of a file in bytes; nil if there is none.
function fs.size(path)
    return (lfs.attributes(path, "size"))
end

--- Create a folder and its parents. Returns true; or nil, message.
function fs.mkdirs(path)
    if fs.is_directory(path) then return true end
    local parent = fs.dirname(path)
    if parent ~= path then
        local ok, reason = fs.mkdirs(parent)
        if not ok then return nil, reason end
    end
    local ok, reason = lfs.mkdir(path)
    -- Another process may have created it in the meantime.
    if ok or fs.is_directory(path) then return true end
    if fs.exists(path) then reason = "a file with that name exists" end
    return nil, ("%s: cannot create the folder: %s"):format(path, reason)
end

--- Sorted names in a folder, excluding "." and ".."; or nil, message.
function fs.list(path)
    local kind = fs.kind(path)
    if kind ~= "directory" then
        return nil, ("%s: %s"):format(path, kind and "not a folder" or "no such folder")
    end
    local ok, iterate, state = pcall(lfs.dir, path)
    if not ok then return nil, ("%s: cannot be listed: %s"):format(path, tostring(iterate)) end
    local names = {}
    for name in iterate, state do
        if name ~= "." and name ~= ".." then names[#names + 1] = name end
    end
    table.sort(names)
    return names
end

--- Why a file that was opened cannot be read.
-- @param reason, code what a method of the file returned after nil
function fs.read_problem(path, reason, code)
    if code == errno.EISDIR then
        reason = "it is a folder"
    elseif code == errno.EIO then
        reason = "input/output error (EIO): the disk, or the way to it, fails: see the system's log"
    end
    return ("%s: cannot be read: %s"):format(path, tostring(reason))
end

--- All bytes of a file; or nil, message.
function fs.read(path)
    local file, reason = io.open(path, "rb")
    if not file then return nil, reason end
    local text, problem, code = file:read "*a"
    file:close()
    if not text then return nil, fs.read_problem(path, problem, code) end
    return text
end

--- Replace a file atomically and durably: temporary file, sync, rename. Returns true; or nil, message.
function fs.write(path, text)
    return storage.write(path, text)
end

--- The same function, named after what it guarantees.
fs.atomic_write = fs.write

--- Write strings to an open file, noticing a failure. Returns true; or nil, message.
-- Compiled, a write that fails is repeated by the interpreter, and so is a flush: the C library dropped what it could
-- not write at the first try, so the second succeeds and the failure is lost. These two are therefore never compiled.
function fs.put(file, ...)
    return file:write(...)
end
jit.off(fs.put)

--- The same, and flush it. Returns true; or nil, message.
function fs.append(file, ...)
    local ok, reason = file:write(...)
    if ok then ok, reason = file:flush() end
    return ok, reason
end
jit.off(fs.append)

--- Write a file that the user names: a device, a pipe, or what a link leads to is written into, never replaced; a plain
-- file is replaced as by write(). Returns true; or nil, message.
function fs.write_output(path, text)
    if fs.is_replaceable(path) then return fs.write(path, text) end
    local file, reason = io.open(path, "wb")
    if not file then return nil, "cannot write " .. tostring(reason) end
    local ok, problem = fs.put(file, text)
    local closed, late = file:close()
    if not ok or not closed then return nil, ("%s: cannot write: %s"):format(path, problem or late) end
    return true
end

--- Copy a file; the copy appears atomically, already synced. Returns true; or nil, message.
function fs.copy(from, to)
    local text, reason = fs.read(from)
    if not text then return nil, reason end
    return storage.write(to, text)
end

--- Flush a file or folder to disk. Returns true; or nil, message.
function fs.sync(path)
    return storage.sync(path)
end

--- Rename, and sync the new name's folder. Returns true; or nil, message.
function fs.rename(from, to)
    return storage.rename(from, to)
end

--- Delete a file, a link or a whole folder; links are not followed. Returns true; or nil, message.
function fs.remove(path)
    if lfs.symlinkattributes(path, "mode") == "directory" then
        local names, reason = fs.list(path)
        if not names then return nil, reason end
        for _, name in ipairs(names) do
            local ok, inner = fs.remove(path .. "/" .. name)
            if not ok then return nil, inner end
        end
        local ok, problem = lfs.rmdir(path)
        if not ok then return nil, ("%s: cannot be removed: %s"):format(path, problem) end
        return true
    end
    local ok, reason = os.remove(path)
    if not ok then return nil, reason end
    return true
end

--- A new, empty folder under TMPDIR (or /tmp); or nil, message.
function fs.temporary_folder(prefix)
    local stdlib = require "posix.stdlib"
    local base = os.getenv "TMPDIR" or "/tmp"
    local path, reason = stdlib.mkdtemp(fs.join(base, (prefix or "bertlua") .. "-XXXXXX"))
    if not path then return nil, reason end
    return path
end

return fs
