--- A build for another CPU: what it says, and that it says so before it runs anything.

local ffi = require "ffi"
local paths = require "bertlua.paths"
local process = require "spec.support.process"

local quote, run = process.quote, process.run
local build = paths.library():match "^(.*)/"

local known = jit.arch == "x64" or jit.arch == "arm64"

--- Where in a file the eight bytes of bl_cpu_needs are.
local function place_of_needs(path)
    local address = run("nm " .. quote(path)):match "(%x+) %a bl_cpu_needs"
    local start, offset = run("readelf -SW " .. quote(path)):match " %.rodata +PROGBITS +(%x+) (%x+)"
    return tonumber(address, 16) - tonumber(start, 16) + tonumber(offset, 16)
end

-- Bits of AT_HWCAP and AT_HWCAP2 that cpu_check.c looks at on 64-bit ARM. No x86-64 has every feature of its table;
-- newer ARM has, as has what qemu emulates where QEMU_CPU names none.
local ARM_BITS = { [16] = { 8, 10, 12, 14, 15, 20, 22, 23 }, [26] = { 1, 8, 13, 14 } }

local function has_every_feature()
    if jit.arch ~= "arm64" then return false end
    ffi.cdef "unsigned long getauxval(unsigned long type);"
    for kind, bits in pairs(ARM_BITS) do
        local has = tonumber(ffi.C.getauxval(kind) % 2 ^ 32)
        for _, i in ipairs(bits) do
            if math.floor(has / 2 ^ i) % 2 == 0 then return false end
        end
    end
    return true
end

local refused_it = it
if has_every_feature() then
    refused_it = function(name) it(name, function() pending "this CPU lacks no feature of the table" end) end
end

--- A copy of a built file that needs every feature of the table, 37 or 12.
local function demanding(folder, name)
    local file = assert(io.open(build .. "/" .. name, "rb"))
    local bytes = file:read "*a"
    file:close()
    local at = place_of_needs(build .. "/" .. name)
    local needs = bytes:sub(at + 1, at + 8)
    local path = folder .. "/" .. name
    file = assert(io.open(path, "wb"))
    file:write(bytes:sub(1, at), jit.arch == "x64" and "\255\255\255\255\31\0\0\0" or "\255\15\0\0\0\0\0\0",
        bytes:sub(at + 9))
    file:close()
    run("chmod +x " .. quote(path))
    return path, needs
end

describe("a build for another CPU", function()
    if not known then return end
    local folder

    setup(function() folder = process.temporary_folder() end)
    teardown(function() run("rm -r " .. quote(folder)) end)

    local function assert_refusal(text, code)
        assert.are.equal(1, code, text)
        local needs, own, lacks, level = text:match("^bertlua: this build needs a CPU with ([%w_-]+).-; this one is "
            .. "(%S+) and lacks ([%w_ ,]+): build it here %(make%), or for CPUs like this one %(make ARCH=(%S+)%)\n$")
        assert.is_truthy(needs, text)
        assert.are.equal(jit.arch == "x64" and "x86-64-v4" or "armv8-a", needs)
        assert.are.equal(own, level)
        assert.is_truthy(lacks:find "%a", text)
    end

    refused_it("is refused in one line by both programs, before they do anything", function()
        assert_refusal(run(quote((demanding(folder, "bertlua"))) .. " --version"))
        assert_refusal(run(quote((demanding(folder, "bertlua-hdf5")))))
    end)

    refused_it("is refused when the library is opened", function()
        local path = demanding(folder, "libbertlua.so")
        assert_refusal(run(("luajit -e %s"):format(quote(("require('ffi').load(%q) print 'opened'"):format(path)))))
    end)

    it("is told apart by what the compiler was told", function()
        local _, needs = demanding(folder, "libbertlua.so")
        local flags = run("cat " .. quote(build .. "/flags"))
        local arch = flags:match ".*%-march=(%S+)"
        local macros = run(("%s -march=%s -dM -E -x c /dev/null"):format(flags:match "^%d+ %d+ (%S+)", arch))
        local low = needs:byte(1)
        if jit.arch == "x64" then
            assert.are.equal(macros:find "__SSE3__ 1" ~= nil, math.floor(low / 8) % 2 == 1)
            assert.are.equal(macros:find "__AVX2__ 1" ~= nil, needs:byte(2) % 2 == 1)
        else
            assert.are.equal(macros:find "__ARM_FEATURE_ATOMICS 1" ~= nil, low % 2 == 1)
        end
    end)

    it("is found by code that every CPU runs", function()
        local text, code = run("objdump -d " .. quote(build .. "/engine/core/cpu_check.o"))
        assert.are.equal(0, code, text)
        assert.is_truthy(text:find "cpuid" or jit.arch == "arm64")
        -- VEX and EVEX instructions begin with a v, and nothing else does.
        if jit.arch == "x64" then assert.is_nil(text:match "\t(v[a-z][^\n]*)") end
        -- What says which CPUs the build is for has no code at all.
        assert.is_nil(run("objdump -d " .. quote(build .. "/engine/core/cpu_needs.o")):match "Disassembly")
    end)
end)
