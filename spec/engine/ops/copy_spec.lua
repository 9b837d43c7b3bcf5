local tensor = require "bertlua.tensor"
local ops = require "bertlua.ops"
local support = require "spec.support.ops"

local scoped = support.scoped

describe("copy", function()
    it("converts between every two dtypes", scoped(function()
        local dtypes = { "f32", "bf16", "f16", "i32", "i64", "i8" }
        local values = { 0, 1, -1, 5, -128, 127 }
        for _, from in ipairs(dtypes) do
            for _, to in ipairs(dtypes) do
                local t = support.poisoned(to, { 2, 3 }):copy_from(tensor.from(values, from):view(2, 3))
                assert.are.same({ { 0, 1, -1 }, { 5, -128, 127 } }, t:tolist())
            end
        end
    end))

    it("truncates to integers and stays in their range", scoped(function()
        local x = tensor.from { 1.9, -1.9, 1e10, -1e10, 0 / 0, math.huge }
        assert.are.same({ 1, -1, 127, -128, 0, 127 }, tensor.new("i8", { 6 }):copy_from(x):tolist())
        assert.are.same({ 1, -1, 2 ^ 31 - 1, -2 ^ 31, 0, 2 ^ 31 - 1 }, tensor.new("i32", { 6 }):copy_from(x):tolist())
    end))

    it("follows strides on both sides", scoped(function()
        local x, values = support.random("f32", { 2, 3, 5 }, 1)
        local y = support.poisoned("f32", { 5, 3, 2 })
        y:copy_from(x:transpose(1, 3))
        local got = y:tolist()
        for a = 1, 2 do
            for b = 1, 3 do
                for c = 1, 5 do assert.are.equal(values[((a - 1) * 3 + b - 1) * 5 + c], got[c][b][a]) end
            end
        end
        local z = tensor.new("bf16", { 4, 6 }):fill(7)
        z:slice(2, 2, 3):slice(1, 2, 3):copy_from(tensor.from { { 1, 2 }, { 3, 4 } })
        assert.are.same({
            { 7, 7, 7, 7, 7, 7 }, { 7, 1, 2, 7, 7, 7 }, { 7, 3, 4, 7, 7, 7 }, { 7, 7, 7, 7, 7, 7 },
        }, z:tolist())
    end))

    it("covers more elements than one thread's share", scoped(function()
        local x, values = support.random("f32", { 100003 }, 1)
        local y = support.poisoned("f32", { 100003 }):copy_from(x)
        support.assert_close(y, values, 0)
    end))

    it("names the shapes that differ", scoped(function()
        local y = support.poisoned("f32", { 3, 2 })
        support.assert_rejects("copy: dst is f32 [3,2], expected", { y }, function()
            ops.copy(y, tensor.new("f32", { 2, 3 }))
        end)
    end))
end)
