--- The prompt at a terminal, provided by `script`.

local fs = require "bertlua.util.fs"
local pretraining = require "spec.support.pretraining"
local process = require "spec.support.process"
local terminal = require "spec.support.terminal"

local terminal_it = terminal.available and it or function(name)
    it(name, function() pending "no script: apt-get install bsdutils" end)
end

describe("the prompt at a terminal", function()
    local state

    before_each(function() state = assert(fs.temporary_folder()) end)
    after_each(function() fs.remove(state) end)

    --- What is on the terminal after typing these lines.
    local function type_in(lines, environment)
        local output, code = process.run(("printf %s | XDG_STATE_HOME=%s NO_COLOR=1 TERM=xterm %s timeout 30 "
            .. "script -qec %s /dev/null"):format(process.quote(lines), process.quote(state), environment or "",
            process.quote(process.quote(process.bertlua))))
        assert.are.equal(0, code, output)
        return (output:gsub("\r", ""))
    end

    terminal_it("says what it is, answers, continues after an error and ends with the input", function()
        local output = type_in "x = 20 + 1\\nx * 2\\nerror(\"boo\")\\n\"still \" .. \"here\"\\n"
        assert.matches("\nbertlua %d+%.%d+%.%d+, .*\n%? for help", "\n" .. output)
        assert.is_truthy(output:find("\n42\n", 1, true), output)
        assert.is_truthy(output:find("stdin:1: boo\n", 1, true), output)
        assert.is_truthy(output:find("\nstill here\n", 1, true), output)
    end)

    terminal_it("ends on request", function()
        local output = type_in "exit\\n1 + 6\\n"
        assert.is_nil(output:find("\n7\n", 1, true), output)
    end)

    terminal_it("remembers lines from one session to the next", function()
        type_in "first_line = 1\\n\\nsecond_line = 2\\n"
        local history = assert(fs.read(state .. "/bertlua/history"))
        assert.is_truthy(history:find "first_line" and history:find "second_line", history)
        type_in "third_line = 3\\n"
        history = assert(fs.read(state .. "/bertlua/history"))
        assert.is_truthy(history:find "first_line" and history:find "third_line", history)
    end)

    terminal_it("needs no home folder", function()
        assert.is_truthy(type_in("6 * 7\\n", "env -u HOME -u XDG_STATE_HOME"):find("\n42\n", 1, true))
        assert.are.same({}, fs.list(state))
    end)

    terminal_it("takes what is pasted as one block, which Up recalls", function()
        local screen = terminal.open(state)
        -- The tab must not complete, the line breaks must not end the input before its end.
        screen:paste "local function twice(n)\n\treturn 2 * n\nend\nlocal text = \"is \" .. twice(21)\nprint(text)\n"
        screen:wait "\nis 42\n"
        screen:send "text .. \"!\"\n"
        screen:wait "\nis 42!\n"
        -- Up: the last line, then the block.
        screen:send "\27[A\27[A\n"
        screen:wait "\nis 42\n"
        -- A line without its end waits for Enter, and can be edited.
        screen:paste "twice(5)"
        screen:send " + 1\n"
        screen:wait "\n11\n"
        -- What the editor cannot show is not dropped silently.
        screen:paste "lost = \"\255\"\nlost = 1\n"
        screen:wait "the paste is not UTF-8, or too long"
        screen:send "text .. tostring(lost)\n"
        screen:wait "\nis 42nil\n"
        screen:close()
        local history = assert(fs.read(state .. "/bertlua/history"))
        assert.is_truthy(history:find("twice(n)\\012\\011return", 1, true), history)
    end)

    terminal_it("takes a block after :paste", function()
        local screen = terminal.open(state)
        screen:send ":paste\n"
        screen:wait "drops it.\n"
        screen:send "local n = 0\nfor i = 1, 4 do\nn = n + i\nend\nprint(\"sum \" .. n)\n.\n"
        screen:wait "\nsum 10\n"
        screen:send ":paste\n"
        screen:wait "drops it.\n"
        screen:send "print(\"until \" .. n)\n\4"
        screen:wait "\nuntil 10\n"
        screen:send ":paste\n"
        screen:wait "drops it.\n"
        screen:send "n = 1000\n"
        screen:wait "1000\n"
        screen:send "\3"
        screen:wait "\n> "
        screen:send "n + 1\n"
        screen:wait "\n11\n"
        screen:close()
    end)

    terminal_it("stops what runs at Ctrl-C, and keeps the values", function()
        local path = state .. "/spinning.lua"
        -- Compiled, the loop in the file would not see the signal.
        assert(fs.write(path, "return function()\n    print('spin' .. 'ning')\n    local n = 0\n"
            .. "    while true do n = n + 1 end\nend\n"))
        local screen = terminal.open(state)
        screen:send "local kept = 41\n"
        for _, code in ipairs { ("dofile %q ()"):format(path), "print(\"spin\" .. \"ning\") while true do end",
            "bl.signal.trap() print(\"spin\" .. \"ning\") while true do end" } do
            screen:send(code .. "\n")
            screen:wait "\nspinning\n"
            screen:send "\3"
            if code:find "trap" then
                screen:wait "Ctrl-C again stops without saving\n"
                screen:send "\3"
            end
            screen:wait "interrupted\n"
            screen:send "kept + 1\n"
            screen:wait "\n42\n"
        end
        screen:close()
    end)

    terminal_it("comes back from a recipe that Ctrl-C ends, with its checkpoint", function()
        local job = pretraining.new()
        local flags = job:command("x.lua", { ["max-steps"] = 1000000, ["num-steps-per-checkpoint"] = 1000000,
            ["log-freq"] = 200, ["learning-rate"] = 1e-4 })
            :match "x%.lua (.*)$"
        local screen = terminal.open(state)
        screen:send("local kept = 41\n:run pretrain_phase1.lua " .. flags .. "\n")
        screen:wait "200/1000000 "
        screen:send "\3"
        screen:wait "ended by SIGINT"
        screen:send "_\n"
        screen:wait "\ninterrupted by SIGINT at step "
        screen:send "kept + 1\n"
        screen:wait "\n42\n"
        screen:send ":run pretrain_phase1.lua --help\n"
        screen:wait "BOOL is true"
        -- A mistake ends the run only.
        screen:send ":run pretrain_phase1.lua --nonsense 3\n"
        screen:wait "\nunknown setting --nonsense; "
        screen:send "kept + 2\n"
        screen:wait "\n43\n"
        screen:close()
        job:close()
    end)

    terminal_it("remembers everything up to os.exit", function()
        local screen = terminal.open(state)
        screen:send "before_exit = 1\nif before_exit then exit(3) end\n"
        screen:close()
        local history = assert(fs.read(state .. "/bertlua/history"))
        assert.is_truthy(history:find("before_exit", 1, true) and history:find("exit(3)", 1, true), history)
        for _, way in ipairs { "exit()", "quit()", "quit", ":quit" } do
            assert.is_nil((type_in(way .. "\\n1 + 6\\n")):find("\n7\n", 1, true), way)
        end
    end)
end)
