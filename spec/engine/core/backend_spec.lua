--- A device that lacks an op: the message, and what its specs do. The device is spec/support/bare_backend.c.

local process = require "spec.support.process"

local quote = process.quote

describe("an op without a kernel", function()
    local library

    setup(function()
        library = os.tmpname()
        local text, code = process.run(("${CC:-cc} -std=c11 -D_GNU_SOURCE -Iengine -shared -fPIC -o %s %s"):format(
            quote(library), "spec/support/bare_backend.c"))
        assert(code == 0, text)
    end)

    teardown(function() os.remove(library) end)

    local function on_bare_device(command)
        return process.run(("env BERTLUA_DEVICE=cuda BERTLUA_TEST_DEVICE=cuda BERTLUA_CUDA_LIB=%s %s"):format(
            quote(library), command))
    end

    it("is named with its device and the way out, at the caller's line", function()
        local script = os.tmpname()
        local file = assert(io.open(script, "w"))
        file:write [[
local ops, tensor = require "bertlua.ops", require "bertlua.tensor"
local x = tensor.from { 1, 2 }
ops.gelu_forward(x, x)
]]
        file:close()
        local text, code = on_bare_device(("%s %s"):format(quote(process.bertlua), quote(script)))
        os.remove(script)
        assert.are.equal(1, code, text)
        assert.is_truthy(text:find(":3: gelu: there is no cuda kernel for gelu_forward; use --device cpu\n", 1, true),
            text)
    end)

    it("makes its specs pending, with the reason", function()
        local text, code = on_bare_device "busted --output=plainTerminal spec/engine/ops/gather_spec.lua"
        assert.are.equal(0, code, text)
        assert.is_truthy(text:find("0 successes / 0 failures / 0 errors / 2 pending", 1, true), text)
        assert.are.equal(2, select(2, text:gsub("there is no cuda kernel for gather_forward", "")), text)
    end)
end)
