local tensor = require "bertlua.tensor"
local ops = require "bertlua.ops"
local rng = require "bertlua.rng"
local support = require "spec.support.ops"
local reference = require "spec.support.reference"

local scoped = support.scoped

--- A class for each row; with `ignore`, -1 for every third.
local function labels_of(rows, classes, seed, ignore)
    local source, list = rng.new(seed), {}
    for m = 1, rows do list[m] = ignore and m % 3 == 0 and -1 or source:integer(0, classes - 1) end
    return tensor.from(list, "i32"), list
end

describe("cross_entropy", function()
    -- {rows, columns, classes}: padding columns, more classes than one block of a row.
    local SHAPES = { { 1, 2, 1 }, { 4, 2, 2 }, { 3, 7, 7 }, { 6, 33, 30 }, { 5, 2100, 2050 }, { 4, 6152, 6147 } }

    local function each_case(body)
        support.each_dtype(function(dtype, tolerance)
            for _, shape in ipairs(SHAPES) do
                local rows, width, classes = shape[1], shape[2], shape[3]
                local logits, values = support.random(dtype, { rows, width }, 5, 8)
                local labels, list = labels_of(rows, classes, 6, true)
                -- One sure hit, so that `correct` is not always 0.
                values[list[1] + 1] = 16
                logits:set(values)
                body(dtype, tolerance, rows, width, classes, logits, values, labels, list)
            end
        end)
    end

    it("is the mean over labelled rows and real classes", scoped(function()
        each_case(function(_, _, rows, width, classes, logits, values, labels, list)
            local loss, lse = support.poisoned("f32", { 1 }), support.poisoned("f32", { rows })
            local correct = support.poisoned("f32", { 1 })
            ops.cross_entropy_forward(loss, lse, correct, logits, labels, classes)
            local expected, lse_expected, right = reference.cross_entropy(values, rows, width, list, classes)
            support.assert_close(loss, { expected }, 2e-6, "loss")
            support.assert_close(lse, lse_expected, 2e-6, "lse")
            support.assert_close(correct, { right }, 1e-6, "correct")
            assert.is_true(right > 0)
            local alone = support.poisoned("f32", { 1 })
            ops.cross_entropy_forward(alone, nil, nil, logits, labels, classes)
            support.assert_same(alone, loss, "loss without lse")
        end)
    end))

    it("has the gradient softmax - one-hot, 0 in padding and ignored rows", scoped(function()
        each_case(function(dtype, tolerance, rows, width, classes, logits, values, labels, list)
            local loss, lse = support.poisoned("f32", { 1 }), support.poisoned("f32", { rows })
            ops.cross_entropy_forward(loss, lse, nil, logits, labels, classes)
            local dlogits = support.poisoned(dtype, { rows, width })
            ops.cross_entropy_backward(dlogits, logits, labels, lse, tensor.from { 96 }, classes)
            local _, _, _, gradient = reference.cross_entropy(values, rows, width, list, classes)
            support.assert_close(dlogits, reference.map(gradient, function(g) return 96 * g end), tolerance + 2e-5)
            local got = support.flat(dlogits)
            for m = 0, rows - 1 do
                for k = 0, width - 1 do
                    if k >= classes or list[m + 1] == -1 then assert.are.equal(0, got[m * width + k + 1]) end
                end
            end
            ops.cross_entropy_backward(logits, logits, labels, lse, tensor.from { 96 }, classes)
            support.assert_same(logits, dlogits, "in place")
        end)
    end))

    it("agrees with differences of the reference", scoped(function()
        local rows, width, classes = 4, 6, 5
        local _, values = support.random("f32", { rows * width }, 5, 3)
        local list = { 2, -1, 0, 4 }
        local _, _, _, gradient = reference.cross_entropy(values, rows, width, list, classes)
        support.assert_gradient(reference.differences(function(x)
            return (reference.cross_entropy(x, rows, width, list, classes))
        end, values, 1e-5), gradient, 1e-8)
    end))

    it("is 0 with gradient 0 when every row is ignored", scoped(function()
        local logits = support.random("f32", { 3, 7 }, 5)
        local labels = tensor.from({ -1, -1, -1 }, "i32")
        local loss, lse = support.poisoned("f32", { 1 }), support.poisoned("f32", { 3 })
        local correct = support.poisoned("f32", { 1 })
        ops.cross_entropy_forward(loss, lse, correct, logits, labels, 7)
        assert.are.same({ 0 }, loss:tolist())
        assert.are.same({ 0 }, correct:tolist())
        local dlogits = support.poisoned("f32", { 3, 7 })
        ops.cross_entropy_backward(dlogits, logits, labels, lse, tensor.from { 1 }, 7)
        support.assert_close(dlogits, reference.zeros(21), 0)
    end))

    it("withstands large logits and whole blocks of -inf", scoped(function()
        local values = {}
        for i = 1, 5000 do values[i] = i > 4096 and 1e4 + i or -math.huge end
        local loss, lse = support.poisoned("f32", { 1 }), support.poisoned("f32", { 1 })
        ops.cross_entropy_forward(loss, lse, nil, tensor.from { values }, tensor.from({ 4999 }, "i32"), 5000)
        assert.is_near(15000 + math.log(1 / (1 - math.exp(-1))), lse:item(), 0.002)
        assert.is_near(math.log(1 / (1 - math.exp(-1))), loss:item(), 0.002)
    end))

    it("does not depend on the thread count", scoped(function()
        support.assert_threads_agree(function()
            local logits = support.random("bf16", { 40, 600 }, 5, 8)
            local labels = labels_of(40, 600, 6, true)
            local loss, lse, correct = tensor.new("f32", { 1 }), tensor.new("f32", { 40 }), tensor.new("f32", { 1 })
            ops.cross_entropy_forward(loss, lse, correct, logits, labels, 600)
            local dlogits = support.poisoned("bf16", { 40, 600 })
            ops.cross_entropy_backward(dlogits, logits, labels, lse, loss, 600)
            return { loss, lse, correct, dlogits }
        end)
    end))

    it("names op, argument, got and expected, and leaves outputs alone", scoped(function()
        local logits, labels = tensor.new("f32", { 2, 5 }), tensor.from({ 0, 4 }, "i32")
        local loss, lse = support.poisoned("f32", { 1 }), support.poisoned("f32", { 2 })
        local function rejects(message, ...)
            local arguments = { ... }
            support.assert_rejects(message, { loss, lse }, function() ops.cross_entropy_forward(unpack(arguments)) end)
        end
        rejects("cross_entropy: labels[1] (from 0) is 4, expected -1 to 3", loss, lse, lse, logits, labels, 4)
        rejects("cross_entropy: labels[0] (from 0) is -2, expected -1 to 4", loss, lse, lse, logits,
            tensor.from({ -2, 0 }, "i32"), 5)
        rejects("cross_entropy: classes is 6, expected 1 to 5 (columns of logits)", loss, lse, lse, logits, labels, 6)
        rejects("cross_entropy: loss is f32 [2], expected f32 [1]", lse, lse, lse, logits, labels, 5)
        rejects("cross_entropy: labels is i32 [1], expected i32 [2]", loss, lse, lse, logits,
            tensor.from({ 0 }, "i32"), 5)
        support.assert_rejects("cross_entropy_backward: dlogits is bf16 [2,5], expected f32 [2,5]", { loss }, function()
            ops.cross_entropy_backward(tensor.new("bf16", { 2, 5 }), logits, labels, lse, loss, 5)
        end)
    end))
end)
