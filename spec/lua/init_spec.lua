--- The module `bertlua`: lazy modules and the short-hands for tensors.

local bl = require "bertlua"

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

    it("makes tensors in a few words", function()
        bl.tensor.scope(function()
            assert.are.same({ { 0, 0 } }, bl.zeros(1, 2):tolist())
            assert.are.same({ 1, 1 }, bl.ones { 2 }:tolist())
            assert.are.equal("bf16", bl.ones(2, 2, "bf16"):dtype_name())
            assert.are.same({ 1, 2 }, bl.from({ 1, 2 }, "i32"):tolist())
            bl.seed(5)
            local first, second = bl.randn(100):tolist(), bl.randn(100):tolist()
            bl.seed(5)
            assert.are.same(first, bl.randn(100):tolist())
            assert.are_not.same(first, second)
        end)
    end)
end)
