--- What bench/gpu_model.lua assumes of GPUs, and the time that it gives a launch for what was counted.
--
-- Counts are facts; what stands in this file are the assumptions that turn them into time. A kernel's time is the
-- larger of the time of its memory traffic and of its busiest pipe, and a part of the smaller one, since the two
-- overlap only so far.

local M = {}

-- Sources: multiprocessors, clocks, memory and peak rates of tensor cores are NVIDIA's data sheets; lanes of the pipes
-- are those of the throughput table in the CUDA C++ Programming Guide for compute capability 8.0 and 9.0, in cycles
-- that a warp's instruction keeps one of the four schedulers' pipes busy. mma.sync on Hopper reaches 62 % of the
-- peak that wgmma has (Luo et al., arXiv 2402.13499). Assumed: what a large copy reaches of the memory's rate, the
-- clock under load, what cuBLASLt reaches of the peak, the second-level cache's rate.
local HOPPER = {
    arch = "sm_90a", capability = 90, multiprocessors = 132, clock = 1.7e9, parameters_at = 0x210, peak = 989e12,
    product_share = 0.70, cache = 5.5e12, registers = 65536, shared = 228 * 1024, gap = 2.0e-6,
    cycles = { fma = 1, half = 2, imad = 2, wide = 4, alu = 2, special = 8, double = 2, tensor = 4 / 0.62, shared = 4 },
}
local function derived(from, changes)
    local copy = {}
    for key, value in pairs(from) do copy[key] = value end
    for key, value in pairs(changes) do copy[key] = value end
    return copy
end

M.list = {
    derived(HOPPER, { name = "H200", memory = 4.0e12, memory_mib = 143360 }),
    derived(HOPPER, { name = "H100", memory = 3.0e12, memory_mib = 81920 }),
    {
        name = "A100", arch = "sm_80", capability = 80, multiprocessors = 108, clock = 1.41e9, parameters_at = 0x160,
        peak = 312e12, product_share = 0.80, cache = 4.0e12, registers = 65536, shared = 164 * 1024, gap = 2.5e-6,
        memory = 1.75e12, memory_mib = 81920,
        cycles = { fma = 2, half = 2, imad = 2, wide = 4, alu = 2, special = 8, double = 4, tensor = 8, shared = 4 },
    },
}

-- What a pipe reaches of its rate with the few warps that fit, and how much of the smaller of two times is hidden;
-- epilogue_share: what a product with GELU or its derivative in its epilogue reaches of the rate of one without.
M.assumed = { pipe_share = 0.8, overlap = 0.8, product_share = 1, epilogue_share = 1, memory = 1, gap = 1 }

-- Epilogues of cuBLASLt (cublasLtEpilogue_t) that are more than a bias: whether they write or read a matrix besides D.
M.epilogues = {
    [36] = { label = "GELU", gelu = true },
    [164] = { label = "GELU, its argument kept", gelu = true, aux = true },
    [208] = { label = "GELU', sums", gelu = true, aux = true },
    [512] = { label = "sums" },
}

-- Pipes by instruction; what is not named takes a turn of the scheduler and no more.
local PIPES = {
    fma = "FFMA FMUL FADD", half = "HADD2 HMUL2 HFMA2", special = "MUFU F2I I2F F2F POPC FLO BREV FRND",
    alu = "LOP3 IADD3 VIADD ISETP SEL SHF FMNMX FSEL PRMT LEA FSETP PLOP3 F2FP VIMNMX IMNMX MOV IABS I2FP P2R R2P VOTE "
        .. "SGXT BMSK VIADDMNMX CS2R FSWZADD",
    double = "DFMA DADD DMUL DSETP", tensor = "HMMA",
    shared = "LDS STS LDSM SHFL LDG STG LDGSTS RED ATOMS ATOMG ATOM LDL STL",
}
local PIPE_OF = {}
for pipe, names in pairs(PIPES) do
    for name in names:gmatch "%S+" do PIPE_OF[name] = pipe end
end

--- Bytes of an access.
function M.width(instruction)
    local has = instruction.has
    return has["128"] and 16 or has["64"] and 8 or (has.U16 or has.S16) and 2 or (has.U8 or has.S8) and 1 or 4
end

--- Where an instruction (of walk.parse) goes, and how many turns of that pipe it takes.
function M.pipe(instruction)
    local base, has = instruction.base, instruction.has
    if base == "IMAD" then return (has.WIDE or has.HI) and "wide" or "imad", 1 end
    local pipe = PIPE_OF[base]
    if pipe == "shared" then
        -- In turns of 128 bytes for 32 lanes.
        if base == "LDSM" then return pipe, 4 end
        return pipe, has["128"] and 4 or has["64"] and 2 or 1
    end
    return pipe, 1
end

--- Cycles that a scheduler needs for instructions by pipe, and the name of what is busiest.
function M.cycles(gpu, counts)
    local c = gpu.cycles
    local n = setmetatable({}, { __index = function(_, key) return counts[key] or 0 end })
    -- Hopper has two pipes for f32, of which one also does everything else here.
    local heavy = n.half * c.half + n.imad * c.imad + n.wide * c.wide
    local fma = c.fma == 1 and math.max(heavy, (heavy + 2 * n.fma) / 2) or heavy + n.fma * c.fma
    local times = {
        issue = n.issued, fma = fma, alu = n.alu * c.alu, special = n.special * c.special, double = n.double * c.double,
        tensor = n.tensor * c.tensor, shared = n.shared * c.shared,
    }
    local most = "issue"
    for name, value in pairs(times) do
        if value > times[most] then most = name end
    end
    return times[most], most
end

--- How many blocks of a launch a multiprocessor holds.
function M.resident(gpu, entry, registers)
    local warps = math.ceil(entry.block[1] * entry.block[2] * entry.block[3] / 32)
    local by_registers = math.floor(gpu.registers / (math.ceil(registers * 32 / 256) * 256 * warps))
    local by_shared = math.floor(gpu.shared / (entry.shared + 1024))
    return math.max(1, math.min(by_registers, by_shared, math.floor(64 / warps), 32))
end

--- Seconds of a launch of one of our kernels.
-- @tparam table entry of a record
-- @tparam table code counts: instructions of a warp by pipe, and issued; registers
function M.kernel_seconds(gpu, entry, code, assumed)
    local memory = gpu.memory * assumed.memory
    local warps = math.ceil(entry.block[1] * entry.block[2] * entry.block[3] / 32)
    local share = math.min(1, entry.blocks / gpu.multiprocessors)
    -- A multiprocessor alone gets 64 bytes a cycle.
    local reach = math.min(memory, share * gpu.multiprocessors * 64 * gpu.clock)
    local bytes = (entry.fetched + entry.written) / reach
    local through = (entry.through + entry.stores + 2 * entry.atomics)
        / math.min(gpu.cache, share * gpu.multiprocessors * 64 * gpu.clock)
    local cycles, pipe = M.cycles(gpu, code.counts)
    local at_once = M.resident(gpu, entry, code.registers) * gpu.multiprocessors
    local waves = entry.blocks / at_once
    local last = waves - math.floor(waves)
    -- Half of the blocks that fit keep the pipes busy; fewer, at the end, do not.
    local uneven = last > 0 and (math.floor(waves) + math.max(last, 0.5)) / waves or 1
    if entry.blocks < gpu.multiprocessors then uneven = 1 end
    local turns = entry.blocks * warps * cycles / (4 * gpu.multiprocessors * share)
    local busy = turns / gpu.clock / assumed.pipe_share * uneven
    local traffic, limit = math.max(bytes, through), bytes >= through and "memory" or "cache"
    local most, least = math.max(traffic, busy), math.min(traffic, busy)
    return {
        seconds = most + (1 - assumed.overlap) * least + gpu.gap * assumed.gap, memory = bytes, cache = through,
        busy = busy, bound = busy > traffic and pipe or limit, bytes = entry.fetched + entry.written,
    }
end

-- Tiles that cuBLASLt's kernels have, and what small ones reach of the rate of large ones.
local TILES = { { 256, 128, 1 }, { 128, 256, 1 }, { 128, 128, 0.92 }, { 128, 64, 0.8 }, { 64, 64, 0.6 } }

--- The best share of the multiprocessors that tiles, and parts of the sum, keep busy.
local function use_of(gpu, entry)
    local best = 0
    for _, tile in ipairs(TILES) do
        local tiles = math.ceil(entry.m / tile[1]) * math.ceil(entry.n / tile[2]) * entry.batch
        for _, parts in ipairs { 1, 2, 4, 8, 16 } do
            if entry.k / parts >= 256 or parts == 1 then
                local waves = tiles * parts / gpu.multiprocessors
                best = math.max(best, waves / math.ceil(waves) * tile[3] * (parts > 1 and 0.95 or 1))
            end
        end
    end
    return best
end

--- Seconds of a product.
function M.product_seconds(gpu, entry, assumed)
    local flops = 2 * entry.m * entry.n * entry.k * entry.batch
    local epilogue = M.epilogues[entry.epilogue] or {}
    local share = gpu.product_share * assumed.product_share * (epilogue.gelu and assumed.epilogue_share or 1)
    local peak = entry["in"] == 4 and gpu.peak / 2 or gpu.peak
    local busy = flops / (peak * share * use_of(gpu, entry))
    local bytes = entry.batch * (entry["in"] * (entry.m * entry.k + entry.n * entry.k)
        + entry.out * entry.m * entry.n * ((entry.accumulates and 2 or 1) + (epilogue.aux and 1 or 0)))
    local memory = bytes / (gpu.memory * assumed.memory)
    return {
        seconds = math.max(busy, memory) + gpu.gap * assumed.gap,
        memory = memory, cache = 0, busy = busy, bound = busy > memory and "tensor" or "memory", bytes = bytes,
        flops = flops,
    }
end

--- Seconds of a copy or a fill on the device.
function M.transfer_seconds(gpu, entry, assumed)
    local bytes = (entry.is == "copy" and 2 or 1) * entry.bytes
    local seconds = bytes / (gpu.memory * assumed.memory)
    return { seconds = seconds + gpu.gap * assumed.gap, memory = seconds, cache = 0, busy = 0, bound = "memory",
        bytes = bytes }
end

return M
