--- The NCCL communicator does what those of spec/engine/comm/comm_spec.lua do, with one rank.

local process = require "spec.support.process"

describe("communicator over NCCL", function()
    it("of one rank", function()
        if os.getenv "BERTLUA_TEST_DEVICE" ~= "cuda" then pending "no GPU: BERTLUA_TEST_DEVICE is not cuda" end
        -- The emulated GPU brings an NCCL of its own.
        local library = os.getenv "BERTLUA_CUDA_LIB" or ""
        local setup = library:find "emulated" and "env BERTLUA_NCCL=" .. process.quote(library) or nil
        local output, code = process.run_bertlua(process.quote(process.root .. "/spec/support/comm_worker.lua")
            .. " nccl cuda", setup)
        assert.is_truthy(output:find("rank 0 of 1: nccl is right", 1, true), output)
        assert.are.equal(0, code)
    end)
end)
