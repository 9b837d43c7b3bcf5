--- The cores this process may run on, as lists of numbers from 0.

local ffi = require "ffi"
local bit = require "bit"
local bl = require "bertlua.ffi"

local M = {}

-- As many as fit the C library's sets.
local WORDS = 16

--- Cores this process may run on, ascending.
function M.get()
    local words, cores = ffi.new("uint64_t[?]", WORDS), {}
    bl.check(bl.lib.bl_affinity_get(words, WORDS))
    for core = 0, WORDS * 64 - 1 do
        local word = words[math.floor(core / 64)]
        if bit.band(bit.rshift(word, core % 64), 1) == 1 then cores[#cores + 1] = core end
    end
    return cores
end

--- Bind every thread of this process, and any it starts later, to these cores.
function M.set(cores)
    local words = ffi.new("uint64_t[?]", WORDS)
    for _, core in ipairs(cores) do
        if core < 0 or core >= WORDS * 64 then
            error(("affinity: core is %s, expected 0 to %d"):format(tostring(core), WORDS * 64 - 1), 2)
        end
        local at = math.floor(core / 64)
        words[at] = bit.bor(words[at], bit.lshift(1ULL, core % 64))
    end
    bl.check(bl.lib.bl_affinity_set(words, WORDS))
end

return M
