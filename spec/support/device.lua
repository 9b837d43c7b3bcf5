--- Run before the specs: the JIT compiler is kept from loops over pairs; the device that contexts open on, and that
-- `auto` means, in this process and those it starts.
--
-- BERTLUA_TEST_DEVICE=cuda runs specs on a GPU, or on its emulation where
-- BERTLUA_CUDA_LIB names that; without it they run on the CPU, whatever the
-- machine has.

require "bertlua.jit_guard"
local stdlib = require "posix.stdlib"

stdlib.setenv("BERTLUA_DEVICE", os.getenv "BERTLUA_TEST_DEVICE" or "cpu")

-- Modules are loaded anew for each file of specs, but the methods of tensors stay those of the first file. Both must
-- mean the same current context, on a device that runs on its own.
require "bertlua.context"
