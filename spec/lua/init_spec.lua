--- The module `bertlua`: lazy modules and the short-hands for tensors.

local bl = require "bertlua"
local process = require "spec.support.process"

describe("bertlua", function()
    it("loads modules when they are used", function()
        assert.are.equal(require "bertlua.ops", bl.ops)
        assert.are.equal(require "bertlua.nn", bl.nn)
        assert.are.equal(require "bertlua.train.optimizer", bl.train.optimizer)
        assert.are.equal(require "bertlua.autograd.tape", bl.autograd.tape)
        assert.is_nil(bl.no_such_module)
        assert.is_nil(bl.train.no_such_module)
    end)

    it("lists only modules that are there", function()
        for _, name in ipairs(getmetatable(bl).__names) do
            local value = bl[name]
            assert.is_truthy(value, name)
            local meta = type(value) == "table" and getmetatable(value)
            for _, inner in ipairs(meta and meta.__names or {}) do
                assert.is_truthy(value[inner], name .. "." .. inner)
            end
        end
    end)

    it("loads nothing of the engine before it is used", function()
        local output = process.run("LUA_PATH='lua/?.lua;lua/?/init.lua;bindings/?.lua;;' luajit -e '"
            .. "require \"bertlua\" print(package.loaded[\"bertlua.ffi\"])'")
        assert.are.equal("nil\n", output)
    end)
end)
