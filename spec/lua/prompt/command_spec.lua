--- The bertlua executable, from outside: exit codes, messages, signals, other folders, installation.

local process = require "spec.support.process"
local run, run_bertlua, quote = process.run, process.run_bertlua, process.quote

local files = {}

local function script(text)
    local path = process.temporary(text)
    files[#files + 1] = path
    return quote(path)
end

local function assert_output(expected, code, output, got_code)
    assert.are.equal(expected, output)
    assert.are.equal(code, got_code)
end

describe("bertlua", function()
    teardown(function()
        for _, path in ipairs(files) do os.remove(path) end
    end)

    it("names versions and backends", function()
        local text, code = run_bertlua "--version"
        assert.are.equal(0, code)
        for _, pattern in ipairs {
            "^bertlua %d+%.%d+%.%d+\n", "LuaJIT 2", "oneDNN %d+%.%d+", "HDF5 1%.%d+", "ICU %d%d%.%d", "CPU ",
            "CUDA ", "MPI ", "NCCL ",
        } do
            assert.is_truthy(text:find(pattern), pattern)
        end
    end)

    it("explains itself within 80 columns", function()
        local text, code = run_bertlua "--help"
        assert.are.equal(0, code)
        assert.is_truthy(text:find "Usage: bertlua" and text:find "doctor" and text:find "%-e CODE")
        for line in text:gmatch "[^\n]+" do assert.is_true(#line <= 80, line) end
    end)

    it("evaluates code as the prompt does", function()
        assert_output("2\n", 0, run_bertlua "-e '1 + 1'")
        assert_output("", 0, run_bertlua "-e 'local x = 1'")
        assert_output(" 1  1\n[f32 2 cpu]\n", 0, run_bertlua "-e 'bl.ones(2)'")
        assert_output("a\tb\t2\n", 0, run_bertlua "-e 'local x, y = ... print(x, y, #arg)' a b")
        assert_output("bertlua: (command line):1: boo\n", 1, run_bertlua "-e 'error(\"boo\")'")
        assert.are.equal(1, (select(2, run_bertlua "-e 'x = = 1'")))
        assert_output("bertlua: -e is followed by nothing, expected Lua code; bertlua --help shows how to start\n", 1,
            run_bertlua "-e")
    end)

    it("runs files with arguments, and standard input", function()
        local path = script "print(arg[0] == nil, #arg, arg[1], ...)"
        assert_output("false\t2\tx\tx\ty z\n", 0, run_bertlua(path .. " x 'y z'"))
        assert_output("7\n", 0, run("echo 'print(7)' | " .. quote(process.bertlua)))
        assert_output("8\targ\n", 0, run("echo 'print(8, ...)' | " .. quote(process.bertlua) .. " - arg"))
        assert_output("", 0, run("true | " .. quote(process.bertlua)))
        assert_output("", 5, run_bertlua(script "os.exit(5)"))
    end)

    it("gives one line and code 1 for every kind of failure", function()
        local absent = "no such file: /no/such.lua; bertlua --help shows how to start"
        assert_output("bertlua: " .. absent .. "\n", 1, run_bertlua "/no/such.lua")
        local cases = {
            { "--halp", "unknown option %-%-halp; did you mean %-%-help%?" },
            { "docter", "no such file: docter; did you mean doctor%?" },
            { "recipes/pretrain_phase3.lua", "did you mean recipes/pretrain_phase1.lua%?" },
            { "recipes/nope.lua", "no such file: recipes/nope.lua; bertlua %-%-help shows" },
            { "pretrain_phase3", "did you mean recipes/pretrain_phase1.lua%?" },
            { "recipes", "recipes is a folder, expected a Lua file" },
            { script "x = ", ":1: unexpected symbol near '<eof>'" },
            { script "error 'plain'", ":1: plain$" },
            { script "error({})", "table: 0x" },
            { script "error()", "an error without a message" },
            { script "require 'no.such.module'", "module 'no.such.module' not found:$" },
            { script "require('bertlua.fault').raise('batch_size is 0')", "^bertlua: batch_size is 0$" },
        }
        for _, case in ipairs(cases) do
            local text, code = run_bertlua(case[1])
            assert.are.equal(1, code, text)
            assert.is_truthy(text:find "^bertlua: " and text:gsub("\n$", ""):find(case[2]), text)
            assert.are.equal(1, select(2, text:gsub("\n", "")), text)
        end
        assert.are.equal(3, (select(2, run_bertlua(script "require('bertlua.fault').raise('x', 3)"))))
    end)

    it("shows the traceback only when asked", function()
        local path = script "local function deep() error 'here' end\ndeep()\nprint 'not reached'"
        assert.is_nil((run_bertlua(path)):find "traceback")
        assert.is_truthy((run_bertlua(path, "BL_DEBUG=1")):find "stack traceback")
    end)

    it("complains when its output cannot be written", function()
        local text, code = run_bertlua "--help > /dev/full"
        assert_output("bertlua: standard output: No space left on device\n", 1, text, code)
    end)

    it("finds its recipes from any folder", function()
        local text, code = run_bertlua("recipes/pretrain_phase1.lua --help", "cd / &&")
        assert.are.equal(0, code, text)
        assert.is_truthy(text:find "%-%-batch%-size")
        assert.are.equal(0, (select(2, run_bertlua("pretrain_phase1.lua --help", "cd / &&"))))
    end)

    it("keeps its own modules on the path under any LUA_PATH", function()
        assert_output("2\n", 0, run_bertlua("-e 'require \"cjson\" return bl.ones(1, 2):numel()'",
            "LUA_PATH=/nowhere/?.lua LUA_CPATH=/nowhere/?.so"))
    end)
end)

describe("signals", function()
    local prelude = [[
        local signals, unistd = require "posix.signal", require "posix.unistd"
        local function send(name) signals.kill(unistd.getpid(), signals[name]) end
    ]]

    it("interrupt plain scripts with code 130", function()
        assert_output("bertlua: interrupted\n", 130,
            run_bertlua(script(prelude .. "send 'SIGINT' for i = 1, 1e9 do end print 'not reached'")))
        -- Other signals keep their meaning.
        assert.are.equal(128 + 15, (select(2, run("sh -c " .. quote(quote(process.bertlua) .. " "
            .. script(prelude .. "send 'SIGTERM'"))))))
    end)

    it("end a compiled loop, which looks at nothing, at the second SIGINT", function()
        local path = script "while true do end"
        local _, code = run(quote(process.bertlua) .. " " .. path .. " & p=$!; sleep 0.3; kill -INT $p; sleep 0.2; "
            .. "kill -INT $p 2>/dev/null; wait $p")
        assert.are.equal(130, code)
    end)

    local HEARD = "\nbertlua: finishing and saving the current step; press Ctrl-C again to quit at once\n"

    it("only set a flag after trap(), and tell that Ctrl-C was heard", function()
        for _, name in ipairs { "SIGINT", "SIGTERM", "SIGUSR1" } do
            local heard = name == "SIGINT" and HEARD or ""
            assert_output(heard .. "nil\t" .. name .. "\tnil\n", 0, run_bertlua(script(prelude .. ([[
                local signal = require "bertlua.signal"
                signal.trap()
                local before = signal.pending()
                send "%s"
                local during = signal.pending()
                signal.clear()
                print(before, during, signal.pending())
            ]]):format(name))))
        end
    end)

    it("keep the first flag, and give way to a second SIGINT", function()
        assert_output("SIGTERM\n", 0, run_bertlua(script(prelude .. [[
            require("bertlua.signal").trap()
            send "SIGTERM" send "SIGUSR1" send "SIGTERM"
            print(require("bertlua.signal").pending())
        ]])))
        assert_output(HEARD, 130, run_bertlua(script(prelude .. [[
            require("bertlua.signal").trap()
            send "SIGINT" send "SIGINT"
            print "not reached"
        ]])))
    end)

    it("are nobody's business in a plain LuaJIT", function()
        local signal = require "bertlua.signal"
        assert.is_false(signal.trap())
        assert.is_nil(signal.pending())
    end)
end)

describe("doctor", function()
    it("finds what is needed", function()
        local text, code = run_bertlua("doctor", "cd / &&")
        assert.are.equal(0, code, text)
        for _, name in ipairs { "engine", "processor", "threads", "memory", "HDF5", "recipes", "vocabularies" } do
            assert.is_truthy(text:find("\n?%w+%s+" .. name), name)
        end
        assert.is_nil(text:find "\nmissing")
    end)

    it("fails and says what to do when the engine is not there", function()
        local text, code = run_bertlua("doctor", "BERTLUA_LIB=/no/such.so")
        assert.are.equal(1, code)
        assert.is_truthy(text:find "missing  engine" and text:find "/no/such.so" and text:find "run make")
    end)
end)

describe("installation", function()
    local prefix

    setup(function()
        prefix = process.temporary_folder()
        local text, code = run("make -s install PREFIX=" .. quote(prefix) .. " BUILD="
            .. quote(process.bertlua:match "([^/]+)/bertlua$"))
        assert.are.equal(0, code, text)
    end)

    teardown(function()
        run("rm -rf " .. quote(prefix))
    end)

    it("works from any folder", function()
        local bertlua = "cd / && env -u BERTLUA_LIB " .. quote(prefix .. "/bin/bertlua")
        local text, code = run(bertlua .. " doctor")
        assert.are.equal(0, code, text)
        assert.is_truthy(text:find(prefix .. "/lib/bertlua/libbertlua.so", 1, true))
        assert_output("1\n", 0, run(bertlua .. " -e 'bl.ones(1):item()'"))
        text, code = run(bertlua .. " recipes/pretrain_phase1.lua --help")
        assert.are.equal(0, code, text)
    end)

    it("serves a plain LuaJIT", function()
        local command = ("cd / && env -u BERTLUA_LIB LUA_PATH='%s/share/lua/5.1/?.lua;;' luajit -e %s"):format(prefix,
            quote 'local bl = require "bertlua" print(bl.ones(2):tolist()[2], bl.paths.root())')
        assert_output("1\t" .. prefix .. "/share/bertlua\n", 0, run(command))
    end)

    it("is removed without a trace", function()
        assert.are.equal(0, (select(2, run("make -s uninstall PREFIX=" .. quote(prefix)))))
        assert_output("", 0, run("find " .. quote(prefix) .. " -type f"))
    end)
end)
