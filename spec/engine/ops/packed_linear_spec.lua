--- Linear layers with packed weights: of floats against float64, of int8 against the same integers in float64.

local dense = require "spec.support.dense"
local device = require "bertlua.device"
local ops = require "bertlua.ops"
local reference = require "spec.support.reference_linear"
local rng = require "bertlua.rng"
local tensor = require "bertlua.tensor"

-- T, K, N: single rows and columns, odd sizes, more rows than a chunk, wide and narrow.
local SHAPES = { { 1, 1, 1 }, { 3, 5, 7 }, { 17, 33, 1 }, { 2, 16, 530 }, { 3, 1100, 5 }, { 300, 12, 70 },
    { 64, 96, 192 }, { 257, 64, 64 } }

local function on_cpu(name, fn)
    it(name, function()
        if not device.is_host() then return pending "on the CPU only" end
        fn()
    end)
end

--- Integers of a weight matrix, and scales, as tensors and lists.
local function int8_weights(random, outputs, inputs, largest)
    local integers, scales = {}, {}
    for n = 1, outputs do
        scales[n] = (0.5 + random:double()) / largest / math.sqrt(inputs)
        for _ = 1, inputs do integers[#integers + 1] = random:integer(-largest, largest) end
    end
    local w = tensor.new("i8", { outputs, inputs }):set(integers)
    local rows = w:tolist()
    for n = 1, outputs do
        for k = 1, inputs do rows[n][k] = rows[n][k] * scales[n] end
    end
    return w, tensor.new("f32", { outputs }):set(scales), rows
end

describe("packed linear", function()
    for _, dtype in ipairs { "f32", "bf16" } do
        on_cpu(("multiplies as the weights themselves in %s"):format(dtype), function()
            local random, packed_some = rng.new(5), false
            for index, shape in ipairs(SHAPES) do
                tensor.scope(function()
                    local rows, inputs, outputs = unpack(shape)
                    local x, x_list = dense.random(random, dtype, { rows, inputs })
                    local w, w_list = dense.random(random, dtype, { outputs, inputs }, 1 / math.sqrt(inputs))
                    local bias, bias_list
                    if index % 2 == 0 then bias, bias_list = dense.random(random, "f32", { outputs }) end
                    local packed = ops.pack(w)
                    if not packed then return end
                    packed_some = true
                    for _, activation in ipairs { "none", "gelu", "tanh" } do
                        local y = dense.poisoned(dtype, { rows, outputs })
                        ops.packed_linear_forward(y, x, packed, bias, activation)
                        local tolerance = dtype == "f32" and 2e-6 * math.sqrt(inputs + 1) or 3 * dense.EPSILON[dtype]
                        dense.assert_close(reference.forward(x_list, w_list, bias_list, activation), y, tolerance, "y")
                    end
                end)
            end
            -- oneDNN has no layout of its own on smaller CPUs, and no fast bf16 on many.
            if not packed_some then pending("nothing is packed in " .. dtype .. " on this CPU") end
        end)
    end

    on_cpu("rounds rows of x to their range, and no more, with int8 weights", function()
        local random = rng.new(6)
        for index, shape in ipairs(SHAPES) do
            tensor.scope(function()
                local rows, inputs, outputs = unpack(shape)
                local x, x_list = dense.random(random, "f32", { rows, inputs }, 3)
                local w, scales, w_list = int8_weights(random, outputs, inputs, 127)
                local bias, bias_list
                if index % 2 == 0 then bias, bias_list = dense.random(random, "f32", { outputs }) end
                local packed = ops.pack(w, scales)
                local y = dense.poisoned("f32", { rows, outputs })
                ops.packed_linear_forward(y, x, packed, bias)
                local exact, got = reference.forward(x_list, w_list, bias_list), y:tolist()
                for t = 1, rows do
                    local low, high = math.huge, -math.huge
                    for k = 1, inputs do low, high = math.min(low, x_list[t][k]), math.max(high, x_list[t][k]) end
                    for n = 1, outputs do
                        -- Half a step for each element of x, whatever their signs.
                        local bound = 0
                        for k = 1, inputs do bound = bound + math.abs(w_list[n][k]) end
                        bound = bound * (high - low) / 127 / 2 + 1e-4 * (1 + math.abs(exact[t][n]))
                        assert.is_true(math.abs(got[t][n] - exact[t][n]) <= bound,
                            ("[%d][%d]: %g, expected %g within %g"):format(t, n, got[t][n], exact[t][n], bound))
                    end
                end
            end)
        end
    end)

    on_cpu("sums the largest integers exactly", function()
        tensor.scope(function()
            -- Rows of 0 and 127, with which every step is a whole number: sums that 16 bits would not hold.
            local inputs, outputs = 512, 32
            local values, integers = {}, {}
            for i = 1, 4 * inputs do values[i] = (i % inputs == 1) and 0 or 127 end
            for i = 1, outputs * inputs do integers[i] = i > outputs / 2 * inputs and -127 or 127 end
            local x = tensor.new("f32", { 4, inputs }):set(values)
            local packed = ops.pack(tensor.new("i8", { outputs, inputs }):set(integers),
                tensor.new("f32", { outputs }):fill(1))
            local y = dense.poisoned("f32", { 4, outputs })
            ops.packed_linear_forward(y, x, packed)
            local sum = 127 * 127 * (inputs - 1)
            for t = 1, 4 do
                for n = 1, outputs do
                    assert.near(n > outputs / 2 and -sum or sum, y:tolist()[t][n], sum * 1e-6)
                end
            end
        end)
    end)

    on_cpu("computes with activations, rows that are all one number, and columns of a wider tensor", function()
        tensor.scope(function()
            local random = rng.new(7)
            local w, scales, w_list = int8_weights(random, 24, 40, 127)
            local x = tensor.new("f32", { 300, 40 }):fill(0.75)
            local packed = ops.pack(w, scales)
            for _, activation in ipairs { "gelu", "tanh" } do
                local y = dense.poisoned("f32", { 300, 24 })
                ops.packed_linear_forward(y, x, packed, nil, activation)
                dense.assert_close(reference.forward(x:tolist(), w_list, nil, activation), y, 1e-5, activation)
            end
            local wide = dense.poisoned("f32", { 300, 30 })
            ops.packed_linear_forward(wide:slice(2, 4, 27), x, packed)
            dense.assert_close(reference.forward(x:tolist(), w_list), wide:slice(2, 4, 27):clone(), 1e-5, "columns")
            assert.are_not.equal(wide:tolist()[1][3], wide:tolist()[1][3])
        end)
    end)

    on_cpu("gives NaN for rows with NaN or infinities, and only for these", function()
        tensor.scope(function()
            local random = rng.new(8)
            local w, scales = int8_weights(random, 16, 32, 127)
            local x = dense.random(random, "f32", { 4, 32 })
            local list = x:tolist()
            list[2][5], list[3][32] = 0 / 0, -math.huge
            local flat = {}
            for t = 1, 4 do for k = 1, 32 do flat[#flat + 1] = list[t][k] end end
            x:set(flat)
            local y = dense.poisoned("f32", { 4, 16 })
            ops.packed_linear_forward(y, x, ops.pack(w, scales))
            for t, row in ipairs(y:tolist()) do
                for n = 1, 16 do assert.are.equal(t == 1 or t == 4, row[n] == row[n]) end
            end
        end)
    end)

    on_cpu("refuses what does not fit", function()
        tensor.scope(function()
            local w, scales = int8_weights(rng.new(9), 6, 4, 127)
            local x, y = tensor.new("f32", { 2, 4 }), tensor.new("f32", { 2, 6 })
            dense.assert_fails("pack: scales are NULL, expected f32 [N] with a w of i8", ops.pack, w)
            dense.assert_fails("pack: scales are given, expected NULL", ops.pack, tensor.new("f32", { 6, 4 }), scales)
            dense.assert_fails("pack: scales is f32 [5], expected f32 [6]", ops.pack, w, tensor.new("f32", { 5 }))
            local packed = ops.pack(w, scales)
            local outputs, inputs, dtype = ops.packed_shape(packed)
            assert.are.same({ 6, 4, "f32" }, { outputs, inputs, dtype })
            dense.assert_fails("packed linear: x is f32 [2,5], expected f32 [T,4]", ops.packed_linear_forward, y,
                tensor.new("f32", { 2, 5 }), packed)
            dense.assert_fails("packed linear: y is f32 [3,6], expected f32 [2,6]", ops.packed_linear_forward,
                tensor.new("f32", { 3, 6 }), x, packed)
            dense.assert_fails("packed linear: x is bf16 [2,4], expected f32", ops.packed_linear_forward, y,
                tensor.new("bf16", { 2, 4 }), packed)
        end)
    end)
end)
