--- The emulation notices what would fail or misbehave on a GPU: kernels of spec/cuda/emulation/faults.cc.

local ffi = require "ffi"
local context = require "bertlua.context"

if context.device() ~= "cuda" or not context.describe():find("^emulated") then return end

ffi.cdef "const char *bl_emulated_fault_of(const char *name);"
local library = ffi.load(os.getenv "BERTLUA_CUDA_LIB")

describe("the emulation", function()
    local function message_of(name)
        return ffi.string(library.bl_emulated_fault_of(name))
    end

    it("runs shuffles, votes, barriers and shared memory as they should be", function()
        for _ = 1, 2 do assert.are.equal("", message_of "none") end -- forwards and backwards
    end)

    for name, pattern in pairs {
        barrier = "alone_at_barrier: block %(0,0,0%) waits for ever: 32 threads at __syncthreads",
        lane = "lane_missing: block .* waits for ever: 1 threads at __syncthreads, 31 within their warp",
        past = "writes_past: wrote 1 bytes past an allocation of 1024 bytes",
        shared = "past_shared: writes past its 64 bytes of shared memory",
        ["host pointer"] = "writes_past: an argument points at host memory",
        grid = "writes_past: grid %(1,1,1%) of %(2048,1,1%) threads",
        side = "a copy of 64 bytes from .* is not of kind 1",
        capture = "the capture was spoilt",
        unwaited = "old data",
    } do
        it("notices: " .. name, function()
            local message = message_of(name)
            assert.is_truthy(message:find(pattern), message)
        end)
    end
end)
