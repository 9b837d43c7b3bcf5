--- make install and make uninstall: the executable from any folder, a plain LuaJIT, programs in C, the manual.

local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local process = require "spec.support.process"

local run, quote, assert_output = process.run, process.quote, process.assert_output

local SHARD = process.root .. "/spec/fixtures/hdf5/nvidia.hdf5"
local MODEL = process.root .. "/spec/fixtures/encoder/masked_lm"

--- Lines of {"embedding": [...]} are these vectors.
local function assert_vectors(expected, output, code)
    assert.are.equal(0, code, output)
    local rows, count = expected:tolist(), 0
    for line in output:gmatch "[^\n]+" do
        count = count + 1
        local vector = json.decode(line).embedding
        assert.are.equal(#rows[count], #vector)
        for k, value in ipairs(vector) do assert.near(rows[count][k], value, 1e-5) end
    end
    assert.are.equal(#rows, count)
end

local function make(target, prefix, more)
    return run(("make -s %s PREFIX=%s BUILD=%s %s"):format(target, quote(prefix),
        quote(process.bertlua:match "([^/]+)/bertlua$"), more or ""))
end

describe("installation", function()
    local folder, prefix, told

    setup(function()
        -- Its name has a blank, and what lies beside it is not ours.
        folder = process.temporary_folder()
        prefix = folder .. "/with space"
        assert.are.equal(0, (select(2, run(("mkdir -p %s/share && touch %s/own %s/share/own"):format(quote(prefix),
            quote(prefix), quote(prefix))))))
        local text, code = make("install", prefix)
        assert.are.equal(0, code, text)
        told = text
    end)

    teardown(function()
        run("rm -rf " .. quote(folder))
    end)

    it("tells where pkg-config has to look, and refuses a folder that means nothing", function()
        local line = "pkg-config does not look into %s: set PKG_CONFIG_PATH=%s\n"
        local place = prefix .. "/lib/pkgconfig"
        assert.is_truthy(told:find(line:format(place, place), 1, true), told)
        local text, code = make("install", "some/where")
        assert.matches("make install: PREFIX is some/where, expected an absolute path, such as /.*/some/where\n", text)
        assert.are_not.equal(0, code)
        text, code = make("uninstall", folder .. "/none")
        assert.is_truthy(text:find(("make uninstall: bertlua is not installed in %s/none: set the PREFIX and DESTDIR "
            .. "of make install\n"):format(folder), 1, true), text)
        assert.are_not.equal(0, code)
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
            -- bertlua-hdf5 lies in a folder beside the library, which no other version has.
            local read = "%s -e 'require(\"bertlua.data\").read_shard(\"%s\").samples'"
            assert_output("5\n", 0, run(read:format(bertlua, SHARD)))
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
        -- Its example, from the installation.
        local example = ("cd / && printf 'a text\\nanother' | env -u BERTLUA_LIB LUA_PATH='%s/share/lua/5.1/?.lua;;' "
            .. "luajit '%s/share/bertlua/examples/embed.lua' %s"):format(prefix, prefix, quote(MODEL))
        assert_vectors(require("bertlua.encoder").load(MODEL):embed { "a text", "another" }, run(example))
    end)

    --- Run what a header comment tells people to type, in the folder of this spec, with other words for some.
    local function build(command)
        -- The prefix has a blank, which pkg-config escapes: the shell has to read its words once more.
        command = command:gsub("\\\n[^\n]-(%-Wl)", "%1"):gsub("(%-Wl,%-rpath,)(%$%b())", "%1'%2'")
        local text, code = run(("cd %s && export PKG_CONFIG_PATH=%s && eval \"%s\""):format(quote(folder),
            quote(prefix .. "/lib/pkgconfig"), command))
        -- What the linker says of the sanitizers' own library.
        return (text:gsub("[^\n]*/libasan%.so[^\n]*\n", "")), code
    end

    it("serves programs in C: the example, built as its comment says, and strictly", function()
        assert(fs.copy("examples/embed.c", folder .. "/embed.c"))
        local command = assert(fs.read "examples/embed.c"):match "\n %*%s+(cc .-%$%(pkg%-config %-%-variable[^\n]*)"
        assert_output("", 0, build(command))
        assert_output("", 0, build((command:gsub("cc %-std=c11", "%0 -Wall -Wextra -Wpedantic -Werror"))))
        local bl = require("bertlua.encoder").load(MODEL)
        local x = bl:embed({ "a text", "another" }, { normalize = true }):tolist()
        local cosine = 0
        for k = 1, #x[1] do cosine = cosine + x[1][k] * x[2][k] end
        local embed = "cd " .. quote(folder) .. " && env -u BERTLUA_LIB ./embed "
        local printed, code = run(embed .. quote(MODEL) .. " 'a text' another")
        assert.are.equal(0, code, printed)
        -- One thread and several may round in another order.
        assert.matches("^%-?%d%.%d%d%d%d%d%d\n$", printed)
        assert.near(cosine, tonumber(printed), 2e-6)
        assert_vectors(bl:embed { "a text", "", "another" }, run(("printf 'a text\\n\\nanother' | { %s %s; }"):format(
            embed, quote(MODEL))))
        assert_output("", 0, run(embed .. quote(MODEL) .. " < /dev/null"))
        assert_output("embed: a line holds a NUL byte, where the text would end: remove it (tr -d '\\0')\n", 1,
            run(("printf 'a\\0b\\n' | { %s %s; }"):format(embed, quote(MODEL))))
        assert_output("embed: /nope: no such file or folder\n", 1, run(embed .. "/nope"))
        assert_output("embed: usage: embed MODEL [TEXT TEXT]\n", 1, run(embed))
        assert_output("embed: cannot write standard output\n", 1, run("echo x | { " .. embed .. quote(MODEL)
            .. " > /dev/full; }"))
    end)

    it("serves programs in C++, and finds what belongs to the library through any link to it", function()
        assert(fs.write(folder .. "/program.cc", [[
            #include <bertlua.h>
            #include <cstdio>
            int main(int, char **argv) {
                bl_shard_info shard;
                static bl_shard_limits limits;
                if (bl_shard_probe(&shard, argv[1], &limits) != BL_OK) return puts(bl_last_error()), 1;
                printf("%s: %d samples\n", bl_version(), (int) shard.samples);
                return 0;
            }]]))
        assert_output("", 0, build("c++ -Wall -Wextra -Werror program.cc -o program "
            .. "$(pkg-config --cflags --libs bertlua) -Wl,-rpath,$(pkg-config --variable=libdir bertlua)"))
        local version = require("bertlua.version").engine
        local program = ("cd / && %s/program %s"):format(quote(folder), SHARD)
        assert_output(version .. ": 5 samples\n", 0, run(program))
        run(("mkdir -p %s/links && ln -sf %s %s/links/libbertlua.so.0"):format(quote(folder),
            quote(prefix .. "/lib/libbertlua.so"), quote(folder)))
        assert_output(version .. ": 5 samples\n", 0, run(("export LD_LIBRARY_PATH=%s/links; %s"):format(quote(folder),
            program)))
        assert_output(version .. "\n", 0, run(("PKG_CONFIG_PATH=%s pkg-config --modversion bertlua"):format(
            quote(prefix .. "/lib/pkgconfig"))))
    end)

    it("serves what docs/embedding_in_programs.md shows", function()
        local page = assert(fs.read "docs/embedding_in_programs.md")
        local c = assert(page:match "```c\n(.-)```"):gsub("model%-folder", MODEL)
        assert(fs.write(folder .. "/shown.c", c))
        local shown = assert(page:match "\n    (cc .-)\n\n"):gsub("embed%.c", "shown.c"):gsub("%-o embed", "-o shown")
        assert_output("", 0, build((shown:gsub("%-std=c11", "%0 -Wall -Wextra -Werror"))))
        local lua = assert(page:match "```lua\n(.-)```"):gsub("model%-folder", MODEL)
        assert(fs.write(folder .. "/shown.lua", lua))
        local first = require("bertlua.encoder").load(MODEL):embed({ "a text" }):tolist()[1][1]
        local luajit = ("LUA_PATH='%s/share/lua/5.1/?.lua;;' luajit shown.lua"):format(prefix)
        for _, command in ipairs { "./shown", luajit } do
            local text, code = run(("cd %s && env -u BERTLUA_LIB %s"):format(quote(folder), command))
            assert.are.equal(0, code, text)
            assert.near(first, tonumber(text), 1e-4)
        end
    end)

    it("gives the library the names of its versions", function()
        local links = run(("cd %s/lib && ls libbertlua.so* && readlink libbertlua.so libbertlua.so.0 && "
            .. "LC_ALL=C readelf -d libbertlua.so | grep -o 'soname: .*'"):format(quote(prefix)))
        local full = "libbertlua.so." .. require("bertlua.version").engine
        local expected = "libbertlua.so\nlibbertlua.so.0\n%s\nlibbertlua.so.0\n%s\nsoname: [libbertlua.so.0]\n"
        assert.are.equal(expected:format(full, full), links)
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
        assert_output("own\nshare/bertlua/recipes/mine.lua\nshare/own\n", 0,
            run("cd " .. quote(prefix) .. " && find . -type f -printf '%P\\n' | LC_ALL=C sort"))
        os.remove(prefix .. "/share/bertlua/recipes/mine.lua")
    end)
end)

describe("make help", function()
    it("lists the targets that the Makefile says are for people", function()
        local text = run "env -u MAKEFLAGS -u MAKELEVEL make -s help"
        for line in text:gmatch "[^\n]+" do assert.is_true(#line <= 80, line) end
        local inner = {}
        for target in ("all FORCE rock suite-chosen suite-waiting suite-others encoder-model fuzz-programs "
            .. "test-cuda-ops test-cuda-training test-emulated-ops test-emulated-training"):gmatch "%S+" do
            inner[target] = true
        end
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
