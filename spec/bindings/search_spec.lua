--- Where the executable's modules come from: none of its own from the current folder.

local fs = require "bertlua.util.fs"
local process = require "spec.support.process"
local search = require "bertlua.search"

describe("search", function()
    it("puts the current folder last, and each entry once", function()
        assert.are.equal("/a/?.lua;/b/?.lua;./?.lua;x/?.lua",
            search.current_last "./?.lua;/a/?.lua;x/?.lua;;/b/?.lua;/a/?.lua;./?.lua")
        assert.are.equal("", search.current_last "")
    end)

    it("leaves modules that are not bertlua's own to the other searchers", function()
        local find = search.own("/nowhere/?.lua", "/nowhere/?.so")
        assert.is_nil(find "inspect")
        assert.is_nil(find "bertluaish")
        assert.has_error(function() find "lfs" end,
            "module 'lfs' not found in bertlua's own folders and the system's: install lua-filesystem")
        assert.has_error(function() find "bertlua.none" end,
            "module 'bertlua.none' not found in bertlua's own folders and the system's")
    end)

    describe("of the executable", function()
        local folder

        before_each(function()
            folder = process.temporary_folder()
            assert(fs.mkdirs(folder .. "/posix"))
            assert(fs.mkdirs(folder .. "/bertlua/util"))
        end)
        after_each(function() assert(fs.remove(folder)) end)

        local function put(name, text)
            assert(fs.write(folder .. "/" .. name, text))
        end

        local function run(code, environment)
            return process.run(("cd %s && %s %s -e %s"):format(process.quote(folder), environment or "",
                process.quote(process.bertlua), process.quote(code)))
        end

        local ALL = 'require "posix" require "posix.unistd" require "posix.sys.stat" require "cjson" require "lfs" '
            .. 'require "bertlua.util.json" require "bertlua.util.name_pattern" return bl.ones(1, 2):numel()'

        it("runs no file of the current folder in place of its own modules", function()
            for _, name in ipairs { "cjson.lua", "lfs.lua", "posix.lua", "posix/init.lua", "posix/unistd.lua",
                "posix/_base.lua", "posix/compat.lua", "posix/sys.lua", "bit32.lua", "ffi.lua", "bit.lua", "jit.lua",
                "bertlua.lua", "bertlua/init.lua", "bertlua/search.lua", "bertlua/host.lua", "bertlua/util/fs.lua" } do
                put(name, 'io.stderr:write("HIJACKED by ' .. name .. '\\n") return nil')
            end
            for _, name in ipairs { "lfs.so", "cjson.so", "posix.so" } do put(name, "not a library") end
            for _, environment in ipairs { "", "LUA_PATH='./?.lua;./?/init.lua;;' LUA_CPATH='./?.so;;'",
                "LUA_PATH='" .. folder .. "/?.lua' LUA_CPATH='" .. folder .. "/?.so'" } do
                local output, code = run(ALL, environment)
                assert.are.equal("2\n", output)
                assert.are.equal(0, code)
            end
        end)

        it("finds the user's modules, those in the current folder last", function()
            put("mine.lua", 'return "here"')
            assert(fs.mkdirs(folder .. "/elsewhere"))
            put("elsewhere/mine.lua", 'return "there"')
            assert.are.equal("here\n", (run 'print(require "mine")'))
            assert.are.equal("there\n", (run('print(require "mine")', "LUA_PATH='./?.lua;" .. folder
                .. "/elsewhere/?.lua'")))
            local output, code = run 'require "nothing_there"'
            assert.are.equal(1, code)
            assert.matches("^bertlua: .*module 'nothing_there' not found", output)
        end)
    end)
end)
