--- Instructions of every launch of a record, for bench/gpu_model.lua: the warps of the launch's traced block, followed
-- through the machine code of its kernel.

local fault = require "bertlua.fault"
local paths = require "bertlua.paths"

local code = dofile(paths.root() .. "/bench/model/code.lua")
local gpus = dofile(paths.root() .. "/bench/model/gpus.lua")
local sass = dofile(paths.root() .. "/scripts/sass.lua")
local walk = dofile(paths.root() .. "/bench/model/walk.lua")

local M = {}

local function put(bytes, at, value)
    for i = 0, 3 do bytes[at + i] = math.floor(value / 256 ^ i) % 256 end
end

local function put_hex(bytes, at, text)
    for i = 0, #text / 2 - 1 do bytes[at + i] = tonumber(text:sub(2 * i + 1, 2 * i + 2), 16) end
end

--- The constant bank and the memory that a launch's warps see, as far as a record tells.
local function launch_of(entry, gpu)
    local constants, memory = {}, {}
    for i = 1, 3 do
        put(constants, 4 * (i - 1), entry.block[i])
        put(constants, 12 + 4 * (i - 1), entry.grid[i])
    end
    put_hex(constants, gpu.parameters_at, entry.parameters)
    for address, value in pairs(entry.values) do put_hex(memory, tonumber(address, 16), value) end
    return { constants = constants, memory = memory }
end

--- Follow the warps of a block; averages of one.
-- @treturn table counts by pipe, and issued; loads, stores: bytes of global memory, of the block, were all lanes as
--   active as the first; guessed: branches, where: by address; registers
function M.follow(entry, kernel, gpu)
    local threads = entry.block[1] * entry.block[2] * entry.block[3]
    local number, launch = math.ceil(threads / 32), launch_of(entry, gpu)
    local x, y = entry.grid[1], entry.grid[2]
    local counts, guessed, where, loads, stores = { issued = 0 }, 0, {}, 0, 0
    local function count(i, active)
        counts.issued = counts.issued + 1
        if active and (i.base == "LDG" or i.base == "LDGSTS") then loads = loads + 32 * gpus.width(i) end
        if active and i.base == "STG" then stores = stores + 32 * gpus.width(i) end
        local pipe, turns = gpus.pipe(i)
        if pipe then counts[pipe] = (counts[pipe] or 0) + turns end
        counts[i.base] = (counts[i.base] or 0) + 1
    end
    for w = 0, number - 1 do
        local thread = 32 * w
        launch.special = {
            ["SR_TID.X"] = thread % entry.block[1], ["SR_TID.Y"] = math.floor(thread / entry.block[1]) % entry.block[2],
            ["SR_TID.Z"] = math.floor(thread / entry.block[1] / entry.block[2]), SR_LANEID = 0,
            ["SR_CTAID.X"] = entry.traced % x, ["SR_CTAID.Y"] = math.floor(entry.traced / x) % y,
            ["SR_CTAID.Z"] = math.floor(entry.traced / x / y),
        }
        local walked = walk.warp(code.instructions(kernel), launch, count)
        guessed = guessed + walked.guessed
        for address, times in pairs(walked.where) do where[address] = (where[address] or 0) + times end
    end
    for name, value in pairs(counts) do counts[name] = value / number end
    return { counts = counts, guessed = guessed, where = where, registers = kernel.registers, loads = loads,
        stores = stores }
end

--- Entries with `code` (see follow) and `readable` for each launch of a kernel.
function M.count(entries, kernels, names, gpu)
    local known, mangled = {}, {}
    for _, entry in ipairs(entries) do
        if entry.is == "kernel" and not known[entry.number] then
            known[entry.number] = true
            mangled[#mangled + 1] = names[tonumber(entry.at, 16)] or fault.raisef("no symbol for %s", entry.name)
        end
    end
    local readable, followed = sass.readable(mangled), {}
    for _, entry in ipairs(entries) do
        if entry.is == "kernel" then
            local symbol = names[tonumber(entry.at, 16)]
            entry.readable = readable[symbol]
            local kernel = kernels[entry.readable] or fault.raisef("no machine code of %s; run make cuda", entry.readable)
            followed[entry.number] = followed[entry.number] or M.follow(entry, kernel, gpu)
            entry.code = followed[entry.number]
        end
    end
    return entries
end

return M
