local tensor = require "bertlua.tensor"
local ops = require "bertlua.ops"
local rng = require "bertlua.rng"
local support = require "spec.support.ops"
local reference = require "spec.support.reference"

local scoped = support.scoped

local function labels_of(rows, classes, seed, ignore)
    local source, list = rng.new(seed), {}
    for m = 1, rows do list[m] = ignore and m % 3 == 0 and -1 or source:integer(0, classes - 1) end
    return tensor.from(list, "i32"), list
end

describe("gather", function()
    it("takes rows and sums gradients back into them", scoped(function()
        support.each_dtype(function(dtype, tolerance)
            for _, shape in ipairs { { 1, 1 }, { 5, 7 }, { 9, 33 }, { 12, 771 } } do
                local rows, width = shape[1], shape[2]
                local index, list = labels_of(7, rows, 2)
                local x, values = support.random(dtype, { rows, width }, 3)
                local y = support.poisoned(dtype, { 7, width })
                ops.gather_forward(y, x, index)
                support.assert_close(y, reference.lookup_sum(width, { values, list }), 0, "y")
                local dy, dy_values = support.random(dtype, { 7, width }, 4)
                local dx = support.poisoned(dtype, { rows, width })
                ops.gather_backward(dx, dy, index)
                support.assert_close(dx, reference.scatter_add(dy_values, width, list, rows), tolerance, "dx")
            end
        end)
    end))

    it("names op, argument, got and expected, and leaves outputs alone", scoped(function()
        local x, y = tensor.new("f32", { 4, 3 }), support.poisoned("f32", { 2, 3 })
        support.assert_rejects("gather: index[1] (from 0) is 4, expected 0 to 3", { y }, function()
            ops.gather_forward(y, x, tensor.from({ 0, 4 }, "i32"))
        end)
        support.assert_rejects("gather: y is f32 [2,3], expected f32 [1,3]", { y }, function()
            ops.gather_forward(y, x, tensor.from({ 0 }, "i32"))
        end)
        support.assert_rejects("gather_backward: index[0] (from 0) is 2, expected 0 to 1", { y }, function()
            ops.gather_backward(y, x, tensor.from({ 2, 0, 0, 0 }, "i32"))
        end)
    end))
end)

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

    it("stands large logits and whole blocks of -inf", scoped(function()
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

describe("span_loss", function()
    local SEGMENTS = { { 0, 5 }, { 5, 1 }, { 8, 9 }, { 17, 0 } }
    local STARTS, ENDS = { 2, 0, 9, 0 }, { 4, 0, 3, -1 } -- start 9 lies outside a segment of 9
    local ROWS = 19

    local function run(dtype)
        local s = {}
        s.logits, s.values = support.random(dtype, { ROWS, 2 }, 7, 5)
        s.segments = tensor.from(SEGMENTS, "i32")
        s.starts, s.ends = tensor.from(STARTS, "i32"), tensor.from(ENDS, "i32")
        s.loss, s.lse = support.poisoned("f32", { 1 }), support.poisoned("f32", { 4, 2 })
        ops.span_loss_forward(s.loss, s.lse, s.logits, s.segments, s.starts, s.ends)
        return s
    end

    it("is the mean of start and end cross-entropy within each segment", scoped(function()
        support.each_dtype(function(dtype)
            local s = run(dtype)
            local loss, lse = reference.span_loss(s.values, ROWS, SEGMENTS, STARTS, ENDS)
            support.assert_close(s.loss, { loss }, 2e-6, "loss")
            local got = support.flat(s.lse)
            for i = 1, 6 do assert.is_near(lse[i], got[i], 5e-6) end
        end)
    end))

    it("has the gradient of the formula, 0 outside segments, also in place", scoped(function()
        support.each_dtype(function(dtype, tolerance)
            local s = run(dtype)
            local dlogits = support.poisoned(dtype, { ROWS, 2 })
            ops.span_loss_backward(dlogits, s.logits, s.segments, s.starts, s.ends, s.lse, tensor.from { 12 })
            local _, _, gradient = reference.span_loss(s.values, ROWS, SEGMENTS, STARTS, ENDS)
            support.assert_close(dlogits, reference.map(gradient, function(g) return 12 * g end), tolerance + 1e-5)
            ops.span_loss_backward(s.logits, s.logits, s.segments, s.starts, s.ends, s.lse, tensor.from { 12 })
            support.assert_same(s.logits, dlogits)
        end)
    end))

    it("agrees with differences of the reference", scoped(function()
        local s = run "f32"
        local _, _, gradient = reference.span_loss(s.values, ROWS, SEGMENTS, STARTS, ENDS)
        support.assert_gradient(reference.differences(function(x)
            return (reference.span_loss(x, ROWS, SEGMENTS, STARTS, ENDS))
        end, s.values, 1e-5), gradient, 1e-8)
    end))

    it("names op, argument, got and expected, and leaves outputs alone", scoped(function()
        local s = run "f32"
        local loss = support.poisoned("f32", { 1 })
        support.assert_rejects("span_loss: segments[1] (from 0) is {begin 15, length 5}, expected within 19 rows",
            { loss }, function()
                ops.span_loss_forward(loss, nil, s.logits, tensor.from({ { 0, 5 }, { 15, 5 } }, "i32"),
                    tensor.new("i32", { 2 }), tensor.new("i32", { 2 }))
            end)
        support.assert_rejects("span_loss: ends is i32 [2], expected i32 [4]", { loss }, function()
            ops.span_loss_forward(loss, nil, s.logits, s.segments, s.starts, tensor.new("i32", { 2 }))
        end)
        support.assert_rejects("span_loss: logits is f32 [19], expected f32, bf16 or f16 [T,2]", { loss }, function()
            ops.span_loss_forward(loss, nil, tensor.new("f32", { 19 }), s.segments, s.starts, s.ends)
        end)
    end))
end)
