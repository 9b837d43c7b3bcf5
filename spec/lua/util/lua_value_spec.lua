--- Functions and tables as values of settings: what identifies them, how they are shown, errors in them.

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local lua_value = require "bertlua.util.lua_value"

describe("a value given as Lua", function()
    local folder
    setup(function() folder = assert(fs.temporary_folder "lua_value_spec") end)
    teardown(function() assert(fs.remove(folder)) end)

    local function load(name, text)
        local path = folder .. "/" .. name
        assert(fs.write(path, text))
        return assert(loadfile(path))()
    end

    it("is identified by its source, wherever it stands", function()
        local first = load("a.lua", "return function(x)\n    return x + 1\nend\n")
        local moved = load("b.lua", "-- a comment\n\nreturn function(x)\n    return x + 1\nend\n")
        local other = load("c.lua", "return function(x)\n    return x + 2\nend\n")
        assert.matches("^function %x%x%x%x%x%x%x%x$", lua_value.identity(first))
        assert.are.equal(lua_value.identity(first), lua_value.identity(moved))
        assert.are_not.equal(lua_value.identity(first), lua_value.identity(other))
        assert.are.equal(folder .. "/b.lua:3", lua_value.shown(moved):match "^function at (.*)$")
    end)

    it("may be a table that holds itself, and keys of any kind", function()
        local class = { name = "Own", [1] = 2, [true] = 3 }
        class.__index = class
        local text = lua_value.identity { new = class, again = class }
        local own = '{ 2, __index = { itself }, name = "Own", true = 3 }'
        assert.are.equal(("{ again = %s, new = %s }"):format(own, own), text)
        assert.are.equal(text, lua_value.shown { new = class, again = class })
    end)

    it("is identified with the local functions that it calls", function()
        local text = "local tensor = require 'bertlua.tensor'\nlocal factor = 1\nlocal function helper(x)\n"
            .. "    return x and helper or x + 1\nend\nreturn function(x)\n    factor = factor + 1\n"
            .. "    return helper(tensor.is(x))\nend\n"
        local first, again = load("f.lua", text), load("g.lua", "\n" .. text)
        local identity = lua_value.identity(first)
        assert.are.equal(identity, lua_value.identity(again))
        assert.are_not.equal(identity, lua_value.identity(load("h.lua", (text:gsub("x %+ 1", "x + 2")))))
        -- Values that it changes are not part of it.
        pcall(first, 1)
        assert.are.equal(identity, lua_value.identity(first))
    end)

    it("that is a table shows its fields in order, functions among them", function()
        local fn = load("d.lua", "return function() end")
        assert.are.equal(("{ function at %s/d.lua:1, every = 2, name = \"x\" }"):format(folder),
            lua_value.shown { name = "x", every = 2, fn })
        assert.are.equal(lua_value.identity { a = 1, b = { 2, 3 } }, lua_value.identity { b = { 2, 3 }, a = 1 })
    end)

    it("is nothing that text, numbers and booleans are", function()
        for _, value in ipairs { "text", 5, true } do
            assert.are.equal(value, lua_value.identity(value))
            assert.are.equal(value, lua_value.shown(value))
        end
        local fn = function() end
        assert.are.same({ a = 1, b = lua_value.shown(fn) }, lua_value.flat({ a = 1, b = fn }, lua_value.shown))
    end)

    it("fails with the user's file and line, and the calls that led there", function()
        local fn = load("e.lua", "local function inner(t)\n    return t.x.y\nend\nreturn function(t)\n"
            .. "    local y = inner(t)\n    return y\nend\n")
        assert.are.equal(7, lua_value.call("on_step, step 3", fn, { x = { y = 7 } }))
        local good, problem = pcall(lua_value.call, "on_step, step 3", fn, {})
        assert.is_false(good)
        assert.is_true(fault.is(problem))
        local text = tostring(problem)
        assert.matches("^on_step, step 3: .*e%.lua:2: attempt to index field 'x' %(a nil value%); ", text)
        assert.matches("; called at .*e%.lua:5", text)
        assert.is_nil(text:find("lua_value.lua", 1, true))
        assert.is_nil(text:find("called at .-e%.lua:2"))
    end)

    it("fails with the function's own line where a tail call has removed the line of the mistake", function()
        local fn = load("t.lua", "local ops = require 'bertlua.ops'\nreturn function()\n"
            .. "    return ops.fill(7, 0)\nend\n")
        local _, problem = pcall(lua_value.guarded("loss", fn))
        assert.matches("; in the function at .*t%.lua:2$", tostring(problem))
        fn = load("t.lua", "return function()\n    return io.lines '/no/such'\nend\n")
        _, problem = pcall(lua_value.guarded("data, epoch 1", fn))
        assert.matches("^data, epoch 1: .*/no/such: No such file or directory%); in the function at .*t%.lua:1$",
            tostring(problem))
    end)

    it("fails with a line of text whatever error() was given", function()
        for argument, text in pairs { ["{}"] = "an error that is a table", [""] = "an error without a message",
            ["print"] = "an error that is a function" } do
            local _, problem = pcall(lua_value.guarded("on_step", load("v.lua", ("return function()\n    error(%s)\n"
                .. "end\n"):format(argument))))
            assert.is_true(fault.is(problem), argument)
            assert.matches("^on_step: " .. text .. "; called at .*v%.lua:2$", tostring(problem))
        end
    end)

    it("fails with the user's line where bertlua's own code found the mistake", function()
        local fn = load("e.lua", "local ops = require 'bertlua.ops'\nreturn function()\n    ops.fill(7, 0)\nend\n")
        local guarded = lua_value.guarded("loss", fn)
        local _, problem = pcall(guarded)
        assert.matches("^loss: .*e%.lua:3", tostring(problem))
        assert.is_nil(tostring(problem):find("called at .-bertlua/ops"))
        assert.is_true(lua_value.is_own(debug.getinfo(lua_value.flat, "S").source))
        assert.is_false(lua_value.is_own(debug.getinfo(fn, "S").source))
    end)

    it("passes faults on as they are", function()
        local good, problem = pcall(lua_value.call, "on_step", function() fault.raise("stop here", 7) end)
        assert.is_false(good)
        assert.are.equal("stop here", tostring(problem))
        assert.are.equal(7, problem.code)
    end)
end)
