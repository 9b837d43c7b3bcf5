--- Loops over pairs under the JIT compiler: right in functions loaded after the guard.

local process = require "spec.support.process"

-- Aborts recording of the outer loop until it is patched; unguarded, LuaJIT 2.1 of March 2022 then leaves it after one
-- turn (LuaJIT issue 827).
local PROGRAM = [[
local inner = { 1, 2, 3, 4, 5 }
local outer = { a = inner, b = inner, c = inner, d = inner, e = inner }
local function interpret(...) for _ = 1, 100 do end end
local wrong = 0
local function count_often()
    for _ = 1, 100000 do
        interpret()
        local count = 0
        for _, list in pairs(outer) do
            for _ in pairs(list) do end
            count = count + 1
        end
        if count ~= 5 then wrong = wrong + 1 end
    end
end
count_often()
io.write(wrong == 0 and "right" or "wrong", "\n")
]]

describe("bertlua.jit_guard", function()
    local path

    setup(function() path = process.temporary(PROGRAM) end)
    teardown(function() os.remove(path) end)

    it("keeps loops over pairs right in files that the executable runs", function()
        local output, code = process.run_bertlua(process.quote(path))
        assert.are.equal("right\n", output)
        assert.are.equal(0, code)
    end)

    it("knows the instruction", function()
        local jit_util, vmdef = require "jit.util", require "jit.vmdef"
        local loop = assert(loadstring "for _ in pairs(_G) do end")
        local opcode = bit.band(jit_util.funcbc(loop, 4), 0xff)
        assert.are.equal("ISNEXT", vmdef.bcnames:sub(opcode * 6 + 1, opcode * 6 + 6))
    end)

    it("turns compilation off for such functions alone", function()
        require "bertlua.jit_guard"
        -- A hot loop is compiled; the compiler itself reports traces.
        local function traces(text)
            local run = assert(loadstring(text))
            local started = 0
            local function count(what, _, fn)
                if what == "start" and fn == run then started = started + 1 end
            end
            jit.attach(count, "trace")
            run()
            jit.attach(count)
            return started
        end
        assert.is_true(traces "local n = 0 for i = 1, 1000 do n = n + i end return n" > 0)
        assert.are.equal(0, traces [[
            local n = 0
            for i = 1, 1000 do n = n + i end
            for _ in pairs({}) do n = 0 end
            return n
        ]])
    end)
end)
