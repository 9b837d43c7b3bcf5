--- Attention by cuDNN, as far as a machine without a GPU can tell: which GPUs' engines accept our graphs. Kernels are
-- compiled, and nothing is run.

local ffi = require "ffi"
local context = require "bertlua.context"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local pretraining = require "spec.support.pretraining"

if context.device() ~= "cuda" or not context.describe():find "^emulated" then return end

ffi.cdef [[int bl_emulated_cudnn_engines(const char *folder, const char *properties, const int64_t *sizes,
    int32_t dtype, bool backward, float p, char *text, size_t bytes);]]
local library = ffi.load(os.getenv "BERTLUA_CUDA_LIB")

local BF16, F16 = 1, 2

--- Properties of a GPU in cuDNN's format.
local function gpu(name, version, multiprocessors, shared, changes)
    local properties = {
        deviceName = name, cudaDeviceId = 0, deviceVer = version, driverVer = 13000,
        multiProcessorCount = multiprocessors, maxSharedMemoryPerBlockOptin = shared, maxSharedMemoryPerBlock = 49152,
        reservedSharedMemoryPerBlock = 1024, totalGlobalMem = 80 * 2 ^ 30, maxGridSize = { 2147483647, 65535, 65535 },
        maxBlockSize = { 1024, 1024, 64 }, regsPerBlock = 65536, warpSize = 32, maxRegistersPerSM = 65536,
        maxCtasPerSM = 32, maxThreadsPerBlock = 1024, maxThreadsPerSM = 2048, pciDeviceId = 0, isTccDriver = 0,
        supportCoopLaunch = 1, smClockRateKHz = 1980000, memClockRateKHz = 2619000, l2CacheSize = 50 * 2 ^ 20,
    }
    for key, value in pairs(changes or {}) do properties[key] = value end
    return json.encode(properties)
end

local HOPPER = gpu("NVIDIA H100 80GB HBM3", 900, 132, 232448)
local AMPERE = gpu("NVIDIA A100-SXM4-80GB", 800, 108, 166912)
local ADA = gpu("NVIDIA L40S", 890, 142, 101376, { maxThreadsPerSM = 1536, maxCtasPerSM = 24 })

local text, size = ffi.new "char[512]", 512

--- Number of engines, -1 without cuDNN; sizes: batch, heads, head size, length.
local function engines(properties, sizes, options)
    local list = ffi.new("int64_t[4]", sizes)
    local count = library.bl_emulated_cudnn_engines(os.getenv "CUDA_HOME" or "/usr/local/cuda", properties, list,
        options.dtype or BF16, options.backward or false, options.p or 0, text, size)
    assert(count >= -1, ffi.string(text))
    return count
end

local here = engines(HOPPER, { 1, 1, 64, 64 }, {}) >= 0
local reason = ffi.string(text)

describe("cuDNN's engines", function()
    --- A spec that is pending where there is no cuDNN to ask.
    local function asks(name, fn)
        if here then it(name, fn) else pending(name .. ": " .. reason) end
    end

    asks("take both passes on Hopper, with dropout and without", function()
        for _, sizes in ipairs { { 256, 16, 64, 128 }, { 32, 16, 64, 512 }, { 8, 12, 64, 384 }, { 4, 4, 32, 128 } } do
            for _, p in ipairs { 0, 0.1 } do
                assert.is_true(engines(HOPPER, sizes, { p = p }) > 0)
                assert.is_true(engines(HOPPER, sizes, { p = p, backward = true }) > 0)
            end
        end
        assert.is_true(engines(HOPPER, { 8, 12, 64, 384 }, { dtype = F16, p = 0.1, backward = true }) > 0)
    end)

    asks("take inference on Ampere, Ada and Hopper", function()
        for _, properties in ipairs { AMPERE, ADA, HOPPER } do
            assert.is_true(engines(properties, { 32, 16, 64, 384 }, {}) > 0)
        end
    end)

    asks("take no backward of sequences of their own lengths before Hopper", function()
        for _, properties in ipairs { AMPERE, ADA } do
            assert.are.equal(0, engines(properties, { 32, 16, 64, 384 }, { backward = true }))
        end
    end)
end)

-- Without its headers, nothing of it is in the build.
if reason:find "^no headers" then return end

describe("kernels of attention that do not take a run", function()
    it("are refused in one line with the alternatives before anything is made", function()
        local job = pretraining.new()
        for name, line in pairs {
            cudnn = "attention: cudnn takes bf16 or f16 and a head size that is a multiple of 8 up to 128, got f32 and "
                .. "8; use --attention unfused, or leave it unset",
            native = "attention: native takes bf16 or f16, head size 32 or 64, a scale above 0 and tensors on 16-byte "
                .. "boundaries, got f32, 8 and 1; use --attention unfused, or leave it unset",
        } do
            local code, output = job:run("pretrain_phase1.lua", { attention = name })
            assert.are.equal(1, code)
            assert.are.equal("bertlua: " .. line .. "\n", output)
        end
        local code, output = job:run("pretrain_phase1.lua", { attention = "cudnn", amp = "true" },
            "BERTLUA_EMULATION_FAIL=no-engine ")
        assert.are.equal(1, code)
        assert.are.equal("bertlua: attention: cudnn: version 9.19 has no engine for the forward of 2 heads of 8 on "
            .. "this GPU that repeats its results (its backward needs Hopper or newer); use --attention native or "
            .. "unfused, or leave it unset\n", output)
        assert.is_false(fs.exists(job.out))
        assert.is_false(fs.exists(job.dir .. "/report.json"))
        job:close()
    end)
end)

describe("training through cuDNN", function()
    local job
    setup(function() job = pretraining.new() end)
    teardown(function() job:close() end)

    --- Losses of six steps in bf16.
    local function losses(changes)
        local all = { amp = "true", ["max-steps"] = 6, ["num-steps-per-checkpoint"] = 3 }
        for name, value in pairs(changes) do all[name] = value end
        local code, output = job:run("pretrain_phase1.lua", all)
        assert.are.equal(0, code, output)
        return job:losses()
    end

    it("takes the course of the other kernels where nothing is dropped", function()
        local config = job:write_config({ attention_probs_dropout_prob = 0 }, "undropped.json")
        local changes = { ["config-file"] = config, attention = "unfused", ["output-dir"] = job.out .. 1 }
        local expected = losses(changes)
        changes.attention, changes["output-dir"] = "cudnn", job.out .. 2
        local got = losses(changes)
        for step = 1, 6 do assert.is_true(math.abs(got[step].loss - expected[step].loss) < 2e-2) end
    end)

    it("resumes exactly with dropout, recorded steps and packed batches", function()
        local whole = losses { attention = "cudnn" }
        assert(fs.remove(job.out))
        losses { attention = "cudnn", ["steps-this-run"] = 3 }
        local rest = losses { attention = "cudnn", ["last-step-of-checkpoint"] = "auto" }
        assert.are.same(whole[6], rest[6])
        assert.are_not.equal(whole[6].loss, losses({ attention = "unfused", ["output-dir"] = job.out .. 3 })[6].loss)
    end)
end)
