--- Keeps the JIT compiler away from functions with a loop over pairs() or next().
--
-- In LuaJIT 2.1 from 2021 to March 2022 (as in Debian 12) a loop over pairs whose
-- recording is aborted too often is patched in the wrong place and from then on
-- ends after its first iteration, silently
-- (https://github.com/LuaJIT/LuaJIT/issues/827); later versions can still drop
-- an element (issue 1510). Where such loops write checkpoints and manifests,
-- that loses data. Interpreted they are correct, and none of them is hot.
--
-- Loading this module guards every function compiled to bytecode after it, of
-- bertlua, of other libraries and of the user's own files; so it comes first.
-- @module bertlua.jit_guard

local bit = require "bit"
local jit = require "jit"
local jit_util = require "jit.util"

-- A loop over pairs is the only thing that begins with this instruction: here it follows the call of pairs.
local PROBE_PC = 4
local ISNEXT = bit.band(assert(jit_util.funcbc(assert(loadstring "for _ in pairs(_G) do end"), PROBE_PC)), 0xff)

jit.attach(function(proto)
    for pc = 1, math.huge do
        local instruction = jit_util.funcbc(proto, pc)
        if not instruction then return end
        if bit.band(instruction, 0xff) == ISNEXT then
            jit.off(proto)
            return
        end
    end
end, "bc")

return true
