--- The watch over memory reports each fault planted in spec/cuda/emulation/race_faults.cc, and nothing of those kernels
-- once they are mended. `make test-cuda-races` runs this and the specs of ops.

local ffi = require "ffi"
local context = require "bertlua.context"

if context.device() ~= "cuda" or not context.describe():find("^emulated") then return end

ffi.cdef "const char *bl_emulated_race_of(const char *name, bool mended);"
local library = ffi.load(os.getenv "BERTLUA_CUDA_LIB")
if not pcall(function() return library.bl_emulated_race_of end) then return end

local UNORDERED = ", in no order with the "

describe("the watch over memory", function()
    local function report_of(name, mended)
        return ffi.string(library.bl_emulated_race_of(name, mended))
    end

    -- Which of two accesses is the later one, and reported, depends on the order that was drawn.
    for name, pattern in pairs {
        no_syncthreads = " of 4 bytes of shared memory at race_faults.cc:%d+ by thread %d+ of block %(0,0,0%)"
            .. UNORDERED .. "%a+ by thread %d+ at race_faults.cc:%d+",
        no_syncwarp = " of 4 bytes of shared memory .*" .. UNORDERED .. "%a+ by thread",
        overwritten = " of 4 bytes of shared memory .*" .. UNORDERED .. "%a+ by thread",
        matrices = "write of 2 bytes of shared memory .*" .. UNORDERED
            .. "read by warp 0 .*at mma.cuh:%d+ < race_faults.cc",
        atomic_beside_read = " of 4 bytes of shared memory .*" .. UNORDERED,
        copy_too_early = "cp.async .*" .. UNORDERED .. "read by thread|read .*" .. UNORDERED .. "cp.async by thread",
        copy_unwaited = "read of 4 bytes of shared memory .*" .. UNORDERED .. "cp.async by thread",
        two_blocks = "write of 4 bytes of device memory .*" .. UNORDERED .. "write by another block",
        past_allocation = "read of 4 bytes outside of what is allocated at race_faults.cc",
        past_shared = "read of 4 bytes past the 4 bytes of shared memory at race_faults.cc",
        past_array = "index 5 outside of its array in race_faults.cc",
        misaligned = "misaligned access of 16 bytes in kernel.cuh",
        misaligned_copy = "misaligned cp.async of 16 bytes at mma.cuh",
        unwritten_shared = "read of 4 bytes of shared memory that the block has not written at race_faults.cc",
        unwritten_device = "read of 4 bytes of device memory that nobody has written at race_faults.cc",
        undefined = "read of 4 bytes of device memory that nobody has written at race_faults.cc",
    } do
        it("reports: " .. name, function()
            assert.are.equal("", report_of(name, true))
            local report, found = report_of(name, false), false
            for either in pattern:gmatch "[^|]+" do found = found or report:find(either) ~= nil end
            assert.is_true(found, report)
        end)
    end
end)
