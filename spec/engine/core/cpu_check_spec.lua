--- A build for another CPU: what it says, and that it says so before it runs anything.

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

--- A copy of a built file that needs every feature of the table, 37 or 12; no CPU has all.
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

    it("is refused in one line by both programs, before they do anything", function()
        assert_refusal(run(quote((demanding(folder, "bertlua"))) .. " --version"))
        assert_refusal(run(quote((demanding(folder, "bertlua-hdf5")))))
    end)

    it("is refused when the library is opened", function()
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
