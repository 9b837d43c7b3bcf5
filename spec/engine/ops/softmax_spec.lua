local tensor = require "bertlua.tensor"
local ops = require "bertlua.ops"
local support = require "spec.support.ops"
local reference = require "spec.support.reference"

local scoped = support.scoped

describe("softmax", function()
    it("is softmax over the last dimension, also in place", scoped(function()
        support.each_dtype(function(dtype, tolerance)
            for _, dims in ipairs { { 1 }, { 1, 1 }, { 3, 7 }, { 2, 3, 33 }, { 2, 2, 1, 771 }, { 3, 5000 } } do
                local width = dims[#dims]
                local x, values = support.random(dtype, dims, 1, 6)
                local y = support.poisoned(dtype, dims)
                ops.softmax(y, x)
                local expected = {}
                for from = 1, #values, width do
                    local sum = reference.log_sum_exp(values, from, width)
                    for i = from, from + width - 1 do expected[i] = math.exp(values[i] - sum) end
                end
                support.assert_close(y, expected, tolerance + (dtype == "f16" and 2 ^ -11 or 0))
                ops.softmax(x, x)
                support.assert_same(x, y)
            end
        end)
    end))

    it("gives -inf a probability of 0", scoped(function()
        local y = support.poisoned("f32", { 3 })
        ops.softmax(y, tensor.from { -math.huge, 1, 1 })
        assert.are.same({ 0, 0.5, 0.5 }, y:tolist())
    end))
end)
