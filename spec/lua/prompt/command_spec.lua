--- The bertlua executable, from outside: options, exit codes, messages, recipes from any folder.

local process = require "spec.support.process"
local run, run_bertlua, quote = process.run, process.run_bertlua, process.quote

local assert_output = process.assert_output

describe("bertlua", function()
    local script, remove_scripts = process.scripts()
    teardown(remove_scripts)

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
        assert.matches("^bl%.ones%(%.%.%.%)\nA tensor of ones%.\n", (run_bertlua "-e '? bl.ones'"))
        assert.matches("^expression        print its value", (run_bertlua "-e '?'"))
        assert_output("bertlua: -e: a value is missing, expected Lua code; bertlua --help shows how to start\n", 1,
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

    it("prints one line and exits with 1 for every kind of failure", function()
        local absent = "no such file: /no/such.lua; bertlua --help shows how to start"
        assert_output("bertlua: " .. absent .. "\n", 1, run_bertlua "/no/such.lua")
        local cases = {
            { "--halp", "unknown option %-%-halp; did you mean %-%-help%?" },
            { "doctor foo", "doctor takes no arguments, got foo; a recipe's help is shown by bertlua NAME %-%-help" },
            { "--version x", "%-%-version takes no arguments, got x" },
            { "docter", "no command or recipe is called docter; did you mean doctor%?" },
            { "recipes/pretrain_phase3.lua", "did you mean recipes/pretrain_phase1.lua%?" },
            { "recipes/nope.lua", "no such file: recipes/nope.lua; bertlua %-%-help shows" },
            { "pretrain_phase3", "did you mean pretrain_phase1%?" },
            { "recipes/", "recipes/ is a folder, expected a Lua file" },
            { "recipes x", "recipes takes no arguments, got x" },
            { "convert", "convert: a word is missing, expected from%-huggingface or to%-huggingface" },
            { "convert from-hugface", "got from%-hugface, expected .*; did you mean from%-huggingface%?" },
            { "help nope", "no command or recipe is called nope" },
            { "README.md", "README%.md: a name without a slash is run as Lua only if it ends in %.lua; if it is Lua: "
                .. "%./README%.md; data are named by a setting of a recipe, as %-%-train%-file README%.md; bertlua "
                .. "%-%-help shows how to start" },
            { "Makefile", "no recipe is called Makefile; to run the file Makefile: ./Makefile" },
            { "seal-shards", "%-%-input%-dir is required" },
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

    it("names the user's functions that an error came through, without a bug report", function()
        local path = script "local function deep(x)\n    return x.y.z\nend\nlocal z = deep {}\nprint(z)"
        local text, code = run_bertlua(path)
        local name = path:sub(2, -2)
        assert_output(("bertlua: %s:2: attempt to index field 'y' (a nil value)\n    %s:2: in function 'deep'\n"
            .. "    %s:4\n"):format(name, name, name), 1, text, code)
        -- Found deep in bertlua, it is the user's line that is wrong.
        assert_output("bertlua: (command line):1: linear: w is f32 [4,3], expected f32 [N,5]\n", 1,
            run_bertlua "-e 'bl.nn.create(bl.nn.Linear, 3, 4)(bl.randn(2, 5))'")
        local copied = script "x = bl.zeros(2)"
        assert_output(("bertlua: %s:1: attempt to index global 'bl' (a nil value); a file begins with "
            .. "local bl = require \"bertlua\"\n"):format(copied:sub(2, -2)), 1, run_bertlua(copied))
        -- A fault names what to mend, not where it was found.
        local fault = script "local function f() require('bertlua.fault').raise 'batch_size is 0' end\nf()\nprint()"
        assert_output("bertlua: batch_size is 0\n", 1, run_bertlua(fault))
    end)

    it("lets waiting threads sleep soon, unless the user says how long they spin", function()
        local print_it = "-e 'print(os.getenv \"GOMP_SPINCOUNT\")'"
        local text, code = process.run(("env -u OMP_WAIT_POLICY -u GOMP_SPINCOUNT %s %s"):format(process.bertlua,
            print_it))
        assert.are.equal(0, code)
        -- A round takes a few nanoseconds at least, and some hundreds at most.
        local count = tonumber(text)
        assert.is_true(count >= 1000 and count <= 300000, text)
        assert_output("7\n", 0, process.run(("env -u OMP_WAIT_POLICY GOMP_SPINCOUNT=7 %s %s"):format(process.bertlua,
            print_it)))
        assert_output("nil\n", 0, process.run(("env -u GOMP_SPINCOUNT OMP_WAIT_POLICY=active %s %s"):format(
            process.bertlua, print_it)))
    end)

    it("complains when its output cannot be written", function()
        local text, code = run_bertlua "--help > /dev/full"
        assert_output("bertlua: standard output: No space left on device\n", 1, text, code)
        for _, arguments in ipairs { "recipes/pretrain_phase1.lua --help", "-e 'print(1) os.exit(0)'",
            "-e 'print(1) os.exit(0, true)'", "-e 'print(1)'" } do
            text, code = run_bertlua(arguments .. " > /dev/full")
            assert_output("bertlua: standard output: No space left on device\n", 1, text, code)
        end
        -- With standard error gone too, and after a failure, whose code stays.
        assert.are.equal(1, (select(2, run_bertlua "-e 'print(1) os.exit(0)' > /dev/full 2>&1")))
        assert_output("", 7, run_bertlua "-e 'print(1) os.exit(7)' > /dev/full")
        assert.are.equal(1, (select(2, run_bertlua "-e 'error \"x\"' > /dev/full 2>&1")))
        -- What fails early in a long output is noticed at its end.
        text, code = run_bertlua("-e 'for i = 1, 1e5 do print(i) end os.exit(0)' > /dev/full")
        assert_output("bertlua: standard output: No space left on device\n", 1, text, code)
    end)

    it("finds its recipes from any folder", function()
        local text, code = run_bertlua("recipes/pretrain_phase1.lua --help", "cd / &&")
        assert.are.equal(0, code, text)
        assert.is_truthy(text:find "%-%-batch%-size")
        assert.are.equal(0, (select(2, run_bertlua("pretrain_phase1.lua --help", "cd / &&"))))
    end)

    it("runs recipes and commands by name", function()
        local by_path = run_bertlua("recipes/fill_mask.lua --help")
        for _, name in ipairs { "fill_mask", "fill-mask" } do
            local text, code = run_bertlua(name .. " --help", "cd / &&")
            assert.are.equal(0, code, text)
            assert.are.equal((by_path:gsub("recipes/fill_mask.lua", name, 1)), text)
        end
        assert_output(by_path:gsub("recipes/fill_mask.lua", "fill_mask", 1), 0, run_bertlua "help fill_mask")
        for _, name in ipairs { "embed", "serve" } do
            assert.matches("^Usage: bertlua " .. name .. " %[settings%]", (run_bertlua("help " .. name)))
        end
        assert_output((run_bertlua "--help"), 0, run_bertlua "help")
        assert.matches("^Recipes: .*\n  fill_mask +The most likely words", (run_bertlua("recipes", "cd / &&")))
        assert.matches("^Usage: bertlua recipes\n", (run_bertlua "recipes --help"))
        assert.matches("^Usage: bertlua doctor\n", (run_bertlua "help doctor"))
        assert.matches("^Usage: bertlua convert from%-huggingface|to%-huggingface %[settings%]\n",
            (run_bertlua "convert --help"))
        assert.matches("^Usage: bertlua convert to%-huggingface %[settings%]\n.*%-%-checkpoint PATH",
            (run_bertlua("convert to_huggingface --help", "cd / &&")))
        assert.matches("^Usage: bertlua seal%-shards %[settings%]\n", (run_bertlua("seal-shards --help", "cd / &&")))
        assert_output("--checkpoint\tcheckpoint folder, or the folder of its steps\n", 0,
            run_bertlua("--complete fill_mask --chec", "cd / &&"))
    end)

    it("prefers a recipe to a file of its name, and says so", function()
        local folder = process.temporary_folder()
        run("echo 'print \"mine\"' > " .. folder .. "/fill_mask.lua")
        local text, code = run_bertlua("fill_mask --help", "cd " .. folder .. " &&")
        assert_output("mine\n", 0, run_bertlua("./fill_mask.lua", "cd " .. folder .. " &&"))
        assert_output("mine\n", 0, run_bertlua("fill_mask.lua", "cd " .. folder .. " &&"))
        run("rm -r " .. folder)
        assert.are.equal(0, code)
        assert.matches("^bertlua: fill_mask is the recipe; to run the file fill_mask.lua of this folder: "
            .. "bertlua ./fill_mask.lua\nUsage: bertlua fill_mask ", text)
    end)

    it("keeps its own modules on the path under any LUA_PATH", function()
        assert_output("2\n", 0, run_bertlua("-e 'require \"cjson\" return bl.ones(1, 2):numel()'",
            "LUA_PATH=/nowhere/?.lua LUA_CPATH=/nowhere/?.so"))
    end)
end)
