--- Run before the specs: keeps the JIT compiler from loops over pairs; sets the device that contexts open on, and that
-- `auto` means, in this process and those it starts; makes these processes independent of who started the specs; what
-- becomes of a spec whose op the device lacks.
--
-- BERTLUA_TEST_DEVICE=cuda runs specs on a GPU, or on its emulation where
-- BERTLUA_CUDA_LIB names that; without it they run on the CPU, whatever the
-- machine has.

require "bertlua.jit_guard"
local posix_signal = require "posix.signal"
local stdlib = require "posix.stdlib"

stdlib.setenv("BERTLUA_DEVICE", os.getenv "BERTLUA_TEST_DEVICE" or "cpu")

-- Servers of specs are on this machine: no proxy leads there. Specs give the terminals that they open their widths.
for _, name in ipairs { "no_proxy", "NO_PROXY" } do stdlib.setenv(name, "*") end
for _, name in ipairs { "COLUMNS", "LINES" } do stdlib.setenv(name, nil) end

-- Who starts the specs may ignore signals: nohup, a shell in the background, a runner of CI. What specs start would
-- inherit that, and not end where it should. Handlers are not inherited, and with one this process goes on as before.
-- A program that no longer reads what a spec writes must not end all specs, so of SIGPIPE there is always one.
local function ignored_signals()
    local file = io.open "/proc/self/status"
    local mask = file and file:read("*a"):match "SigIgn:%s*%x*(%x%x%x%x%x%x%x%x)\n"
    if file then file:close() end
    return tonumber(mask or "0", 16)
end

local function pass() end

local ignored = ignored_signals()
for _, name in ipairs { "SIGHUP", "SIGINT", "SIGQUIT", "SIGUSR1", "SIGPIPE", "SIGTERM" } do
    local number = posix_signal[name]
    local is_ignored = math.floor(ignored / 2 ^ (number - 1)) % 2 == 1
    if is_ignored or name == "SIGPIPE" then posix_signal.signal(number, pass) end
end
posix_signal.signal(posix_signal.SIGCHLD, posix_signal.SIG_DFL)

-- Modules are reloaded for each spec file, but the methods of tensors stay those of the first. Both must
-- mean the same current context, on a device that runs on its own, the same scopes and the same collector.
require "bertlua.context"
require "bertlua.tensor"
-- LuaJIT of before 2022 refuses the methods of a type a second time.
require "bertlua.rng"

-- An op may have a kernel on only one kind of device (engine/core/op_list.h). Where it has none, the specs that come
-- to need it are pending, not failed.
local native = require "bertlua.ffi"
local busted = require "busted"

local check, pending = native.check, nil

busted.subscribe({ "test", "start" }, function(element)
    pending = element.env and element.env.pending
    return nil, true
end)

function native.check(status, level)
    if status == 0 then return end
    local reason = native.last_error()
    if pending and reason:find "^[^:]+: there is no %w+ kernel for " then pending(reason) end
    check(status, (level or 2) + 1)
end
