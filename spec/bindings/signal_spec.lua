--- Signals: what they do to a script, before and after trap().

local process = require "spec.support.process"

local run, run_bertlua, quote = process.run, process.run_bertlua, process.quote

local assert_output = process.assert_output

describe("signals", function()
    local script, remove_scripts = process.scripts()
    teardown(remove_scripts)

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
        local path = script "print 'loops' io.stdout:flush() while true do end"
        local log = process.temporary ""
        -- Sent once it runs, and again as long as it does: two that wait at the same time are one.
        local output, code = run(("%s %s > %s & p=$!; while kill -0 $p && [ ! -s %s ]; do sleep 0.01; done; sleep 0.3; "
            .. "kill -INT $p; sleep 0.2; kill -0 $p && echo goes on; "
            .. "while kill -INT $p 2>/dev/null; do sleep 0.1; done; wait $p"):format(quote(process.bertlua), path,
            quote(log), quote(log)))
        os.remove(log)
        assert_output("goes on\n", 130, output, code)
    end)

    it("that were trapped can end the program where it looks", function()
        assert_output("before\nbertlua: interrupted by SIGTERM\n", 143, run_bertlua(script(prelude .. [[
            local signal = require "bertlua.signal"
            signal.check()
            signal.trap()
            signal.check()
            print "before"
            io.stdout:flush()
            send "SIGTERM"
            signal.check()
            print "after"]])))
    end)

    local HEARD = "\nbertlua: finishing this step, then saving; press Ctrl-C again to quit at once\n"

    it("only set a flag after trap(), and tell that Ctrl-C was heard", function()
        for _, name in ipairs { "SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP", "SIGPIPE" } do
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

    it("are answered as whoever traps them says", function()
        assert_output("\nbertlua: leaving; press Ctrl-C again to quit at once\n" .. HEARD .. "end\n", 0,
            run_bertlua(script(prelude .. [[
                local signal = require "bertlua.signal"
                signal.trap "leaving"
                send "SIGINT"
                signal.untrap()
                signal.trap()
                send "SIGINT"
                print "end"
            ]])))
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

    it("are not handled in a plain LuaJIT", function()
        local signal = require "bertlua.signal"
        assert.is_false(signal.trap())
        assert.is_nil(signal.pending())
    end)
end)
