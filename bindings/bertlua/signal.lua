--- Signals as flags, so that a training loop can save and stop between steps.
--
-- Only the bertlua executable installs handlers. After trap() the first
-- SIGINT, SIGTERM or SIGUSR1 sets a flag and the program goes on; a second
-- SIGINT ends it with code 130. Without trap() SIGINT interrupts the Lua code.

local found, host = pcall(require, "bertlua.host")

local M = {}

--- From now on signals only set the flag.
-- @return true, or false where nobody catches signals (a plain LuaJIT)
function M.trap()
    if not found then return false end
    host.trap(true)
    return true
end

--- Back to interrupting.
function M.untrap()
    if found then host.trap(false) end
end

--- Name of the signal that came since clear(), or nil.
function M.pending()
    if not found then return nil end
    return host.pending()
end

--- Forget the signal.
function M.clear()
    if found then host.clear() end
end

return M
