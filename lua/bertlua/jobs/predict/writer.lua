--- Where predictions go: standard output, flushed as they come, or a file that appears when it is whole.

local errno = require "posix.errno"
local posix_signal = require "posix.signal"
local unistd = require "posix.unistd"

local aside = require "bertlua.util.aside"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local term = require "bertlua.util.term"

-- Only the bertlua executable has it.
local is_host, host = pcall(require, "bertlua.host")

local M = {}

local Writer = {}
Writer.__index = Writer

local function is_alive(pid)
    local ok, _, code = posix_signal.kill(pid, 0)
    return ok ~= nil or code ~= errno.ESRCH
end

--- Remove what a process that was killed left of its output.
local function remove_left(path)
    local folder, start = fs.dirname(path), fs.basename(path) .. ".part-"
    for _, name in ipairs(fs.list(folder) or {}) do
        local pid = name:sub(1, #start) == start and tonumber(name:sub(#start + 1):match "^%d+$")
        if pid and not is_alive(pid) then fs.remove(fs.join(folder, name)) end
    end
end

--- Open an output.
-- @param path "-" is standard output
function M.open(path)
    if path == "-" and is_host and host.stdout_was_closed then
        fault.raise "standard output is closed: name a file with --output, or open it (nothing was computed)"
    end
    if path == "-" then return setmetatable({ file = io.stdout, name = "standard output" }, Writer) end
    local kind = fs.kind(path)
    if kind == "directory" then fault.raisef("%s: is a folder, expected a file to write", path) end
    local self = setmetatable({ path = path, name = path }, Writer)
    -- A device, a pipe or what a link leads to is written as it is.
    self.temporary = fs.is_replaceable(path) and ("%s.part-%d"):format(path, unistd.getpid()) or nil
    if self.temporary then remove_left(path) end
    if not self.temporary and fs.is_file(path) then
        local kept, problem = aside.keep(path)
        if problem then fault.raise(problem) end
        if kept then term.warn(("%s was there already: kept as %s"):format(path, kept)) end
    end
    local file, reason = io.open(self.temporary or path, "wb")
    if not file then
        fault.raisef("%s: cannot write: %s", path, fs.is_directory(fs.dirname(path)) and reason
            or "there is no such folder: make it, or correct --output")
    end
    self.file = file
    return self
end

--- Append text; what is written stays in order and is flushed.
function Writer:write(text)
    local ok, reason = fs.append(self.file, text)
    if not ok then fault.raisef("%s: cannot write: %s", self.name, reason) end
end

--- All is written: the file gets its name. An earlier one that differs is kept.
function Writer:finish()
    if not self.path then return end
    self.file:close()
    if not self.temporary then return end
    fault.check(fs.sync(self.temporary))
    if fs.is_file(self.path) and fs.read(self.path) ~= fs.read(self.temporary) then
        local kept, reason = aside.keep(self.path)
        if reason then fault.raise(reason) end
        if kept then term.warn(("%s was there already and differs: kept as %s"):format(self.path, kept)) end
    end
    fault.check(fs.rename(self.temporary, self.path))
end

--- Something went wrong: no half of a file is left. Returns what to say about it, or nil.
function Writer:abandon()
    if not self.temporary then return nil end
    self.file:close()
    fs.remove(self.temporary)
    return ("nothing was written to %s"):format(self.path)
end

return M
