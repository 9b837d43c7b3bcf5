local tensor = require "bertlua.tensor"
local ops = require "bertlua.ops"
local support = require "spec.support.ops"
local reference = require "spec.support.reference"

local scoped = support.scoped

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
