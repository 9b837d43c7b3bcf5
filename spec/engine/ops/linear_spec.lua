--- Linear layers against float64, forward and backward, in every dtype and odd shapes.

local dense = require "spec.support.dense"
local reference = require "spec.support.reference_linear"
local ops = require "bertlua.ops"
local rng = require "bertlua.rng"
local tensor = require "bertlua.tensor"

-- T, K, N: single rows and columns, heads with two outputs, odd sizes, some larger than any block; the last ones with
-- rows that vectors divide.
local SHAPES = { { 1, 1, 1 }, { 1, 8, 2 }, { 3, 5, 7 }, { 17, 33, 1 }, { 5, 1, 9 }, { 37, 48, 65 }, { 2, 16, 530 },
    { 3, 1100, 5 }, { 150, 12, 264 }, { 9, 16, 32 } }

local function tolerance(dtype, depth)
    return dtype == "f32" and 2e-6 * math.sqrt(depth + 1) or 3 * dense.EPSILON[dtype]
end

local function is_gelu(activation)
    return activation == "gelu" or activation == "gelu_tanh"
end

local function case(random, dtype, shape, with_bias)
    local rows, inputs, outputs = unpack(shape)
    local c = {}
    c.x, c.x_list = dense.random(random, dtype, { rows, inputs })
    c.w, c.w_list = dense.random(random, dtype, { outputs, inputs }, 1 / math.sqrt(inputs))
    if with_bias then c.bias, c.bias_list = dense.random(random, "f32", { outputs }) end
    return c
end

describe("linear", function()
    for _, dtype in ipairs { "f32", "bf16", "f16" } do
        for _, activation in ipairs { "none", "gelu", "gelu_tanh", "tanh" } do
            it(("computes f(x w^T + bias) in %s, activation %s"):format(dtype, activation), function()
                local random = rng.new(11)
                for index, shape in ipairs(SHAPES) do
                    tensor.scope(function()
                        local c = case(random, dtype, shape, index % 2 == 1)
                        local dims = { shape[1], shape[3] }
                        local y, pre = dense.poisoned(dtype, dims), nil
                        if is_gelu(activation) then pre = dense.poisoned(dtype, dims) end
                        ops.linear_forward(y, pre, c.x, c.w, c.bias, activation)
                        local y_list, pre_list = reference.forward(c.x_list, c.w_list, c.bias_list, activation)
                        dense.assert_close(y_list, y, tolerance(dtype, shape[2]), "y")
                        if pre then dense.assert_close(pre_list, pre, tolerance(dtype, shape[2]), "pre") end
                    end)
                end
            end)

            it(("differentiates in %s, activation %s"):format(dtype, activation), function()
                local random = rng.new(12)
                for _, shape in ipairs(SHAPES) do
                    tensor.scope(function()
                        local c = case(random, dtype, shape, true)
                        local rows, inputs, outputs = unpack(shape)
                        local dy, dy_list = dense.random(random, dtype, { rows, outputs })
                        local saved
                        local y, pre = tensor.new(dtype, { rows, outputs }), tensor.new(dtype, { rows, outputs })
                        ops.linear_forward(y, is_gelu(activation) and pre or nil, c.x, c.w, c.bias, activation)
                        local _, pre_list = reference.forward(c.x_list, c.w_list, c.bias_list)
                        -- The saved value counts, as the dtype holds it: that is the op's input.
                        if is_gelu(activation) then saved, pre_list = pre, pre:tolist() end
                        if activation == "tanh" then saved = y end

                        local dx = dense.poisoned(dtype, { rows, inputs })
                        local dw = tensor.new("f32", { outputs, inputs }):fill(0.5)
                        local dbias = tensor.new("f32", { outputs }):fill(-2)
                        ops.linear_backward(dx, dw, dbias, dy, c.x, c.w, saved, activation)
                        local dx_list, dw_list, dbias_list =
                            reference.backward(dy_list, c.x_list, c.w_list, pre_list, activation)
                        -- Parameter gradients are added to what was there.
                        for n = 1, outputs do
                            dbias_list[n] = dbias_list[n] - 2
                            for k = 1, inputs do dw_list[n][k] = dw_list[n][k] + 0.5 end
                        end
                        local limit = 4 * tolerance(dtype, math.max(rows, outputs))
                        dense.assert_close(dx_list, dx, limit, "dx")
                        dense.assert_close(dw_list, dw, limit, "dw")
                        dense.assert_close(dbias_list, dbias, limit, "dbias")
                    end)
                end
            end)
        end

        it("writes f32 results of " .. dtype .. " operands, and takes f32 gradients back", function()
            for _, outputs in ipairs { 10, 16 } do
                tensor.scope(function()
                    local random = rng.new(13)
                    local c = case(random, dtype, { 6, 20, outputs }, true)
                    local y = dense.poisoned("f32", { 6, outputs })
                    ops.linear_forward(y, nil, c.x, c.w, c.bias, "none")
                    local y_list, pre_list = reference.forward(c.x_list, c.w_list, c.bias_list)
                    -- Only sums are rounded here, so the result must be far more accurate than the dtype.
                    dense.assert_close(y_list, y, 1e-5, "y")
                    local dy, dy_list = dense.random(random, "f32", { 6, outputs })
                    local dx, dw = dense.poisoned(dtype, { 6, 20 }), tensor.new("f32", { outputs, 20 })
                    local dbias = tensor.new("f32", { outputs })
                    ops.linear_backward(dx, dw, dbias, dy, c.x, c.w, nil, "none")
                    local dx_list, dw_list, dbias_list = reference.backward(dy_list, c.x_list, c.w_list, pre_list)
                    dense.assert_close(dx_list, dx, tolerance(dtype, 20), "dx")
                    dense.assert_close(dw_list, dw, tolerance(dtype, 20), "dw")
                    dense.assert_close(dbias_list, dbias, 1e-5, "dbias")
                    assert.are.same(dy_list, dy:tolist())
                end)
            end
        end)

        it("writes " .. dtype .. " results between other columns", function()
            -- Sizes that vectors divide and that they do not; one row, which may have any stride.
            for _, shape in ipairs { { 7, 12, 5 }, { 16, 32, 24 }, { 1, 12, 6 } } do
                for _, with_bias in ipairs { true, false } do
                    tensor.scope(function()
                        local random = rng.new(23)
                        local c = case(random, dtype, shape, with_bias)
                        local rows, outputs = shape[1], shape[3]
                        local wide = tensor.new(dtype, { rows, 3 * outputs }):fill(7)
                        ops.linear_forward(wide:slice(2, outputs + 1, 2 * outputs), nil, c.x, c.w, c.bias, "none")
                        local got, middle = wide:tolist(), {}
                        for i, row in ipairs(got) do
                            middle[i] = {}
                            for k = 1, outputs do
                                middle[i][k] = row[outputs + k]
                                assert.are.same({ 7, 7 }, { row[k], row[2 * outputs + k] })
                            end
                        end
                        local expected = reference.forward(c.x_list, c.w_list, c.bias_list)
                        dense.assert_close(expected, tensor.from(middle), tolerance(dtype, shape[2]), "y")
                    end)
                end
            end
        end)

        it("applies GELU and tanh to f32 results of " .. dtype .. " operands, and back", function()
            for _, activation in ipairs { "gelu", "gelu_tanh", "tanh" } do
                tensor.scope(function()
                    local random = rng.new(19)
                    local c = case(random, dtype, { 6, 20, 16 }, true)
                    local y = dense.poisoned("f32", { 6, 16 })
                    local pre = is_gelu(activation) and dense.poisoned(dtype, { 6, 16 }) or nil
                    ops.linear_forward(y, pre, c.x, c.w, c.bias, activation)
                    local y_list, pre_list = reference.forward(c.x_list, c.w_list, c.bias_list, activation)
                    dense.assert_close(y_list, y, tolerance(dtype, 20), "y")
                    if pre then pre_list = pre:tolist() end
                    local dy, dy_list = dense.random(random, "f32", { 6, 16 })
                    local dx, dw = dense.poisoned(dtype, { 6, 20 }), tensor.new("f32", { 16, 20 })
                    local dbias = tensor.new("f32", { 16 })
                    ops.linear_backward(dx, dw, dbias, dy, c.x, c.w, pre or y, activation)
                    local dx_list, dw_list, dbias_list =
                        reference.backward(dy_list, c.x_list, c.w_list, pre_list, activation)
                    dense.assert_close(dx_list, dx, 4 * tolerance(dtype, 20), "dx")
                    dense.assert_close(dw_list, dw, 4 * tolerance(dtype, 20), "dw")
                    dense.assert_close(dbias_list, dbias, 4 * tolerance(dtype, 20), "dbias")
                end)
            end
        end)

        it("adds a " .. dtype .. " bias like the same numbers in f32", function()
            tensor.scope(function()
                local random = rng.new(18)
                for _, shape in ipairs { { 6, 20, 16 }, { 5, 9, 7 } } do
                    local c = case(random, dtype, shape)
                    local bias = dense.random(random, dtype, { shape[3] })
                    local wide = tensor.new("f32", { shape[3] }):copy_from(bias)
                    for _, result in ipairs { dtype, "f32" } do
                        local y = dense.poisoned(result, { shape[1], shape[3] })
                        ops.linear_forward(y, nil, c.x, c.w, bias, "none")
                        local expected = y:tolist()
                        y:fill(0 / 0)
                        ops.linear_forward(y, nil, c.x, c.w, wide, "none")
                        assert.are.same(expected, y:tolist())
                        assert.is_true(expected[1][1] == expected[1][1])
                    end
                end
            end)
        end)

        it("reads every third row of a larger " .. dtype .. " matrix", function()
            tensor.scope(function()
                local random = rng.new(14)
                local all, list = dense.random(random, dtype, { 4, 3 * 6 })
                local x, x_list = all:slice(2, 1, 6), {}
                for t = 1, 4 do x_list[t] = { unpack(list[t], 1, 6) } end
                local w, w_list = dense.random(random, dtype, { 5, 6 })
                local y = dense.poisoned(dtype, { 4, 5 })
                ops.linear_forward(y, nil, x, w, nil, "none")
                local y_list, pre_list = reference.forward(x_list, w_list)
                dense.assert_close(y_list, y, tolerance(dtype, 6), "y")
                local dy, dy_list = dense.random(random, dtype, { 4, 5 })
                local dw = tensor.new("f32", { 5, 6 })
                ops.linear_backward(nil, dw, nil, dy, x, w, nil, "none")
                local _, dw_list = reference.backward(dy_list, x_list, w_list, pre_list)
                dense.assert_close(dw_list, dw, tolerance(dtype, 6), "dw")
            end)
        end)
    end

    for _, activation in ipairs { "none", "gelu", "gelu_tanh", "tanh" } do
        it("computes each gradient alone, as where the others' parameters are frozen, " .. activation, function()
            for _, dtype in ipairs { "f32", "bf16" } do
                tensor.scope(function()
                    local c = case(rng.new(16), dtype, { 40, 24, 32 }, true)
                    local saved = dense.random(rng.new(17), dtype, { 40, 32 })
                    local first = dense.random(rng.new(18), dtype, { 40, 32 })
                    local function backward(wanted)
                        local dy = tensor.new(dtype, { 40, 32 }):copy_from(first)
                        local out = { wanted[1] and dense.poisoned(dtype, { 40, 24 }) or nil,
                            wanted[2] and tensor.new("f32", { 32, 24 }) or nil,
                            wanted[3] and tensor.new("f32", { 32 }) or nil }
                        ops.linear_backward(out[1], out[2], out[3], dy, c.x, c.w, activation ~= "none" and saved or nil,
                            activation)
                        return out
                    end
                    local whole = backward { true, true, true }
                    for i = 1, 3 do
                        local alone = backward { i == 1, i == 2, i == 3 }
                        assert.are.same(whole[i]:tolist(), alone[i]:tolist())
                    end
                end)
            end
        end)
    end

    for _, dtype in ipairs { "f32", "bf16", "f16" } do
        it("takes the sums of dy instead of computing them, in " .. dtype, function()
            local random = rng.new(29)
            for _, shape in ipairs { { 3, 5, 7 }, { 37, 16, 64 } } do
                tensor.scope(function()
                    local c = case(random, dtype, shape)
                    local rows, inputs, outputs = unpack(shape)
                    local dy = dense.random(random, dtype, { rows, outputs })
                    -- Not what they are, so that the spec sees where dbias is from.
                    local sums, sums_list = dense.random(random, "f32", { outputs })
                    local dw, dbias = tensor.new("f32", { outputs, inputs }), dense.poisoned("f32", { outputs })
                    ops.linear_backward(nil, dw, dbias, dy, c.x, c.w, nil, "none", true, sums)
                    assert.are.same(sums_list, dbias:tolist())
                    ops.linear_backward(nil, nil, dbias, dy, c.x, c.w, nil, "none", false, sums)
                    for i = 1, outputs do sums_list[i] = 2 * sums_list[i] end
                    assert.are.same(sums_list, dbias:tolist())
                end)
            end
        end)

        it("adds to a gradient that x has, in " .. dtype, function()
            local random = rng.new(31)
            for _, shape in ipairs(SHAPES) do
                for _, dy_dtype in ipairs(dtype == "f32" and { "f32" } or { dtype, "f32" }) do
                    tensor.scope(function()
                        local c = case(random, dtype, shape)
                        local rows, inputs, outputs = unpack(shape)
                        local dy, dy_list = dense.random(random, dy_dtype, { rows, outputs })
                        local dx, before = dense.random(random, dtype, { rows, inputs })
                        ops.linear_backward(dx, nil, nil, dy, c.x, c.w, nil, "none", false, nil, nil, nil, true)
                        local list = reference.backward(dy_list, c.x_list, c.w_list, dy_list, "none")
                        for t = 1, rows do
                            for k = 1, inputs do list[t][k] = list[t][k] + before[t][k] end
                        end
                        dense.assert_close(list, dx, 4 * tolerance(dtype, outputs), "dx")
                    end)
                end
            end
        end)

        it("goes on to what GELU in its tanh form was applied to, in " .. dtype, function()
            local random = rng.new(30)
            for _, shape in ipairs(SHAPES) do
                tensor.scope(function()
                    local c = case(random, dtype, shape)
                    local rows, inputs, outputs = unpack(shape)
                    local dy, dy_list = dense.random(random, dtype, { rows, outputs })
                    local pre, pre_list = dense.random(random, dtype, { rows, inputs }, 1.5)
                    local function backward(x_pre, with_sums)
                        local dx = dense.poisoned(dtype, { rows, inputs })
                        local sums = with_sums and dense.poisoned("f32", { inputs }) or nil
                        local copy = tensor.new(dtype, { rows, outputs }):copy_from(dy)
                        ops.linear_backward(dx, nil, nil, copy, c.x, c.w, nil, "none", false, nil, x_pre, sums)
                        return dx, sums
                    end
                    local dx_list = reference.backward(dy_list, c.x_list, c.w_list, dy_list, "none")
                    local function check(x_pre, list, what)
                        local dx, sums = backward(x_pre, true)
                        local total = {}
                        for t = 1, rows do
                            for k = 1, inputs do total[k] = (total[k] or 0) + list[t][k] end
                        end
                        local limit = 4 * tolerance(dtype, outputs)
                        dense.assert_close(list, dx, limit, what)
                        dense.assert_close(total, sums, limit, what .. "'s sums")
                        local alone = backward(x_pre, false)
                        dense.assert_close(list, alone, limit, what .. " without sums")
                    end
                    check(nil, dx_list, "dx")
                    check(pre, reference.through(dx_list, pre_list, "gelu_tanh"), "the gradient by x_pre")
                end)
            end
        end)
    end

    it("gives the same inference result as training with GELU", function()
        tensor.scope(function()
            local c = case(rng.new(15), "bf16", { 9, 24, 40 }, true)
            local train, pre = tensor.new("bf16", { 9, 40 }), tensor.new("bf16", { 9, 40 })
            local infer = tensor.new("bf16", { 9, 40 })
            ops.linear_forward(train, pre, c.x, c.w, c.bias, "gelu")
            ops.linear_forward(infer, nil, c.x, c.w, c.bias, "gelu")
            assert.are.same(train:tolist(), infer:tolist())
        end)
    end)

    it("repeats bit for bit", function()
        tensor.scope(function()
            local c = case(rng.new(16), "f32", { 50, 300, 200 }, true)
            local dy = dense.random(rng.new(17), "f32", { 50, 200 })
            local function run()
                local y, dx = tensor.new("f32", { 50, 200 }), tensor.new("f32", { 50, 300 })
                local dw, dbias = tensor.new("f32", { 200, 300 }), tensor.new("f32", { 200 })
                ops.linear_forward(y, nil, c.x, c.w, c.bias, "none")
                ops.linear_backward(dx, dw, dbias, dy, c.x, c.w, nil, "none")
                return { y:tolist(), dx:tolist(), dw:tolist(), dbias:tolist() }
            end
            assert.are.same(run(), run())
        end)
    end)

    it("takes no rows at all", function()
        tensor.scope(function()
            local x, w, y = tensor.new("f32", { 0, 4 }), tensor.new("f32", { 3, 4 }), tensor.new("f32", { 0, 3 })
            local dw = tensor.new("f32", { 3, 4 }):fill(7)
            ops.linear_forward(y, nil, x, w, nil, "none")
            ops.linear_backward(tensor.new("f32", { 0, 4 }), dw, nil, y, x, w, nil, "none")
            assert.are.equal(7, dw:tolist()[3][4])
            local dbias = dense.poisoned("f32", { 3 })
            local sums = dense.poisoned("f32", { 4 })
            ops.linear_backward(tensor.new("f32", { 0, 4 }), dw, dbias, y, x, w, nil, "none", true, nil, nil, sums)
            assert.are.same({ 0, 0, 0 }, dbias:tolist())
            assert.are.same({ 0, 0, 0, 0 }, sums:tolist())
            assert.are.same({ 0, 0, 0, 0 }, dw:tolist()[3])
        end)
    end)

    it("writes gradients, whatever was there, with the bits that adding to zeros gives", function()
        for _, dtype in ipairs { "f32", "bf16", "f16" } do
            for _, activation in ipairs { "none", "gelu_tanh" } do
                local random = rng.new(23)
                for _, shape in ipairs(SHAPES) do
                    tensor.scope(function()
                        local rows, inputs, outputs = unpack(shape)
                        local c = case(random, dtype, shape)
                        local first = dense.random(random, dtype, { rows, outputs })
                        local saved = activation ~= "none" and dense.random(random, dtype, { rows, outputs }) or nil
                        local function backward(dw, dbias, fresh)
                            local dy = tensor.new(dtype, { rows, outputs }):copy_from(first)
                            ops.linear_backward(nil, dw, dbias, dy, c.x, c.w, saved, activation, fresh)
                            return { dw:tolist(), dbias:tolist() }
                        end
                        local added = backward(tensor.new("f32", { outputs, inputs }), tensor.new("f32", { outputs }))
                        assert.are.same(added, backward(dense.poisoned("f32", { outputs, inputs }),
                            dense.poisoned("f32", { outputs }), true))
                    end)
                end
            end
        end
    end)

    it("names what does not fit and leaves outputs alone", function()
        tensor.scope(function()
            local function new(dtype, ...) return tensor.new(dtype, { ... }) end
            local x, w, y = new("f32", 2, 8), new("f32", 3, 8), dense.poisoned("f32", { 2, 3 })
            local fails = dense.assert_fails
            fails("linear: w is f32 [4,5], expected f32 [N,8]", ops.linear_forward, y, nil, x, new("f32", 4, 5))
            fails("linear: w is bf16 [3,8], expected f32 [N,8]", ops.linear_forward, y, nil, x, new("bf16", 3, 8))
            fails("linear: y is f32 [2,4], expected f32 [2,3]", ops.linear_forward, new("f32", 2, 4), nil, x, w)
            fails("linear: bias is f32 [2], expected f32 [3]", ops.linear_forward, y, nil, x, w, new("f32", 2))
            fails("linear: x is i32 [2,8]", ops.linear_forward, y, nil, new("i32", 2, 8), w)
            fails("linear: pre is given", ops.linear_forward, y, new("f32", 2, 3), x, w, nil, "tanh")
            fails("expected [8 or more,1]", ops.linear_forward, y, nil, new("f32", 8, 2):transpose(1, 2), w)
            local between = new("f32", 2, 9):slice(2, 4, 6)
            fails("linear: y is f32 [2,3] with strides [1,2], expected [3 or more,1]", ops.linear_forward,
                new("f32", 3, 2):transpose(1, 2), nil, x, w)
            fails("linear: y is f32 [2,3] with strides [9,1], expected contiguous", ops.linear_forward, between, nil, x,
                w, nil, "gelu")
            fails("at least one row and one column", ops.linear_forward, y, nil, x, new("f32", 0, 8))
            fails("linear backward: saved", ops.linear_backward, nil, nil, nil, y, x, w, nil, "gelu")
            fails("linear backward: saved is given", ops.linear_backward, nil, nil, nil, y, x, w, y, "none")
            fails("linear backward: dy_sums is given, expected NULL with an activation", ops.linear_backward, nil, nil,
                nil, y, x, w, y, "gelu", false, new("f32", 3))
            fails("linear backward: x_pre is given without dx", ops.linear_backward, nil, nil, nil, y, x, w, nil,
                "none", false, nil, x)
            fails("linear backward: add_to_dx is true without dx, expected false", ops.linear_backward, nil, nil, nil,
                y, x, w, nil, "none", false, nil, nil, nil, true)
            fails("linear backward: add_to_dx is true with dx_sums, expected false", ops.linear_backward,
                new("f32", 2, 8), nil, nil, y, x, w, nil, "none", false, nil, nil, new("f32", 8), true)
            fails("linear backward: dx_sums is f32 [3], expected f32 [8]", ops.linear_backward, new("f32", 2, 8), nil,
                nil, y, x, w, nil, "none", false, nil, nil, new("f32", 3))
            fails("linear backward: dw is bf16 [3,8], expected f32 [3,8]", ops.linear_backward, nil,
                new("bf16", 3, 8), nil, y, x, w, nil, "none")
            for _, row in ipairs(y:tolist()) do
                for _, value in ipairs(row) do assert.is_true(value ~= value) end
            end
        end)
    end)
end)
