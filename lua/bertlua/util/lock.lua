--- Reserves a folder for one run at a time: a file in it, .lock, records the owner.
--
-- Where the file system has locks (bertlua.file_lock), the kernel says whether
-- the owner still runs: the lock ends with its process, and a process in another
-- container is seen as well. Where it has none, every run writes a claim,
-- .lock-HOST-PID-ID, and then looks for those of others: of two that come at the
-- same time at least one sees the other, and only the claim whose name comes
-- first stays. A name is never used twice, so removing a stale claim can't hit a
-- fresh one.
--
-- Without the kernel's word an owner is gone if its process is, where that can
-- be looked up; else, on another machine or in another PID namespace, if its file
-- was not touched for 15 minutes, or if its batch job is the one that now comes
-- back. A thread touches the file every minute, whatever the run is doing.

local posix_time = require "posix.time"
local signal = require "posix.signal"
local stat = require "posix.sys.stat"
local unistd = require "posix.unistd"
local utsname = require "posix.sys.utsname"

local fault = require "bertlua.fault"
local file_lock = require "bertlua.file_lock"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"

local M = {}

local Lock = {}
Lock.__index = Lock

local NAME, CLAIM = ".lock", "^%.lock%-"
local TOUCH_SECONDS, STALE_SECONDS = 60, 15 * 60
-- How often, and after how many seconds, the first of several claims looks whether the others have withdrawn.
local LOOKS, LOOK_SECONDS = 20, 0.05

-- Locks that this process holds, by id: a run that failed at the prompt may not have released its own yet.
local mine = setmetatable({}, { __mode = "v" })

local function first_line(path)
    local file = io.open(path)
    local line = file and file:read "*l"
    if file then file:close() end
    return line
end

--- State letter of a process, and its start time in ticks since boot; nil where the system does not provide them.
local function look_up(pid)
    local text = first_line(("/proc/%d/stat"):format(pid))
    if not text then return nil end
    -- The name in parentheses may contain anything; the state follows it, and 19 fields later the start time.
    local fields, i = {}, 0
    for word in (text:match "^.*%)(.*)$" or ""):gmatch "%S+" do
        i = i + 1
        fields[i] = word
    end
    return fields[1], tonumber(fields[20])
end

-- Seconds since 1970 at which this machine was started; nil where the system does not say.
local function boot_time()
    local up = tonumber((first_line "/proc/uptime" or ""):match "^%S+")
    return up and os.time() - up
end

local count = 0

--- What a lock says of its owner.
local function myself()
    local pid = unistd.getpid()
    count = count + 1
    local random = io.open("/dev/urandom", "rb")
    local id = random and random:read(6) or ""
    if random then random:close() end
    return {
        pid = pid, host = utsname.uname().nodename, birth = select(2, look_up(pid)), job = os.getenv "SLURM_JOB_ID",
        boot = first_line "/proc/sys/kernel/random/boot_id", namespace = unistd.readlink "/proc/self/ns/pid",
        id = ("%d%s"):format(count, id:gsub(".", function(c) return ("%02x"):format(c:byte()) end)),
    }
end

local function is_alive(pid)
    local ok, _, code = signal.kill(pid, 0)
    -- EPERM means that it exists and belongs to somebody else.
    return ok ~= nil or code == require("posix.errno").EPERM
end

local function differ(a, b)
    return a ~= nil and b ~= nil and a ~= b
end

--- Whether the process that wrote a lock is gone.
-- @param owner contents of the file
-- @param me what this process would write
-- @param age seconds since the file was touched
-- @param free true: the kernel gave its lock on this file to this process
function M.is_stale(owner, me, age, free)
    local same_boot = owner.boot ~= nil and owner.boot == me.boot
    if free and owner.kernel and same_boot then return true end
    local untouched = age > STALE_SECONDS
    if owner.host ~= me.host and not same_boot then
        return untouched or owner.job ~= nil and owner.job == me.job
    end
    if differ(owner.boot, me.boot) then
        -- The machine was started anew; or another one has the same name, and has touched it since.
        local booted = boot_time()
        return untouched or booted ~= nil and os.time() - age < booted
    end
    -- Its process number means nothing here.
    if differ(owner.namespace, me.namespace) then return untouched end
    if owner.pid == me.pid then return true end
    if not is_alive(owner.pid) then return true end
    local state, birth = look_up(owner.pid)
    -- It ended but was not waited for, or another process has since got its number.
    return state == "Z" or state == "X" or differ(birth, owner.birth)
end

-- What says whose kernel has the lock comes first, so that half of it says so too.
local function text_of(me)
    return json.encode(me, { order = { "boot" } }) .. "\n"
end

--- The owner that a file names; nil if it says none.
local function owner_of(path)
    local owner = json.read(path)
    local known = type(owner) == "table" and type(owner.pid) == "number" and type(owner.host) == "string"
    return known and owner or nil
end

--- The owner that a file names, if it may still run: owner ({} if the file does not say); nil if it is gone.
local function living(path, me, free)
    local info = stat.stat(path)
    if not info then return nil end
    local owner, age = owner_of(path), os.time() - info.st_mtime
    if owner then return not M.is_stale(owner, me, age, free) and owner or nil end
    -- Being written right now, or left by a machine that crashed. Only its owner writes a file that it has locked.
    if free and (info.st_size == 0 or me.boot and (fs.read(path) or ""):find(me.boot, 1, true)) then return nil end
    return age < TOUCH_SECONDS and {} or nil
end

local function refuse(folder, owner, path)
    fault.raisef("%s: another run is writing here (process %s on %s): choose another --output-dir, or stop that run%s",
        folder, owner.pid and ("%d"):format(owner.pid) or "unknown", owner.host or "an unknown machine",
        path and "; if it is no longer running, remove " .. path or "")
end

--- Claims of others that count; those that don't are removed.
-- @param own name of this process's claim, or nil
-- @return list of {name, owner}
local function claims(folder, me, own)
    local list = {}
    for _, name in ipairs(fault.check(fs.list(folder))) do
        if name:find(CLAIM) and name ~= own then
            local owner = living(folder .. "/" .. name, me)
            if owner then
                list[#list + 1] = { name = name, owner = owner }
            else
                os.remove(folder .. "/" .. name)
            end
        end
    end
    return list
end

local function hold(file, me, folder)
    local held = setmetatable({ file = file, path = file.path, folder = folder, id = me.id }, Lock)
    mine[me.id] = held
    -- A process without another thread has at least said when it began.
    file:keep(TOUCH_SECONDS)
    return held
end

--- Try once to take it with the kernel's help.
-- @return Lock; or nil, "again" or "unsupported"
local function take_locked(folder, me)
    local path = folder .. "/" .. NAME
    local file, answer, new = file_lock.take(path)
    if file == nil then fault.raise(answer) end
    if answer == "taken" then
        local owner = owner_of(path) or {}
        local earlier = owner.id and mine[owner.id]
        if not earlier then refuse(folder, owner, owner.boot ~= me.boot and path or nil) end
        earlier:release()
        return nil, "again"
    elseif not file then
        return nil, answer
    end
    local owner = not new and living(path, me, true)
    if owner then
        file:abandon()
        refuse(folder, owner, path)
    end
    me.kernel = true
    fault.check(file:write(text_of(me)))
    local others = claims(folder, me)
    if others[1] then
        file:release()
        refuse(folder, others[1].owner, folder .. "/" .. others[1].name)
    end
    return hold(file, me, folder)
end

--- Take it by a claim.
local function take_claimed(folder, me)
    local name = ("%s-%s-%d-%s"):format(NAME, me.host:gsub("[^%w.-]", "_"), me.pid, me.id)
    local file = fault.check(file_lock.claim(folder .. "/" .. name))
    fault.check(file:write(text_of(me)))
    local other
    for _ = 1, LOOKS do
        local path = folder .. "/" .. NAME
        local owner = living(path, me)
        local list = claims(folder, me, name)
        if not owner and #list == 0 then return hold(file, me, folder) end
        other = owner and { owner = owner, path = path }
            or { owner = list[1].owner, path = folder .. "/" .. list[1].name }
        -- Whoever's name comes first stays until the others are gone, unless one of them was here long before.
        if owner or list[1].name < name then break end
        posix_time.nanosleep { tv_sec = 0, tv_nsec = LOOK_SECONDS * 1e9 }
    end
    file:release()
    refuse(folder, other.owner, other.path)
end

--- Take the folder; a fault names the owner if it is taken.
-- @param folder created if it does not exist
-- @return Lock
function M.take(folder)
    fault.check(fs.mkdirs(folder))
    local me = myself()
    local held, answer
    repeat held, answer = take_locked(folder, me) until answer ~= "again"
    return held or take_claimed(folder, me)
end

--- A fault if the folder is no longer this run's: before anything is written there.
function Lock:check()
    if self.file:is_current() then return end
    local owner = owner_of(self.folder .. "/" .. NAME)
    fault.raisef("%s: this run no longer has the folder (%s was %s): it stops here and writes nothing more; to go on, "
        .. "start it again once no other run writes there", self.folder, self.path,
        owner and ("taken over by process %d on %s"):format(owner.pid, owner.host) or "removed")
end

--- Release the folder.
function Lock:release()
    self.file:release()
end

return M
