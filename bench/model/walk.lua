--- Follows one warp through the machine code of a kernel and counts its instructions, for bench/gpu_model.lua.
--
-- The first lane of a warp stands for it. Integers, addresses and predicates are computed from the launch's parameters
-- and from the values that a record says its first loads found; what comes from other loads, from shared memory, from
-- other lanes and from most arithmetic on floats is unknown (nil). A branch on an unknown predicate is taken where it
-- leads past a call; elsewhere it is guessed, and counted in `guessed`. Where that is 0, the count is what the GPU
-- executes.

local paths = require "bertlua.paths"

local instruction = dofile(paths.root() .. "/bench/model/instruction.lua")
local semantics = dofile(paths.root() .. "/bench/model/semantics.lua")

local M = { parse = instruction.parse }

-- Of a warp: more is a loop that the walk has lost its bound of.
local MOST_STEPS = 3e5
-- How far behind a branch the call stands that it saves.
local NEAR_CALL = 4

--- Whether a branch leads past a call: that of what a division or a root does with rare numbers, here never.
local function skips_call(code, at)
    local one = code[at]
    local to = one.base == "BRA" and #one.operands == 1 and one.operands[1].value
    if not to or to <= one.address then return false end
    for n = at + 1, math.min(at + NEAR_CALL, #code) do
        if code[n].address >= to then return false end
        if code[n].base == "CALL" then return true end
    end
    return false
end

local function leads_forward(i)
    local to = i.operands[#i.operands]
    return i.base == "BRA" and to.kind == "value" and to.value > i.address
end

local JUMPS = { BRA = true, EXIT = true, CALL = true, RET = true, BRX = true }
local STOP = -1

--- The address to go on at, STOP, or nil for the next instruction.
local function jump(w, i, counts)
    local base = i.base
    if base == "EXIT" then return STOP end
    if base == "RET" or base == "BRX" then
        local at = base == "RET" and w:get(i.operands[1])
        if not at then counts.guessed = counts.guessed + 1 end
        return at or STOP
    end
    if i.has.DIV then return nil end
    local to = i.operands[#i.operands].value
    for n = 1, #i.operands - 1 do
        local condition = w:predicate(i.operands[n])
        if instruction.is_predicate(i.operands[n]) and condition ~= true then
            if condition == nil then counts.guessed = counts.guessed + 1 end
            return nil
        end
    end
    return to
end

--- Walk a warp through a kernel.
-- @tparam table code {instructions in order, at = {address = index}}, from M.parse, each with `address`
-- @tparam table launch constants, memory: {address = byte}; special: {["SR_TID.X"] = ...}
-- @tparam function count(instruction, active) called for every one that is issued; not active: its guard is false
-- @tparam ?boolean takes whether to take branches on what is unknown, where they lead forward
-- @treturn table guessed: branches on what is unknown; steps; where: addresses of such branches; lost: it did not end
function M.warp(code, launch, count, takes)
    local w, counts, at = semantics.warp(launch), { guessed = 0, steps = 0, where = {} }, 1
    while code[at] do
        local i = code[at]
        counts.steps = counts.steps + 1
        if counts.steps > MOST_STEPS then
            counts.guessed, counts.lost = counts.guessed + 1, true
            break
        end
        local jumps = JUMPS[i.base]
        local go = true
        if i.guard then
            go = w:predicate(i.guard)
            if go == nil and jumps then
                go = skips_call(code, at)
                if not go then
                    go = takes and leads_forward(i)
                    counts.guessed = counts.guessed + 1
                    counts.where[i.address] = (counts.where[i.address] or 0) + 1
                end
            end
        end
        count(i, go ~= false)
        local to
        if not jumps and go ~= false then
            semantics.execute(w, i, go)
        elseif go then
            to = jump(w, i, counts)
            if to == STOP then break end
        end
        at = to and code.at[to] or at + 1
    end
    return counts
end

return M

