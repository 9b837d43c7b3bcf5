local context = require "bertlua.context"
local ops = require "bertlua.ops"
local products = require "spec.support.reference_products"
local reference = require "spec.support.reference"
local support = require "spec.support.ops"
local tensor = require "bertlua.tensor"

local scoped = support.scoped

-- Operands as views: how a tensor of the dims is made, so that the same values lie differently in memory.
local LAYOUTS = {
    plain = function(dtype, dims, seed) return support.random(dtype, dims, seed) end,
    -- The last two dimensions swapped.
    transposed = function(dtype, dims, seed)
        local n, swapped = #dims, { unpack(dims) }
        swapped[n - 1], swapped[n] = dims[n], dims[n - 1]
        local t = support.random(dtype, swapped, seed):transpose(n - 1, n)
        return t, support.flat(tensor.new(dtype, dims):copy_from(t))
    end,
    -- A part of something larger: rows and matrices have gaps.
    part = function(dtype, dims, seed)
        local n, larger = #dims, { unpack(dims) }
        larger[n - 1], larger[n] = dims[n - 1] + 2, dims[n] + 3
        local t = support.random(dtype, larger, seed):slice(n, 2, dims[n] + 1):slice(n - 1, 2, dims[n - 1] + 1)
        return t, support.flat(tensor.new(dtype, dims):copy_from(t))
    end,
    -- Heads side by side in the columns of rows, as in attention: [B,A,S,D] of [B,S,A,D]; as it lies for fewer.
    heads = function(dtype, dims, seed)
        if #dims < 4 then return support.random(dtype, dims, seed) end
        local t = support.random(dtype, { dims[1], dims[3], dims[2], dims[4] }, seed):transpose(2, 3)
        return t, support.flat(tensor.new(dtype, dims):copy_from(t))
    end,
}

-- One element, vectors, odd sizes, one and two batch dimensions, each of them repeated for one side.
local SHAPES = {
    { { 1, 1 }, { 1, 1 } }, { { 1, 7 }, { 7, 1 } }, { { 7, 1 }, { 1, 5 } }, { { 5, 33 }, { 33, 17 } },
    { { 3, 5, 7 }, { 3, 7, 9 } }, { { 3, 5, 7 }, { 7, 9 } }, { { 5, 7 }, { 3, 7, 9 } }, { { 3, 1, 7 }, { 1, 7, 9 } },
    { { 2, 3, 4, 5 }, { 2, 3, 5, 6 } }, { { 2, 3, 4, 5 }, { 2, 1, 5, 6 } }, { { 1, 3, 4, 5 }, { 2, 3, 5, 6 } },
    { { 2, 1, 4, 5 }, { 1, 3, 5, 6 } }, { { 2, 3, 4, 5 }, { 5, 6 } }, { { 2, 3, 4, 5 }, { 3, 5, 6 } },
    { { 2, 1, 4, 5 }, { 2, 1, 5, 1 } }, { { 1, 2, 3, 4 }, { 3, 1, 4, 2 } },
}

-- bf16 is rounded once and summed in f32; a CPU that multiplies in another order is within this.
local function tolerance_of(dtype) return support.ROUNDING[dtype] * 1.1 + 2e-5 end

describe("matmul", function()
    it("multiplies matrices and batches, whichever way they lie, and repeats what is 1 or absent", scoped(function()
        support.each_dtype(function(dtype)
            for _, shape in ipairs(SHAPES) do
                for a_layout, make_a in pairs(LAYOUTS) do
                    for b_layout, make_b in pairs(LAYOUTS) do
                        tensor.scope(function()
                            local a, a_values = make_a(dtype, shape[1], 1)
                            local b, b_values = make_b(dtype, shape[2], 2)
                            local expected, dims = products.matmul(a_values, shape[1], b_values, shape[2])
                            local y = support.poisoned(dtype, dims)
                            ops.matmul(y, a, b)
                            support.assert_close(y, expected, tolerance_of(dtype),
                                ("%s x %s"):format(a_layout, b_layout))
                        end)
                    end
                end
            end
        end)
    end))

    it("adds to y, and rounds the sum once", scoped(function()
        support.each_dtype(function(dtype)
            for _, shape in ipairs { { { 5, 33 }, { 33, 17 } }, { { 2, 3, 4, 5 }, { 2, 1, 5, 6 } } } do
                local a, a_values = support.random(dtype, shape[1], 1)
                local b, b_values = support.random(dtype, shape[2], 2)
                local expected, dims = products.matmul(a_values, shape[1], b_values, shape[2])
                local y, before = support.random(dtype, dims, 3)
                ops.matmul(y, a, b, true)
                support.assert_close(y, reference.map(expected, function(v, i) return v + before[i] end),
                    tolerance_of(dtype))
            end
        end)
    end))

    it("gives an f32 result of any operands, also accumulated", scoped(function()
        support.each_dtype(function(dtype)
            for _, shape in ipairs { { { 5, 33 }, { 33, 17 } }, { { 3, 5, 7 }, { 3, 7, 9 } } } do
                local a, a_values = support.random(dtype, shape[1], 1)
                local b, b_values = support.random(dtype, shape[2], 2)
                local expected, dims = products.matmul(a_values, shape[1], b_values, shape[2])
                local y = support.poisoned("f32", dims)
                ops.matmul(y, a, b)
                support.assert_close(y, expected, 2e-5)
                ops.matmul(y, a, b, true)
                support.assert_close(y, reference.map(expected, function(v) return 2 * v end), 2e-5, "accumulated")
            end
        end)
    end))

    it("gives 0 where no terms are summed, and does nothing to an empty result", scoped(function()
        local y = support.poisoned("f32", { 2, 3 })
        ops.matmul(y, tensor.new("f32", { 2, 0 }), tensor.new("f32", { 0, 3 }))
        assert.are.same({ { 0, 0, 0 }, { 0, 0, 0 } }, y:tolist())
        y:fill(4)
        ops.matmul(y, tensor.new("f32", { 2, 0 }), tensor.new("f32", { 0, 3 }), true)
        assert.are.same({ { 4, 4, 4 }, { 4, 4, 4 } }, y:tolist())
        ops.matmul(tensor.new("f32", { 0, 3 }), tensor.new("f32", { 0, 5 }), tensor.new("f32", { 5, 3 }))
    end))

    it("gives the bits of a single product in a batch of equal ones", scoped(function()
        if context.device() ~= "cpu" then return end -- another algorithm may be suggested for a batch
        -- Several threads may divide the batch in the midst of a matrix.
        context.open { threads = 1 }
        local a, b = support.random("f32", { 1, 40, 48 }, 1), support.random("f32", { 1, 48, 24 }, 2)
        local many_a, many_b = tensor.new("f32", { 3, 40, 48 }), tensor.new("f32", { 3, 48, 24 })
        for i = 1, 3 do
            many_a:slice(1, i, i):copy_from(a)
            many_b:slice(1, i, i):copy_from(b)
        end
        local y = support.poisoned("f32", { 3, 40, 24 })
        ops.matmul(y, many_a, many_b)
        context.open {}
        for i = 2, 3 do support.assert_same(y:select(i), y:select(1)) end
    end))

    it("names op, argument, got and expected, and leaves y alone", scoped(function()
        local y = support.poisoned("f32", { 2, 4 })
        local a, b = tensor.new("f32", { 2, 3 }), tensor.new("f32", { 3, 4 })
        local function rejects(message, ...)
            local arguments, n = { ... }, select("#", ...)
            support.assert_rejects(message, { y }, function() ops.matmul(unpack(arguments, 1, n)) end)
        end
        rejects("matmul: a is f32 [2,3], b is f32 [4,3]: a has 3 columns and b 4 rows, expected the same; transpose "
            .. "one", y, a, tensor.new("f32", { 4, 3 }))
        rejects("matmul: b is bf16 [3,4], expected f32 of any shape", y, a, tensor.new("bf16", { 3, 4 }))
        rejects("matmul: a is i32 [2,3], expected f32, bf16 or f16 of any shape", y, tensor.new("i32", { 2, 3 }), b)
        rejects("matmul: b is f32 [3], expected 2 to 4 dimensions", y, a, tensor.new("f32", { 3 }))
        rejects("matmul: y is f32 [2,4], expected f32 [2,3]", y, a, tensor.new("f32", { 3, 3 }))
        rejects("matmul: y is f32 [2,4], expected f32 [5,2,4]", y, tensor.new("f32", { 5, 2, 3 }), b)
        rejects("matmul: a is f32 [2,2,3], b is f32 [3,3,4]: expected equal sizes, or 1, before the last two", y,
            tensor.new("f32", { 2, 2, 3 }), tensor.new("f32", { 3, 3, 4 }))
        rejects("matmul: a is f32 [2,3] with strides [4,8] in the last two dimensions, expected one of them 1; copy "
            .. "it first", y, tensor.new("f32", { 3, 2, 4 }):transpose(1, 3):select(1), b)
        local square = support.poisoned("f32", { 3, 3 })
        support.assert_rejects("matmul: y is memory of a, expected memory of its own", { square }, function()
            ops.matmul(square, square, tensor.new("f32", { 3, 3 }))
        end)
        local long = support.poisoned("f32", { 5, 3 })
        support.assert_rejects("matmul: y is memory of b, expected memory of its own", { long }, function()
            ops.matmul(long:slice(1, 3, 5), tensor.new("f32", { 3, 3 }), long:slice(1, 1, 3))
        end)
        ops.matmul(long:slice(1, 4, 5), tensor.new("f32", { 2, 3 }), long:slice(1, 1, 3))
    end))
end)
