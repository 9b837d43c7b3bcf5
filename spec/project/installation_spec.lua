--- make install and make uninstall: the executable from any folder, and a plain LuaJIT.

local process = require "spec.support.process"

local run, quote = process.run, process.quote

local function assert_output(expected, code, output, got_code)
    assert.are.equal(expected, output)
    assert.are.equal(code, got_code)
end

describe("installation", function()
    local folder, prefix

    setup(function()
        -- Its name has a blank, and what lies beside it is not ours.
        folder = process.temporary_folder()
        prefix = folder .. "/with space"
        assert.are.equal(0, (select(2, run("mkdir " .. quote(folder .. "/with") .. " && touch "
            .. quote(folder .. "/with/own")))))
        local text, code = run("make -s install PREFIX=" .. quote(prefix) .. " BUILD="
            .. quote(process.bertlua:match "([^/]+)/bertlua$"))
        assert.are.equal(0, code, text)
    end)

    teardown(function()
        run("rm -rf " .. quote(folder))
    end)

    it("works from any folder", function()
        local bertlua = "cd / && env -u BERTLUA_LIB " .. quote(prefix .. "/bin/bertlua")
        local text, code = run(bertlua .. " doctor")
        assert.are.equal(0, code, text)
        assert.is_truthy(text:find(prefix .. "/lib/bertlua/libbertlua.so", 1, true))
        assert_output("1\n", 0, run(bertlua .. " -e 'bl.ones(1):item()'"))
        text, code = run(bertlua .. " recipes/pretrain_phase1.lua --help")
        assert.are.equal(0, code, text)
        -- bertlua-hdf5 lies beside the library.
        local shard = process.root .. "/spec/fixtures/hdf5/nvidia.hdf5"
        assert_output("5\n", 0, run(("%s -e 'require(\"bertlua.data\").read_shard(\"%s\").samples'"):format(bertlua,
            shard)))
    end)

    it("serves a plain LuaJIT", function()
        local command = ("cd / && env -u BERTLUA_LIB LUA_PATH='%s/share/lua/5.1/?.lua;;' luajit -e %s"):format(prefix,
            quote 'local bl = require "bertlua" print(bl.ones(2):tolist()[2], bl.paths.root())')
        assert_output("1\t" .. prefix .. "/share/bertlua\n", 0, run(command))
    end)

    it("is removed without a trace", function()
        assert.are.equal(0, (select(2, run("make -s uninstall PREFIX=" .. quote(prefix)))))
        assert_output("", 0, run("find " .. quote(prefix) .. " -type f"))
        assert_output("own\n", 0, run("ls " .. quote(folder .. "/with")))
    end)
end)
