--- A script for bertlua: processes meet a folder whose lock is stale, all at once; how many hold it at the same time?
--     bertlua spec/faults/lock_race.lua ROUNDS PROCESSES [claims]
-- claims: as on a file system without locks of the kernel. Prints {"rounds":, "processes":, "double":, "none":}.

local file_lock = require "bertlua.file_lock"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local lock = require "bertlua.util.lock"
local posix_time = require "posix.time"
local unistd = require "posix.unistd"
local utsname = require "posix.sys.utsname"
local wait = require "posix.sys.wait"

local rounds, processes = tonumber(arg[1]), tonumber(arg[2])
if arg[3] == "claims" then
    function file_lock.take() return false, "unsupported" end
end

local HELD = 7
local folder = assert(fs.temporary_folder "bertlua-lock-race")
local run, go, done = folder .. "/run", folder .. "/go", folder .. "/done"

local function pause(seconds)
    posix_time.nanosleep { tv_sec = 0, tv_nsec = seconds * 1e9 }
end

local function put(path, text)
    local file = assert(io.open(path, "w"))
    file:write(text)
    file:close()
end

--- In a child: wait for the start, take the folder, and keep it until all others have tried.
local function contend(number)
    while not fs.exists(go) do end
    local taken, held = pcall(lock.take, run)
    put(("%s.%d"):format(done, number), "")
    while fs.exists(go) do pause(0.001) end
    -- Still there: the collector must not release it meanwhile.
    unistd._exit(taken and held:check() == nil and HELD or 0)
end

local double, none = 0, 0
for _ = 1, rounds do
    assert(fs.mkdirs(run))
    -- No process has this number.
    put(run .. "/.lock", json.encode { pid = 2 ^ 22 + 1, host = utsname.uname().nodename, birth = 1 } .. "\n")
    local children = {}
    for i = 1, processes do
        local child = assert(unistd.fork())
        if child == 0 then contend(i) end
        children[i] = child
    end
    pause(0.002)
    put(go, "")
    for i = 1, processes do
        local path = ("%s.%d"):format(done, i)
        while not fs.exists(path) do pause(0.001) end
        os.remove(path)
    end
    os.remove(go)
    local holders = 0
    for _, child in ipairs(children) do
        local _, _, code = wait.wait(child)
        if code == HELD then holders = holders + 1 end
    end
    if holders > 1 then double = double + 1 end
    if holders == 0 then none = none + 1 end
    assert(fs.remove(run))
end
assert(fs.remove(folder))
print(json.encode { rounds = rounds, processes = processes, double = double, none = none })
