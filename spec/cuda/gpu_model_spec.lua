--- The model of a step (bench/gpu_model.lua): the walk through machine code on hand-written code, the record of a small
-- step against what its shapes say, and the price of a launch.

local fs = require "bertlua.util.fs"
local process = require "spec.support.process"

local LIBRARY = process.root .. "/build/libbertlua-cuda-watched.so"

describe("the walk through machine code", function()
    local walk = dofile "bench/model/walk.lua"

    --- Instructions of a text with "ADDRESS INSTRUCTION" in each line.
    local function read(text)
        local code = { at = {} }
        for address, line in text:gmatch "(%x+) ([^\n]+)" do
            local one = assert(walk.parse(line))
            one.address = tonumber(address, 16)
            code[#code + 1] = one
            code.at[one.address] = #code
        end
        return code
    end

    --- How often each instruction is issued, by address; the walk's own counts.
    local function follow(text, constants, memory, special)
        local bytes, times = {}, {}
        for at, value in pairs(constants or {}) do
            for i = 0, 3 do bytes[at + i] = math.floor(value / 256 ^ i) % 256 end
        end
        local counts = walk.warp(read(text), { constants = bytes, memory = memory or {}, special = special or {} },
            function(i) times[i.address] = (times[i.address] or 0) + 1 end)
        return times, counts
    end

    it("counts the turns of a loop whose bound is a parameter", function()
        local times, counts = follow([[
            00 MOV R0, RZ
            10 IADD3 R0, R0, 0x4, RZ
            20 ISETP.GE.AND P0, PT, R0, c[0x0][0x210], PT
            30 @!P0 BRA 0x10
            40 EXIT]], { [0x210] = 18 })
        assert.are.equal(5, times[0x10])
        assert.are.equal(1, times[0x40])
        assert.are.equal(0, counts.guessed)
    end)

    it("carries from the lower to the upper word, in sums, shifts and comparisons", function()
        local times, counts = follow([[
            00 MOV R2, 0xfffffff0
            10 MOV R3, 0x1
            20 IADD3 R4, P0, R2, 0x20, RZ
            30 IADD3.X R5, R3, RZ, RZ, P0, !PT
            40 SHF.L.U64.HI R6, R4, 0x4, R5
            50 IMAD.WIDE.U32 R8, R2, 0x10, R4
            60 ISETP.GE.U32.AND P1, PT, R4, 0x10, PT
            70 ISETP.GE.AND.EX P1, PT, R5, 0x2, PT, P1
            80 @P1 ISETP.EQ.AND P1, PT, R6, 0x20, PT
            90 @P1 ISETP.EQ.AND P1, PT, R9, 0x11, PT
            a0 @P1 BRA 0xc0
            b0 NOP
            c0 EXIT]])
        assert.are.equal(0, counts.guessed)
        assert.is_nil(times[0xb0])
        assert.are.equal(1, times[0xc0])
    end)

    it("divides as the compiler does", function()
        for _, pair in ipairs { { 1000003, 7 }, { 4096, 4096 }, { 5, 9 }, { 4294967295, 65537 } } do
            local times, counts = follow([[
                00 LDC R137, c[0x0][0x210]
                10 ULDC UR4, c[0x0][0x214]
                20 I2F.U32.RP R0, R137
                30 MUFU.RCP R0, R0
                40 VIADD R2, R0, 0xffffffe
                50 F2I.FTZ.U32.TRUNC.NTZ R3, R2
                60 IMAD.MOV.U32 R2, RZ, RZ, RZ
                70 IMAD.MOV R4, RZ, RZ, -R3
                80 IMAD R5, R4, R137, RZ
                90 IMAD.HI.U32 R3, R3, R5, R2
                a0 IMAD.HI.U32 R138, R3, UR4, RZ
                b0 IMAD.MOV R4, RZ, RZ, -R138
                c0 IMAD R0, R137, R4, UR4
                d0 ISETP.GE.U32.AND P0, PT, R0, R137, PT
                e0 @P0 IMAD.IADD R0, R0, 0x1, -R137
                f0 @P0 VIADD R138, R138, 0x1
                100 ISETP.GE.U32.AND P1, PT, R0, R137, PT
                110 @P1 VIADD R138, R138, 0x1
                120 ISETP.NE.AND P2, PT, R138, c[0x0][0x218], PT
                130 @P2 BRA 0x150
                140 EXIT
                150 EXIT]], { [0x210] = pair[2], [0x214] = pair[1], [0x218] = math.floor(pair[1] / pair[2]) })
            assert.are.equal(0, counts.guessed)
            assert.are.equal(1, times[0x140], ("%d / %d"):format(pair[1], pair[2]))
        end
    end)

    it("reads what a record says of memory, and tells where it had to guess", function()
        local code = [[
            00 MOV R2, 0x1000
            10 MOV R3, 0x7f
            20 LDG.E R4, desc[UR4][R2.64+0x8]
            30 ISETP.NE.AND P0, PT, R4, 0x3, PT
            40 @P0 BRA 0x60
            50 EXIT
            60 EXIT]]
        local at = 0x7f00001008
        local times, counts = follow(code, nil, { [at] = 3, [at + 1] = 0, [at + 2] = 0, [at + 3] = 0 })
        assert.are.same({ 1, 0 }, { times[0x50], counts.guessed })
        times, counts = follow(code)
        assert.are.same({ 1, 1, 1 }, { times[0x50], counts.guessed, counts.where[0x40] })
    end)

    it("takes a branch that saves the call of a division's rare cases", function()
        local times, counts = follow [[
            00 FCHK P2, R16, R17
            10 @!P2 BRA 0x40
            20 MOV R18, 0x40
            30 CALL.REL.NOINC 0x50
            40 EXIT
            50 RET.REL.NODEC R18 0x0]]
        assert.are.equal(0, counts.guessed)
        assert.is_nil(times[0x30])
    end)
end)

describe("the price of a launch", function()
    local gpus = dofile "bench/model/gpus.lua"
    local gpu = gpus.list[1]

    local function launch(changes)
        local entry = { block = { 256, 1, 1 }, blocks = 100000, shared = 0, fetched = 4e9, written = 4e9, loads = 4e9,
            through = 4e9, stores = 4e9, atomics = 0 }
        for key, value in pairs(changes) do entry[key] = value end
        return entry
    end

    it("is that of its bytes where these take longer, and of its busiest pipe elsewhere", function()
        local code = { registers = 32, counts = { issued = 10, fma = 2 } }
        local assumed = { pipe_share = 1, overlap = 1, product_share = 1, memory = 1, gap = 0 }
        local time = gpus.kernel_seconds(gpu, launch {}, code, assumed)
        assert.is_near(8e9 / gpu.memory, time.seconds, 1e-9)
        assert.are.equal("memory", time.bound)
        code.counts = { issued = 1000, special = 500 }
        time = gpus.kernel_seconds(gpu, launch { fetched = 0, written = 0, stores = 0, through = 0 }, code, assumed)
        assert.are.equal("special", time.bound)
        assert.is_near(100000 * 8 * 500 * 8 / (4 * 132 * gpu.clock), time.seconds, 0.01 * time.seconds)
    end)

    it("of a product is its operations at the assumed rate, less where tiles leave multiprocessors idle", function()
        local assumed = { pipe_share = 1, overlap = 1, product_share = 1, memory = 1, gap = 0 }
        local full = { m = 132 * 256, n = 1280, k = 4096, batch = 1, ["in"] = 2, out = 2 }
        local time = gpus.product_seconds(gpu, full, assumed)
        assert.is_near(2 * full.m * full.n * full.k / (gpu.peak * gpu.product_share), time.seconds, 1e-9)
        full.m = full.m + 1
        assert.is_true(gpus.product_seconds(gpu, full, assumed).seconds > 1.02 * time.seconds)
    end)

    it("of a product with GELU has one matrix more, and the rate that is assumed of its epilogue", function()
        local assumed = { product_share = 1, epilogue_share = 0.5, memory = 1, gap = 0 }
        local shape = { m = 4096, n = 32768, k = 1024, batch = 1, ["in"] = 2, out = 2, epilogue = 4 }
        local with_bias = gpus.product_seconds(gpu, shape, assumed)
        for _, epilogue in ipairs { 164, 208 } do
            shape.epilogue = epilogue
            local time = gpus.product_seconds(gpu, shape, assumed)
            assert.are.equal(2 * 4096 * 32768, time.bytes - with_bias.bytes)
            assert.is_near(2 * with_bias.seconds, time.seconds, 1e-12)
        end
    end)
end)

if not fs.is_file(LIBRARY) then return end

describe("the record of a step", function()
    local record = dofile "bench/model/record.lua"
    local T, H, I, LAYERS, V, MASKED, SEQUENCES = 256, 64, 128, 2, 208, 32, 4
    local folder, entries

    local function record_with(config_file, choices)
        return record.run({
            name = "tiny", config_file = config_file, precision = "bf16", choices = choices,
            lengths = { 64, 64, 64, 64 }, max_length = 64, max_predictions = 8, packed = false, arena_bytes = 2 ^ 28,
        }, { capability = 90, multiprocessors = 132, memory_mib = 8192 }, folder .. "/record.json")
    end

    setup(function()
        folder = assert(fs.temporary_folder "bertlua-model")
        entries = record_with "spec/fixtures/bert_tiny.json"
    end)
    teardown(function() assert(fs.remove(folder)) end)

    local function launches(pattern, of)
        local list = {}
        for _, entry in ipairs(of or entries) do
            if entry.is == "kernel" and entry.name:find(pattern) then list[#list + 1] = entry end
        end
        return list
    end

    it("holds every launch of a captured step and of its update", function()
        assert.are.equal(LAYERS, #launches "attention_unfused_forward_kernel")
        assert.are.equal(LAYERS, #launches "attention_unfused_backward_kernel")
        -- Two of a layer, that of the embedding and that of the head.
        assert.are.equal(2 * LAYERS + 2, #launches "normalize_forward_kernel")
        local update = launches "lamb_step_kernel"
        assert.are.equal(1, #update)
        assert.are.equal(2, update[1].part)
    end)

    it("holds the operations of every product", function()
        local operations = 0
        for _, entry in ipairs(entries) do
            if entry.is == "product" then operations = operations + 2 * entry.m * entry.n * entry.k * entry.batch end
        end
        local forward = 2 * LAYERS * T * (4 * H * H + 2 * H * I) + 2 * MASKED * H * (H + V)
            + 2 * SEQUENCES * H * (H + 2)
        assert.are.equal(3 * forward, operations)
    end)

    it("holds the bytes that kernels access and that memory gives and takes", function()
        local gelu = launches "elementwise_kernel<T, Op>"[1]
        assert.are.same({ 2 * T * I, 2 * T * I, 2 * T * I, 2 * T * I },
            { gelu.loads, gelu.stores, gelu.fetched, gelu.written })
        -- Normalisation: x, the residual and f32 factors in; z, y and two f32 statistics a row out.
        local normalize = launches "normalize_forward_kernel"[2]
        assert.are.equal(2 * 2 * T * H + 8 * H, normalize.fetched)
        -- A block's statistics are half a sector, which counts as a whole one where a sampled block has no neighbours.
        assert.is_true(normalize.written >= 2 * 2 * T * H + 8 * T)
        assert.is_true(normalize.written <= 2 * 2 * T * H + 16 * T)
    end)

    it("has GELU's tanh form in products where choices are timed, as that takes fewer launches", function()
        local text, times = assert(fs.read "spec/fixtures/bert_tiny.json"):gsub('("hidden_act":%s*)"gelu"',
            '%1"gelu_pytorch_tanh"')
        assert.are.equal(1, times)
        local config = folder .. "/tanh.json"
        assert(fs.write(config, text))
        local passes, fused = record_with(config), record_with(config, folder .. "/choices.txt")
        local function products(of, epilogue)
            local n = 0
            for _, entry in ipairs(of) do
                if entry.is == "product" and entry.epilogue == epilogue then n = n + 1 end
            end
            return n
        end
        -- GELU_AUX_BIAS also in the head's transform; DGELU_BGRAD in layers alone.
        assert.are.same({ 0, 0 }, { products(passes, 164), products(passes, 208) })
        assert.are.same({ LAYERS + 1, LAYERS }, { products(fused, 164), products(fused, 208) })
        assert.are.equal(LAYERS + 1, #launches("elementwise", passes) - #launches("elementwise", fused))
    end)

    it("keeps parameters as the device's code finds them", function()
        local gelu = launches "elementwise_kernel<T, Op>"[1]
        -- Behind three pointers: the number of elements, as 8 bytes.
        assert.are.equal(("%02x%02x"):format(T * I % 256, T * I / 256), gelu.parameters:sub(49, 52))
    end)
end)
