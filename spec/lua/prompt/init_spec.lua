--- The prompt at a terminal, provided by `script`.

local fs = require "bertlua.util.fs"
local process = require "spec.support.process"

local terminal_it = select(2, process.run "command -v script >/dev/null") == 0 and it or function(name)
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
end)
