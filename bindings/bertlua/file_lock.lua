--- Files that only one process may have: locks of the kernel, or files that one process created.
-- Whom such a file names, and when it no longer counts, is decided above (bertlua.util.lock).
-- @module bertlua.file_lock

local ffi = require "ffi"
local native = require "bertlua.ffi"

local lib = native.lib
local refused = native.refused

local file_lock = {}

local FileLock = {}
FileLock.__index = FileLock

local HELD = 0
local ANSWERS = { [0] = "held", "taken", "unsupported" }

local function made(out, path)
    return setmetatable({ path = path, handle = ffi.gc(out[0], lib.bl_lock_release) }, FileLock)
end

--- Open a file, creating it, and take the kernel's lock on it; links are not followed.
-- @tparam string path
-- @return FileLock, "held", whether the file is new; or false, "taken": another process has it, or "unsupported": the
--   file system has no such locks; or nil, message
function file_lock.take(path)
    local out, answer, created = ffi.new "bl_lock *[1]", ffi.new "int32_t[1]", ffi.new "int32_t[1]"
    local status = lib.bl_lock_take(out, path, answer, created)
    if status ~= 0 then return refused(status) end
    if answer[0] ~= HELD then return false, ANSWERS[answer[0]] end
    return made(out, path), ANSWERS[HELD], created[0] ~= 0
end

--- Create a file that stands for a claim, where the kernel has no locks.
-- @tparam string path
-- @return FileLock, "held"; or false, "taken": there is such a file; or nil, message
function file_lock.claim(path)
    local out, answer = ffi.new "bl_lock *[1]", ffi.new "int32_t[1]"
    local status = lib.bl_lock_claim(out, path, answer)
    if status ~= 0 then return refused(status) end
    if answer[0] ~= HELD then return false, ANSWERS[answer[0]] end
    return made(out, path), ANSWERS[HELD]
end

--- Replace the file's contents. True, or nil, message.
function FileLock:write(text)
    local status = lib.bl_lock_write(self.handle, text, #text)
    if status ~= 0 then return refused(status) end
    return true
end

--- From now on a thread sets the file's time to now, whatever this process is doing. True, or nil, message.
-- @tparam number seconds between two times
function FileLock:keep(seconds)
    local status = lib.bl_lock_keep(self.handle, seconds)
    if status ~= 0 then return refused(status) end
    return true
end

--- Whether the path still names this file; false once it is released.
function FileLock:is_current()
    return self.handle ~= nil and lib.bl_lock_is_current(self.handle) ~= 0
end

--- Remove the file, if it is still this one, and give it up; in a process forked since then it stays. A second call
-- does nothing.
function FileLock:release()
    if self.handle then
        lib.bl_lock_release(ffi.gc(self.handle, nil))
        self.handle = nil
    end
end

--- Give it up, but leave the file as it is.
function FileLock:abandon()
    if self.handle then
        lib.bl_lock_abandon(ffi.gc(self.handle, nil))
        self.handle = nil
    end
end

return file_lock
