--- Reserves a folder for one run at a time: a file in it records the owner.
--
-- A lock is stale, and taken over, when its process is gone. On this machine
-- that is looked up. A lock from another machine is stale if its batch job is the
-- one that now comes back, or if it was not touched for 15 minutes. The owner of
-- a lock touches it as it runs.

local fcntl = require "posix.fcntl"
local signal = require "posix.signal"
local stat = require "posix.sys.stat"
local unistd = require "posix.unistd"
local utime = require "posix.utime"
local utsname = require "posix.sys.utsname"

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"

local M = {}

local Lock = {}
Lock.__index = Lock

local TOUCH_SECONDS, STALE_SECONDS = 60, 15 * 60

--- State letter of a process, and its start time in ticks since boot; nil where the system does not provide them.
local function look_up(pid)
    local file = io.open(("/proc/%d/stat"):format(pid))
    if not file then return nil end
    local text = file:read "*a"
    file:close()
    -- The name in parentheses may contain anything; the state follows it, and 19 fields later the start time.
    local fields, i = {}, 0
    for word in (text:match "^.*%)(.*)$" or ""):gmatch "%S+" do
        i = i + 1
        fields[i] = word
    end
    return fields[1], tonumber(fields[20])
end

local function myself()
    local pid = unistd.getpid()
    return { pid = pid, host = utsname.uname().nodename, birth = select(2, look_up(pid)),
        job = os.getenv "SLURM_JOB_ID" }
end

local function is_alive(pid)
    local ok, _, code = signal.kill(pid, 0)
    -- EPERM means that it exists and belongs to somebody else.
    return ok ~= nil or code == require("posix.errno").EPERM
end

--- Whether the process that wrote a lock is gone.
-- @param owner contents of the file
-- @param me from myself()
-- @param age seconds since the file was touched
function M.is_stale(owner, me, age)
    if owner.host ~= me.host then
        return age > STALE_SECONDS or (owner.job ~= nil and owner.job == me.job)
    end
    if owner.pid == me.pid then return true end
    if not is_alive(owner.pid) then return true end
    local state, birth = look_up(owner.pid)
    -- It ended but was not waited for, or another process has since got its number.
    return state == "Z" or state == "X" or birth ~= nil and owner.birth ~= nil and birth ~= owner.birth
end

-- Removes the file when the program ends, even with an error; tables have no finalizers in Lua 5.1.
local function guard(lock)
    local proxy = newproxy(true)
    getmetatable(proxy).__gc = function() lock:release() end
    return proxy
end

local function create(path, me)
    local descriptor = fcntl.open(path, fcntl.O_CREAT + fcntl.O_EXCL + fcntl.O_WRONLY, tonumber("644", 8))
    if not descriptor then return false end
    unistd.write(descriptor, json.encode(me) .. "\n")
    unistd.close(descriptor)
    return true
end

--- Take the folder; a fault names the owner if it is taken.
-- @param folder created if it does not exist
-- @return Lock
function M.take(folder)
    fault.check(fs.mkdirs(folder))
    local path, me = folder .. "/.lock", myself()
    for _ = 1, 3 do
        if create(path, me) then
            local held = setmetatable({ path = path, touched = os.time() }, Lock)
            held.guard = guard(held)
            return held
        end
        local info = stat.stat(path)
        local owner = info and json.read(path)
        local known = type(owner) == "table" and type(owner.pid) == "number" and type(owner.host) == "string"
        -- An unreadable lock is being written right now, or was left by a machine that crashed.
        local age = info and os.time() - info.st_mtime or 0
        if info and (known and not M.is_stale(owner, me, age) or not known and age < TOUCH_SECONDS) then
            fault.raisef("%s: another run is writing here (process %s on %s): choose another --output-dir, or stop "
                .. "that run; if it is no longer running, remove %s", folder,
                known and ("%d"):format(owner.pid) or "unknown", known and owner.host or "an unknown machine", path)
        end
        -- If two processes see a stale lock, only one can move it away.
        local aside = ("%s-%d"):format(path, me.pid)
        if os.rename(path, aside) then os.remove(aside) end
    end
    if not fs.exists(path) then fault.raisef("%s: cannot be written: check the permissions of the folder", path) end
    fault.raisef("%s: another run is starting here: choose another --output-dir", folder)
end

--- Show that the run is alive; cheap enough for every step.
function Lock:touch()
    local now = os.time()
    if now - self.touched < TOUCH_SECONDS then return end
    self.touched = now
    utime.utime(self.path)
end

--- Release the folder.
function Lock:release()
    if self.path then os.remove(self.path) end
    self.path = nil
end

return M
