--- make install and make uninstall: the executable from any folder, a plain LuaJIT, programs in C, the manual.

local fs = require "bertlua.util.fs"
local process = require "spec.support.process"

local run, quote, assert_output = process.run, process.quote, process.assert_output

local function make(target, prefix, more)
    return run(("make -s %s PREFIX=%s BUILD=%s %s"):format(target, quote(prefix),
        quote(process.bertlua:match "([^/]+)/bertlua$"), more or ""))
end

describe("installation", function()
    local folder, prefix

    setup(function()
        -- Its name has a blank, and what lies beside it is not ours.
        folder = process.temporary_folder()
        prefix = folder .. "/with space"
        assert.are.equal(0, (select(2, run(("mkdir -p %s/share && touch %s/own %s/share/own"):format(quote(prefix),
            quote(prefix), quote(prefix))))))
        local text, code = make("install", prefix)
        assert.are.equal(0, code, text)
    end)

    teardown(function()
        run("rm -rf " .. quote(folder))
    end)

    it("works from any folder, and when it is moved", function()
        local function check(place)
            local bertlua = "cd / && env -u BERTLUA_LIB " .. quote(place .. "/bin/bertlua")
            local text, code = run(bertlua .. " doctor")
            assert.are.equal(0, code, text)
            assert.is_truthy(text:find(place .. "/lib/libbertlua.so.", 1, true), text)
            assert_output("1\n", 0, run(bertlua .. " -e 'bl.ones(1):item()'"))
            text, code = run(bertlua .. " pretrain-phase1 --help")
            assert.are.equal(0, code, text)
            text, code = run(bertlua .. " convert to-huggingface --help")
            assert.are.equal(0, code, text)
            -- bertlua-hdf5 lies in a folder beside the library.
            local shard = process.root .. "/spec/fixtures/hdf5/nvidia.hdf5"
            assert_output("5\n", 0, run(("%s -e 'require(\"bertlua.data\").read_shard(\"%s\").samples'"):format(bertlua,
                shard)))
        end
        check(prefix)
        assert(os.rename(prefix, folder .. "/moved"))
        check(folder .. "/moved")
        assert(os.rename(folder .. "/moved", prefix))
    end)

    it("serves a plain LuaJIT", function()
        local command = ("cd / && env -u BERTLUA_LIB LUA_PATH='%s/share/lua/5.1/?.lua;;' luajit -e %s"):format(prefix,
            quote 'local bl = require "bertlua" print(bl.ones(2):tolist()[2], bl.paths.root())')
        assert_output("1\t" .. prefix .. "/share/bertlua\n", 0, run(command))
    end)

    --- Compile a program with what pkg-config says, and run it.
    local function compile(compiler, source, arguments)
        assert(fs.write(folder .. "/program.c", source))
        -- pkg-config escapes blanks, so the shell has to read its words once more.
        return run(([[cd %s && export PKG_CONFIG_PATH=%s && eval "%s program.c -o program \
            $(pkg-config --cflags --libs bertlua) -Wl,-rpath,'$(pkg-config --variable=libdir bertlua)'" \
            && env -u BERTLUA_LIB ./program %s]]):format(quote(folder), quote(prefix .. "/lib/pkgconfig"), compiler,
            arguments or ""))
    end

    it("serves programs in C and C++, by pkg-config", function()
        local source = [[
            #include <bertlua.h>
            #include <stdio.h>
            int main(int argc, char **argv) {
                bl_shard_info shard;
                static bl_shard_limits limits;
                if (argc > 1) {
                    if (bl_shard_probe(&shard, argv[1], &limits) != BL_OK) return puts(bl_last_error()), 1;
                    printf("%d samples\n", (int) shard.samples);
                }
                printf("%s %d\n", bl_version(), (int) bl_dtype_size(BL_F32));
                return 0;
            }]]
        local version = require("bertlua.version").engine
        local said = version .. " 4\n"
        assert_output(said, 0, compile("cc -std=c11 -Wall -Wextra -Wpedantic -Werror", source))
        assert_output("5 samples\n" .. said, 0, compile("cc", source, process.root .. "/spec/fixtures/hdf5/nvidia.hdf5"))
        -- A link to the library may lie anywhere: its companions lie where it leads to.
        run(("mkdir -p %s/links && ln -sf %s %s/links/libbertlua.so.0"):format(quote(folder),
            quote(prefix .. "/lib/libbertlua.so"), quote(folder)))
        assert_output("5 samples\n" .. said, 0, run(("LD_LIBRARY_PATH=%s/links %s/program %s"):format(quote(folder),
            quote(folder), process.root .. "/spec/fixtures/hdf5/nvidia.hdf5")))
        assert_output(said, 0, compile("c++ -x c++ -Wall -Wextra -Werror", source))
        assert_output(version .. "\n", 0, run(("PKG_CONFIG_PATH=%s pkg-config --modversion bertlua"):format(
            quote(prefix .. "/lib/pkgconfig"))))
    end)

    it("gives the library the names of its versions", function()
        local links = run(("cd %s/lib && ls libbertlua.so* && readlink libbertlua.so libbertlua.so.0 && "
            .. "LC_ALL=C readelf -d libbertlua.so | grep -o 'soname: .*'"):format(quote(prefix)))
        local full = "libbertlua.so." .. require("bertlua.version").engine
        assert.are.equal(("libbertlua.so\nlibbertlua.so.0\n%s\nlibbertlua.so.0\n%s\nsoname: [libbertlua.so.0]\n"):format(
            full, full), links)
    end)

    it("has a manual with every command and recipe, which mandoc finds nothing wrong with", function()
        local page = prefix .. "/share/man/man1/bertlua.1"
        local text = assert(fs.read(page))
        for _, name in ipairs(require("bertlua.prompt.commands").names()) do
            assert.is_truthy(text:find(".It Cm " .. name, 1, true), name)
        end
        if select(2, run "command -v mandoc") ~= 0 then return pending "no mandoc" end
        assert_output("", 0, run("mandoc -Tlint " .. quote(page)))
    end)

    it("has completion for shells", function()
        for _, place in ipairs { "bash-completion/completions/bertlua", "zsh/site-functions/_bertlua",
            "fish/vendor_completions.d/bertlua.fish" } do
            assert.is_truthy(fs.is_file(prefix .. "/share/" .. place), place)
        end
    end)

    it("takes any folder below PREFIX for the library, and packages", function()
        local staged = folder .. "/staged"
        local text, code = make("install", "/opt/b", ("LIBDIR=/opt/b/lib/any DESTDIR=%s"):format(quote(staged)))
        assert.are.equal(0, code, text)
        assert_output("1\n", 0, run(("cd / && env -u BERTLUA_LIB %s -e 'bl.ones(1):item()'"):format(
            quote(staged .. "/opt/b/bin/bertlua"))))
        assert.matches("libdir=${prefix}/lib/any\n", (assert(fs.read(staged .. "/opt/b/lib/any/pkgconfig/bertlua.pc"))))
        local other = "make install: LIBDIR is /lib, expected a folder below PREFIX (/opt/b)\n"
        assert.is_truthy((make("install", "/opt/b", "LIBDIR=/lib DESTDIR=" .. quote(staged))):find(other, 1, true))
    end)

    it("replaces the one before, and is removed without a trace", function()
        assert(fs.write(prefix .. "/share/bertlua/recipes/mine.lua", "-- of a user"))
        assert(fs.write(prefix .. "/share/bertlua/recipes/old.lua", "-- of the version before"))
        local list = assert(fs.read(prefix .. "/share/bertlua/installed"))
        assert(fs.write(prefix .. "/share/bertlua/installed", list .. "share/bertlua/recipes/old.lua\n"))
        assert.are.equal(0, (select(2, make("install", prefix))))
        assert.is_falsy(fs.is_file(prefix .. "/share/bertlua/recipes/old.lua"))
        local function sorted(text)
            local lines = {}
            for line in text:gmatch "[^\n]+" do lines[#lines + 1] = line end
            table.sort(lines)
            return lines
        end
        -- A folder that holds a user's file stays on the list, to be removed if it is empty one day.
        assert.are.same(sorted(list), sorted(assert(fs.read(prefix .. "/share/bertlua/installed"))))
        assert.are.equal(0, (select(2, make("uninstall", prefix))))
        assert_output("own\nshare\nshare/bertlua\nshare/bertlua/recipes\nshare/bertlua/recipes/mine.lua\nshare/own\n", 0,
            run("cd " .. quote(prefix) .. " && find . -mindepth 1 -printf '%P\\n' | LC_ALL=C sort"))
    end)
end)

describe("make help", function()
    it("lists the targets that the Makefile says are for people", function()
        local text = run "make -s help"
        for line in text:gmatch "[^\n]+" do assert.is_true(#line <= 80, line) end
        local inner = { all = true, FORCE = true, ["suite-chosen"] = true, ["suite-waiting"] = true,
            ["suite-others"] = true, ["fuzz-programs"] = true, ["test-cuda-ops"] = true, ["test-cuda-training"] = true,
            ["test-emulated-ops"] = true, ["test-emulated-training"] = true }
        local count = 0
        for targets in assert(fs.read "Makefile"):gmatch "%.PHONY: ([^\n]+)" do
            for target in targets:gmatch "%S+" do
                count = count + 1
                assert.is_truthy(inner[target] or text:find("make " .. target .. " ", 1, true), target)
            end
        end
        assert.is_true(count > 20)
    end)
end)
