--- Attention against float64, forward and backward: packed, padded, odd lengths and head sizes, dropout.

local context = require "bertlua.context"
local dense = require "spec.support.dense"
local reference = require "spec.support.reference_attention"
local ops = require "bertlua.ops"
local rng = require "bertlua.rng"
local tensor = require "bertlua.tensor"

-- rows T, heads, head size D, max_length S, segments {begin, length}.
local CASES = {
    single_row = { 1, 1, 1, 1, { { 0, 1 } } },
    one_short = { 3, 2, 5, 3, { { 0, 3 } } },
    packed = { 54, 2, 5, 33, { { 0, 1 }, { 1, 3 }, { 4, 17 }, { 21, 33 } } },
    padded_with_gaps = { 4 * 18, 3, 16, 18, { { 0, 17 }, { 18, 1 }, { 36, 18 }, { 54, 0 } } },
    bert_heads = { 70, 2, 64, 40, { { 0, 33 }, { 35, 34 } } },
    several_blocks = { 150, 1, 20, 150, { { 0, 150 } } },
    out_of_order = { 20, 1, 8, 9, { { 11, 9 }, { 0, 5 } } },
}

local DROPOUT = { p = 0.25, op = 9, seed = 1234567, step = 42 }

local function make(random, dtype, name, dropout)
    local rows, heads, size, max_length, segments = unpack(CASES[name])
    local hidden = heads * size
    local c = { rows = rows, heads = heads, hidden = hidden, max_length = max_length, segments = segments }
    c.qkv, c.qkv_list = dense.random(random, dtype, { rows, 3 * hidden }, 1.5)
    c.dout, c.dout_list = dense.random(random, dtype, { rows, hidden })
    c.bounds = tensor.from(segments, "i32")
    c.scale = 1 / math.sqrt(size)
    c.options = { heads = heads, max_length = max_length, scale = c.scale }
    if dropout then
        c.state = tensor.from({ DROPOUT.seed, DROPOUT.step }, "i64")
        c.dropout = ops.dropout(c.state, DROPOUT.p, DROPOUT.op)
        c.options.keep = function(element)
            return reference.keep(element, DROPOUT.p, DROPOUT.op, DROPOUT.seed, DROPOUT.step)
        end
    end
    return c
end

local function run(c, dtype)
    c.out = dense.poisoned(dtype, { c.rows, c.hidden })
    c.stats = dense.poisoned("f32", { #c.segments, c.heads, c.max_length })
    c.dqkv = dense.poisoned(dtype, { c.rows, 3 * c.hidden })
    c.sums = dense.poisoned("f32", { 3 * c.hidden })
    local words = ops.attention_kept_words(c.max_length)
    c.kept = c.dropout and tensor.new("i32", { #c.segments, c.heads, words }):fill(-1) or nil
    ops.attention_forward(c.out, c.stats, c.kept, c.qkv, c.bounds, c.heads, c.max_length, c.scale, c.dropout)
    ops.attention_backward(c.dqkv, c.dout, c.out, c.stats, c.kept, c.qkv, c.bounds, c.heads, c.max_length, c.scale,
        c.dropout, c.sums)
end

-- Over the rows of a list.
local function column_sums(list)
    local sums = {}
    for _, row in ipairs(list) do
        for i, value in ipairs(row) do sums[i] = (sums[i] or 0) + value end
    end
    return sums
end

local function check(c, dtype)
    local limit = dtype == "f32" and 1e-5 or 4 * dense.EPSILON[dtype]
    local out, lse = reference.forward(c.qkv_list, c.segments, c.options)
    dense.assert_close(out, c.out, limit, "out")
    local dqkv = reference.backward(c.dout_list, c.qkv_list, c.segments, c.options)
    dense.assert_close(dqkv, c.dqkv, limit, "dqkv")
    -- The sums of what was written are exact but for f32; what was written is rounded, and terms cancel.
    dense.assert_close(column_sums(c.dqkv:tolist()), c.sums, 1e-5, "sums of what was written")
    dense.assert_close(column_sums(dqkv), c.sums, limit * math.max(1, math.sqrt(c.rows)), "sums")
    local stats = c.stats:tolist()
    for b = 1, #lse do
        for a = 1, #lse[b] do
            for i = 1, #lse[b][a] do assert.is_true(math.abs(stats[b][a][i] - lse[b][a][i]) < 1e-5) end
        end
    end
end

describe("attention", function()
    for _, dtype in ipairs { "f32", "bf16", "f16" } do
        for name in pairs(CASES) do
            it(("matches float64 in %s: %s"):format(dtype, name), function()
                tensor.scope(function()
                    local c = make(rng.new(21), dtype, name, false)
                    run(c, dtype)
                    check(c, dtype)
                end)
            end)
        end

        for _, name in ipairs { "packed", "padded_with_gaps", "bert_heads" } do
            it(("drops the documented elements in %s: %s"):format(dtype, name), function()
                tensor.scope(function()
                    local c = make(rng.new(22), dtype, name, true)
                    run(c, dtype)
                    check(c, dtype)
                end)
            end)
        end
    end

    it("sets rows outside every segment to zero", function()
        tensor.scope(function()
            local c = make(rng.new(23), "f32", "padded_with_gaps", true)
            run(c, "f32")
            local out, dqkv = c.out:tolist(), c.dqkv:tolist()
            for _, row in ipairs { 18, 20, 36, 55, 72 } do
                for _, value in ipairs(out[row]) do assert.are.equal(0, value) end
                for _, value in ipairs(dqkv[row]) do assert.are.equal(0, value) end
            end
        end)
    end)

    it("does not overflow on large scores", function()
        tensor.scope(function()
            local qkv = tensor.new("f32", { 2, 3 }):set { 1000, 1000, 1, 1000, -1000, 2 }
            local out, stats = tensor.new("f32", { 2, 1 }), tensor.new("f32", { 1, 1, 2 })
            local segments = tensor.from({ { 0, 2 } }, "i32")
            ops.attention_forward(out, stats, nil, qkv, segments, 1, 2, 1, nil)
            assert.are.same({ { 1 }, { 1 } }, out:tolist())
            assert.are.equal(1e6, stats:tolist()[1][1][1])
        end)
    end)

    it("repeats bit for bit and needs no stats and no bits in inference", function()
        tensor.scope(function()
            local first = make(rng.new(24), "bf16", "bert_heads", true)
            local second = make(rng.new(24), "bf16", "bert_heads", true)
            run(first, "bf16")
            run(second, "bf16")
            assert.are.same(first.dqkv:tolist(), second.dqkv:tolist())
            assert.are.same(first.sums:tolist(), second.sums:tolist())
            second.dqkv:fill(0)
            ops.attention_backward(second.dqkv, second.dout, second.out, second.stats, second.kept, second.qkv,
                second.bounds, second.heads, second.max_length, second.scale, second.dropout)
            assert.are.same(first.dqkv:tolist(), second.dqkv:tolist())
            local out = dense.poisoned("bf16", { first.rows, first.hidden })
            ops.attention_forward(out, nil, nil, first.qkv, first.bounds, first.heads, first.max_length, first.scale,
                first.dropout)
            assert.are.same(first.out:tolist(), out:tolist())
        end)
    end)

    it("takes no sequences", function()
        tensor.scope(function()
            local qkv, out = tensor.new("f32", { 2, 6 }), dense.poisoned("f32", { 2, 2 })
            ops.attention_forward(out, nil, nil, qkv, tensor.new("i32", { 0, 2 }), 1, 4, 1, nil)
            assert.are.same({ { 0, 0 }, { 0, 0 } }, out:tolist())
            local dqkv, sums = dense.poisoned("f32", { 2, 6 }), dense.poisoned("f32", { 6 })
            ops.attention_backward(dqkv, out, out, tensor.new("f32", { 0, 1, 4 }), nil, qkv,
                tensor.new("i32", { 0, 2 }), 1, 4, 1, nil, sums)
            assert.are.same({ 0, 0, 0, 0, 0, 0 }, sums:tolist())
        end)
    end)

    it("has one implementation on the CPU", function()
        if context.device() ~= "cpu" then return end
        context.attention "native"
        context.attention "auto"
        for _, name in ipairs { "unfused", "cudnn" } do
            dense.assert_fails("attention: " .. name .. " needs a GPU; on the CPU only native exists",
                context.attention, name)
        end
        dense.assert_fails("attention is fast, expected auto, native, unfused or cudnn", context.attention, "fast")
    end)

    it("names what does not fit", function()
        tensor.scope(function()
            local qkv, out = tensor.new("f32", { 8, 12 }), tensor.new("f32", { 8, 4 })
            local fails, forward = dense.assert_fails, ops.attention_forward
            local function bounds(list) return tensor.from(list, "i32") end
            local good = bounds { { 0, 4 }, { 4, 4 } }
            fails("attention: qkv is f32 [8,12], expected [T,3*3*D]", forward, out, nil, nil, qkv, good, 3, 4, 1, nil)
            fails("attention: out is f32 [8,12], expected f32 [8,4]", forward, qkv, nil, nil, qkv, good, 2, 4, 1, nil)
            fails("max_length is 0", forward, out, nil, nil, qkv, good, 2, 0, 1, nil)
            if context.device() == "cpu" then -- elsewhere the host cannot see the segments
                fails("segments[0] (from 0) has length 4", forward, out, nil, nil, qkv, good, 2, 3, 1, nil)
                fails("expected within 8 rows", forward, out, nil, nil, qkv, bounds { { 5, 4 } }, 2, 4, 1, nil)
                fails("share row 3", forward, out, nil, nil, qkv, bounds { { 3, 4 }, { 0, 4 } }, 2, 4, 1, nil)
            end
            fails("attention: stats is f32 [2,2,5], expected f32 [2,2,4]", forward, out, tensor.new("f32", { 2, 2, 5 }),
                nil, qkv, good, 2, 4, 1, nil)
            fails("attention: kept is i32 [2,2,4], expected i32 [2,2,128]", forward, out, nil,
                tensor.new("i32", { 2, 2, 4 }), qkv, good, 2, 4, 1, nil)
            fails("attention: scale is inf", forward, out, nil, nil, qkv, good, 2, 4, math.huge, nil)
            local state = tensor.new("i64", { 2 })
            fails("dropout p is 1", forward, out, nil, nil, qkv, good, 2, 4, 1, ops.dropout(state, 1, 0))
            fails("attention backward: stats is NULL, expected f32 [2,2,4]", ops.attention_backward, qkv, out, out,
                nil, nil, qkv, good, 2, 4, 1, nil)
            fails("attention backward: kept is NULL, expected i32 [2,2,128]", ops.attention_backward, qkv, out, out,
                tensor.new("f32", { 2, 2, 4 }), nil, qkv, good, 2, 4, 1, ops.dropout(state, 0.5, 0))
            fails("attention backward: sums is f32 [4], expected f32 [12]", ops.attention_backward, qkv, out, out,
                tensor.new("f32", { 2, 2, 4 }), nil, qkv, good, 2, 4, 1, nil, tensor.new("f32", { 4 }))
        end)
    end)
end)
