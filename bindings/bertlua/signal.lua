--- Signals as flags, so that a training loop can save and stop between steps.
--
-- Only the bertlua executable installs handlers. After trap() the first
-- SIGINT, SIGTERM, SIGUSR1, SIGHUP (the terminal is gone) or SIGPIPE (nobody
-- reads the output) sets a flag and the program continues; a second SIGINT ends it
-- with code 130. One that was ignored from the start, as by nohup, stays ignored.
-- Without trap() SIGINT interrupts the Lua code.

local ffi = require "ffi"
local fault = require "bertlua.fault"
local posix_signal = require "posix.signal"
local unistd = require "posix.unistd"

local found, host = pcall(require, "bertlua.host")

ffi.cdef "int prctl(int option, unsigned long value, unsigned long, unsigned long, unsigned long);"
-- linux/prctl.h
local PR_SET_PDEATHSIG, SIGKILL = 1, 9

local M = {}

--- From now on signals only set the flag.
-- @param what happens after the first SIGINT, as the user is told then (under 100 bytes); nil: a step is finished, and
--   the run saved
-- @return true, or false where nobody catches signals (a plain LuaJIT)
function M.trap(what)
    if not found then return false end
    host.trap(true, what)
    return true
end

--- Let signals interrupt again.
function M.untrap()
    if found then host.trap(false) end
end

--- Name of the signal that came since clear(), or nil.
function M.pending()
    if not found then return nil end
    return host.pending()
end

--- A fault if a signal has come since trap(): "interrupted by SIGINT", with the exit code that shells give it.
function M.check()
    local name = M.pending()
    if name then fault.raise("interrupted by " .. name, 128 + posix_signal[name]) end
end

--- Forget the signal.
function M.clear()
    if found then host.clear() end
end

--- For a process just forked: it is killed when its parent ends, in any way, so that the parent's successor has the
-- files to itself. False where the system cannot do that.
-- @tparam number parent process id
function M.die_with(parent)
    local known, result = pcall(function() return ffi.C.prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) end)
    -- It may have died before.
    if unistd.getppid() ~= parent then unistd._exit(1) end
    return known and result == 0
end

return M
