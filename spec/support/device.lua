--- Run before the specs: keeps the JIT compiler from loops over pairs; sets the device that contexts open on, and that
-- `auto` means, in this process and those it starts; what becomes of a spec whose op the device lacks.
--
-- BERTLUA_TEST_DEVICE=cuda runs specs on a GPU, or on its emulation where
-- BERTLUA_CUDA_LIB names that; without it they run on the CPU, whatever the
-- machine has.

require "bertlua.jit_guard"
local stdlib = require "posix.stdlib"

stdlib.setenv("BERTLUA_DEVICE", os.getenv "BERTLUA_TEST_DEVICE" or "cpu")

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
