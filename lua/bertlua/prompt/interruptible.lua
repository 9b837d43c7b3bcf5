--- Loops in the user's files stay interpreted at the prompt: compiled loops don't look whether Ctrl-C came, so that it
-- could not end them without ending the process. What loops call is compiled as ever.

local bit = require "bit"
local jit = require "jit"
local jit_util = require "jit.util"
local user_code = require "bertlua.util.user_code"

local M = {}

local function opcode(proto, pc)
    local instruction = jit_util.funcbc(proto, pc)
    return instruction and bit.band(instruction, 0xff)
end

-- The instructions that count the rounds of a loop, found in loops: numeric for, while and repeat, generic for.
local LOOPS = {
    [opcode(assert(loadstring "for i = 1, 2 do end"), 5)] = true,
    [opcode(assert(loadstring "while true do end"), 1)] = true,
    [opcode(assert(loadstring "for _ in f do end"), 5)] = true,
}

local function keep_interpreted(proto)
    if not user_code.is_users(jit_util.funcinfo(proto).source) then return end
    for pc = 1, math.huge do
        local code = opcode(proto, pc)
        if not code then return end
        if LOOPS[code] then
            jit.off(proto)
            return
        end
    end
end

--- From now on functions of files that are loaded.
function M.enable()
    jit.attach(keep_interpreted, "bc")
end

--- No longer; functions already loaded stay as they are.
function M.disable()
    jit.attach(keep_interpreted)
end

return M
