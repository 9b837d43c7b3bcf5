--- Names that nobody has set, in a program of its own file.

local process = require "spec.support.process"
local run_bertlua = process.run_bertlua

describe("an undefined global", function()
    local script, remove_scripts = process.scripts()
    teardown(remove_scripts)

    --- Run a file; its lines, "FILE" for its name.
    local function lines_of(text, arguments)
        local path = script(text)
        local output, code = run_bertlua(path .. (arguments or ""))
        local name = path:sub(2, -2):gsub("%p", "%%%0")
        return output:gsub(name, "FILE"), code
    end

    it("is told once, with its line and what may have been meant, and is nil as before", function()
        local output, code = lines_of [[
            local lossf, settings = 1, {}
            for _ = 1, 3 do settings.loss = lossfn end
            local function later() return qqq or lossf end
            print(settings.loss, later(), tostirng)
            print "end"]]
        assert.are.same({ "bertlua: warning: FILE:2: lossfn is not defined, so it is nil; did you mean lossf?\n"
            .. "bertlua: warning: FILE:3: qqq is not defined, so it is nil\n"
            .. "bertlua: warning: FILE:4: tostirng is not defined, so it is nil; did you mean tostring?\n", 0 },
            { (output:gsub("[^\n]*\n", function(line) return line:find "^bertlua" and line or "" end)), code })
        assert.matches("nil\t1\tnil\n", output, 1, true)
    end)

    it("is told before a recipe runs", function()
        local output, code = lines_of([[
            local loss_of = function() end
            require("bertlua.recipe").run("classify", { output_dir = "none", loss = los_of }, "A recipe.")]], " --none")
        assert.are.same({ "bertlua: warning: FILE:2: los_of is not defined, so it is nil; did you mean loss_of?\n"
            .. "bertlua: unknown setting --none; --help lists the settings\n", 1 }, { output, code })
    end)

    it("that is called or indexed fails in one line", function()
        for text, verb in pairs { ["nothing()"] = "call", ["print(nothing.x)"] = "index" } do
            assert.are.same({ ("bertlua: FILE:1: attempt to %s global 'nothing' (a nil value)\n"):format(verb), 1 },
                { lines_of(text) })
        end
        assert.are.same({ "bertlua: warning: FILE:1: other is not defined, so it is nil\n"
            .. "bertlua: FILE:1: failed\n", 1 },
            { lines_of "local x = other error 'failed'" })
    end)

    it("is nothing to tell where it is set, asked for by _G, or in another file", function()
        local module = process.temporary_folder()
        finally(function() process.run("rm -r " .. module) end)
        process.run(("printf 'set_there = 1 return missing_there' > %s/other.lua"):format(module))
        assert.are.same({ "1\t2\tnil\ttrue\t3\n4\n", 0 }, { lines_of(([[
            package.path = %q .. "/?.lua;" .. package.path
            require "other"
            mine = 2
            print(set_there, mine, _G.absent, jit ~= nil and arg ~= nil and _VERSION ~= nil, _G.mine + 1)
            setmetatable(_G, { __index = function() return 4 end })
            print(made_up)]]):format(module)) })
        assert.are.same({ "nil\n", 0 }, { lines_of "cache = nil\nprint(cache)" })
    end)

    it("is left to a program that checks its globals itself: errors have its own lines", function()
        local strict = [[
            setmetatable(_G, { __index = function(_, name) error("no " .. name, 2) end,
                __newindex = function(_, name) error("new " .. name, 2) end })
            print(pcall(function() return misspelt end))
            print(pcall(function() fresh = 1 end))]]
        assert.are.same({ "false\tFILE:3: no misspelt\nfalse\tFILE:4: new fresh\n", 0 }, { lines_of(strict) })
    end)
end)
