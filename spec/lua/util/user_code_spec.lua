--- Whose code is whose, and the user's part of a traceback.

local fs = require "bertlua.util.fs"
local user_code = require "bertlua.util.user_code"

describe("user code", function()
    it("is what is typed, and files outside bertlua's modules and installed libraries", function()
        assert.is_true(user_code.is_users "=stdin")
        assert.is_true(user_code.is_users "@/home/me/my_recipe.lua")
        assert.is_true(user_code.is_users "@recipes/pretrain.lua")
        assert.is_false(user_code.is_users "@lua/bertlua/recipe.lua")
        assert.is_false(user_code.is_users("@" .. require("bertlua.paths").root() .. "/bindings/bertlua/ops.lua"))
        assert.is_false(user_code.is_users "@/usr/share/lua/5.1/cjson/util.lua")
        assert.is_false(user_code.is_users "=[C]")
    end)

    it("is what a traceback of the user's frames names", function()
        local path = assert(fs.temporary_folder "bertlua-frames-") .. "/mine.lua"
        assert(fs.write(path, [[
            local function inner(n)
                if n > 0 then local r = inner(n - 1) return r end
                error "deep"
            end
            return { inner = inner, outer = function(n) local r = inner(n) return r end }]]))
        local mine = dofile(path)
        local typed = assert(loadstring("local f, n = ... local r = f(n) return r", "=stdin"))
        local function frames_of(...)
            return select(2, xpcall(typed, function() return user_code.frames(2) or "none" end, ...))
        end
        local short = path:match "[^/]+$"
        local list = frames_of(mine.outer, 0)
        assert.are.equal(3, #list)
        assert.matches(short .. ":3: in function 'inner'$", list[1])
        assert.matches(short .. ":5: in function 'f'$", list[2])
        assert.are.equal("stdin:1", list[3])
        -- A deep recursion is cut in the middle.
        list = frames_of(mine.outer, 100)
        assert.are.equal(11, #list)
        assert.are.equal("... 93 more", list[6])
        -- Where it says no more than the message does.
        assert.are.equal("none", frames_of(error, "x"))
        assert(fs.remove(fs.dirname(path)))
    end)

    it("is where a message is put that is found deep in bertlua", function()
        local function at_typed(message)
            local typed = assert(loadstring("local f, x = ... local r = f(x) return r", "=stdin"))
            return typed(function(x) local text = user_code.relocate(x, 2) return text end, message)
        end
        assert.are.equal("stdin:1: linear: w is", at_typed "lua/bertlua/autograd/functional.lua:48: linear: w is")
        for _, message in ipairs { "lua/bertlua/x.lua:1: attempt to index a nil value", "mine.lua:3: linear: x",
            "x" } do
            assert.are.equal(message, at_typed(message))
        end
    end)
end)
