--- What debian/ says twice: versions, symbols of the library, files of `make install`; and `make dist`.

local fs = require "bertlua.util.fs"
local process = require "spec.support.process"

local run, quote = process.run, process.quote

local function sorted(text, pattern)
    local list = {}
    for name in text:gmatch(pattern) do list[#list + 1] = name end
    table.sort(list)
    return list
end

describe("debian", function()
    local version = require("bertlua.version").engine
    local symbols = assert(fs.read "debian/libbertlua0.symbols")

    it("has the version and the name of the library", function()
        assert.are.equal(version, (assert(fs.read "debian/changelog"):match "^bertlua %(([%d.]+)%-%d+%) "))
        local abi = assert(fs.read "Makefile"):match "\nABI := (%d+)\n"
        assert.are.equal(("libbertlua.so.%s libbertlua%s #MINVER#"):format(abi, abi), symbols:match "^[^\n]*")
        assert.matches(("\nPackage: libbertlua%s\n"):format(abi), (assert(fs.read "debian/control")))
    end)

    it("lists every symbol of the library: what is gone raises ABI, what is new is added with the next version",
        function()
            -- The sanitizers' builds export symbols of their own.
            local exported = run("nm -D --defined-only --format=posix " .. quote(require("bertlua.paths").library()))
            assert.are.same(sorted(exported, "%f[^\n%z](bl_[%w_]+) "), sorted(symbols, "\n (bl_[%w_]+)@Base [%d.]+"))
        end)
end)

describe("make dist", function()
    it("packs what is committed, the same each time, with a rockspec for it", function()
        if select(2, run "git rev-parse HEAD") ~= 0 then return pending "no git checkout" end
        local folder = process.temporary_folder()
        local sums = {}
        for i, build in ipairs { "one", "another" } do
            local text, code = run(("make -s dist BUILD=%s/%s"):format(quote(folder), build))
            assert.are.equal(0, code, text)
            sums[i] = run(("cd %s/%s/dist && sha256sum *"):format(quote(folder), build))
        end
        assert.are.equal(sums[1], sums[2])
        local version = require("bertlua.version").engine
        local name = "bertlua-" .. version
        assert.is_truthy(sums[1]:find(" " .. name .. ".tar.gz\n", 1, true), sums[1])
        local list = run(("tar tzf %s/one/dist/%s.tar.gz"):format(quote(folder), name))
        assert.is_truthy(list:find(name .. "/Makefile\n", 1, true))
        local rockspec = {}
        setfenv(assert(loadfile(("%s/one/dist/%s-1.rockspec"):format(folder, name))), rockspec)()
        assert.are.equal(version .. "-1", rockspec.version)
        assert.are.same({ url = ("file://%s.tar.gz"):format(name), dir = name }, rockspec.source)
        run("rm -rf " .. quote(folder))
    end)
end)
