--- Attention on a GPU: every implementation against float64 and against the CPU, at the edges of its tiles.

local context = require "bertlua.context"
local dense = require "spec.support.dense"
local ops = require "bertlua.ops"
local reference = require "spec.support.reference_attention"
local rng = require "bertlua.rng"
local tensor = require "bertlua.tensor"

if context.device() ~= "cuda" then return end

local SEED, STEP, OP = 987654321, 3, 5

-- Runs forward and backward: the results and the inputs, as the dtype holds them, in lists.
local function run(c, dtype, name, p)
    context.attention(name)
    return tensor.scope(function()
        local hidden = c.heads * c.size
        local qkv = tensor.new(dtype, { c.rows, 3 * hidden }):set(c.qkv)
        local dout = tensor.new(dtype, { c.rows, hidden }):set(c.dout)
        local bounds = tensor.from(c.segments, "i32")
        local state = tensor.from({ SEED, STEP }, "i64")
        local dropout = p > 0 and ops.dropout(state, p, OP) or nil
        local out, dqkv = dense.poisoned(dtype, { c.rows, hidden }), dense.poisoned(dtype, { c.rows, 3 * hidden })
        local stats = dense.poisoned("f32", { #c.segments, c.heads, c.max_length })
        local words = dropout and ops.attention_kept_words(c.max_length) or 0
        local kept = words > 0 and tensor.new("i32", { #c.segments, c.heads, words }):fill(-1) or nil
        ops.attention_forward(out, stats, kept, qkv, bounds, c.heads, c.max_length, c.scale, dropout)
        ops.attention_backward(dqkv, dout, out, stats, kept, qkv, bounds, c.heads, c.max_length, c.scale, dropout)
        return { out = out:tolist(), stats = stats:tolist(), dqkv = dqkv:tolist(), qkv = qkv:tolist(),
            dout = dout:tolist() }
    end)
end

local function make(rows, heads, size, max_length, segments)
    local random, c = rng.new(rows * 131 + size), { rows = rows, heads = heads, size = size, segments = segments }
    c.max_length, c.scale, c.qkv, c.dout = max_length, 1 / math.sqrt(size), {}, {}
    for i = 1, rows * 3 * heads * size do c.qkv[i] = (random:double() + random:double() - 1) * 2.5 end
    for i = 1, rows * heads * size do c.dout[i] = (random:double() + random:double() - 1) * 2 end
    return c
end

local function lengths(list)
    local segments, rows, longest = {}, 0, 0
    for i, n in ipairs(list) do
        segments[i] = { rows, n }
        rows, longest = rows + n, math.max(longest, n)
    end
    return segments, rows, longest
end

local function packed(size, list, max_length)
    local segments, rows, longest = lengths(list)
    return make(rows, 2, size, max_length or longest, segments)
end

local function largest_gap(a, b)
    if type(a) ~= "table" then
        local d = math.abs(a - b)
        return d == d and d or math.huge
    end
    local top = 0
    for i = 1, #a do top = math.max(top, largest_gap(a[i], b[i])) end
    return top
end

local function assert_near(expected, actual, limit, name)
    local d = largest_gap(expected, actual)
    if d > limit then error(("%s differs by %g, allowed %g"):format(name, d, limit), 2) end
end

local function keep_of(p)
    return p > 0 and function(element) return reference.keep(element, p, OP, SEED, STEP) end or nil
end

local function check(c, dtype, name, p)
    local got = run(c, dtype, name, p)
    local options = { heads = c.heads, max_length = c.max_length, scale = c.scale, keep = keep_of(p) }
    local out, lse = reference.forward(got.qkv, c.segments, options)
    local dqkv = reference.backward(got.dout, got.qkv, c.segments, options)
    local limit = dtype == "f32" and 1e-5 or 4 * dense.EPSILON[dtype]
    assert_near(out, got.out, limit * dense.largest(out), "out")
    assert_near(dqkv, got.dqkv, limit * dense.largest(dqkv), "dqkv")
    for b = 1, #lse do
        for a = 1, c.heads do
            for i = 1, #lse[b][a] do
                local d = math.abs(lse[b][a][i] - got.stats[b][a][i])
                assert.is_true(d < 2e-5, ("stats differ by %g"):format(d))
            end
        end
    end
    return got
end

describe("attention on a GPU", function()
    after_each(function()
        context.open { device = "cuda" }
        context.attention "auto"
    end)

    for _, size in ipairs { 32, 64 } do
        for _, dtype in ipairs { "bf16", "f16" } do
            it(("matches float64 at the edges of tiles: %s, heads of %d"):format(dtype, size), function()
                check(packed(size, { 1, 7, 63 }), dtype, "native", 0)
                check(packed(size, { 64, 65 }), dtype, "native", 0)
                check(packed(size, { 127, 128 }), dtype, "native", 0)
            end)

            it(("drops the documented elements: %s, heads of %d"):format(dtype, size), function()
                -- Rows of elements are as long as the next multiple of 8.
                check(packed(size, { 65, 3, 40 }, 68), dtype, "native", 0.2)
                check(packed(size, { 66, 5 }, 67), dtype, "native", 0.2)
            end)
        end
    end

    it("matches float64 over several tiles of keys and queries", function()
        check(packed(64, { 200 }), "bf16", "native", 0.1)
        check(packed(64, { 200 }), "f16", "auto", 0)
        check(packed(64, { 130 }), "f32", "auto", 0.1)
        check(packed(48, { 70, 33 }), "bf16", "auto", 0.1)
    end)

    it("accepts padded, empty and unordered sequences, and zeroes the remaining rows", function()
        for _, name in ipairs { "native", "unfused" } do
            local c = make(5 * 70, 2, 64, 70, { { 70, 66 }, { 0, 64 }, { 140, 0 }, { 280, 1 }, { 210, 70 } })
            local got = check(c, "bf16", name, 0.1)
            for _, row in ipairs { 65, 70, 137, 140, 141, 210, 282, 350 } do
                for _, list in ipairs { got.out[row], got.dqkv[row] } do
                    for _, value in ipairs(list) do assert.are.equal(0, value) end
                end
            end
        end
    end)

    -- One block of the grid handles several pairs where there are more than the device holds.
    it("handles more pairs than it has blocks", function()
        local list = {}
        for i = 1, 30 do list[i] = i % 3 == 0 and 0 or 5 + i % 7 end
        local segments, rows = lengths(list)
        local c = make(rows, 16, 32, 12, segments)
        check(c, "bf16", "native", 0.1)
        check(c, "f16", "unfused", 0.1)
    end)

    it("repeats bit for bit", function()
        for _, name in ipairs { "native", "unfused" } do
            local c = packed(64, { 150, 20 }, 152)
            local first, second = run(c, "bf16", name, 0.3), run(c, "bf16", name, 0.3)
            assert_near(first.out, second.out, 0, "out")
            assert_near(first.dqkv, second.dqkv, 0, "dqkv")
        end
    end)

    -- Queries of 0 make all probabilities equal, and one-hot values show each one's dropout in the output; one-hot
    -- gradients show it again in the gradient of the values.
    it("has the CPU's dropout mask to the last element", function()
        for _, max_length in ipairs { 80, 81 } do
            local length, size = 79, 64
            local c = { rows = length, heads = 1, size = size, max_length = max_length, segments = { { 0, length } },
                scale = 0.125 }
            for first = 0, 64, 64 do
                c.qkv, c.dout = {}, {}
                for i = 0, length - 1 do
                    for j = 1, 3 * size do
                        c.qkv[#c.qkv + 1] = j == 2 * size + 1 + i - first and 1 or 0
                    end
                    for j = 1, size do c.dout[#c.dout + 1] = j == 1 + i - first and 1 or 0 end
                end
                context.open { device = "cuda" }
                local gpu = run(c, "bf16", "native", 0.5)
                local plain = run(c, "bf16", "unfused", 0.5)
                context.open { device = "cpu" }
                local cpu = run(c, "bf16", "auto", 0.5)
                local dropped = 0
                for i = 1, length do
                    for j = 1, size do
                        local zero = cpu.out[i][j] == 0
                        dropped = dropped + (zero and 1 or 0)
                        assert.are.equal(zero, gpu.out[i][j] == 0)
                        assert.are.equal(zero, plain.out[i][j] == 0)
                        local gradient = cpu.dqkv[i][2 * size + j] == 0
                        assert.are.equal(gradient, gpu.dqkv[i][2 * size + j] == 0)
                        assert.are.equal(gradient, plain.dqkv[i][2 * size + j] == 0)
                    end
                end
                assert.is_true(dropped > length * size / 4)
            end
        end
    end)

    it("does not overflow on large scores", function()
        tensor.scope(function()
            local qkv = tensor.new("f16", { 65, 192 }):fill(200)
            local out, stats = dense.poisoned("f16", { 65, 64 }), dense.poisoned("f32", { 1, 1, 65 })
            context.attention "native"
            ops.attention_forward(out, stats, nil, qkv, tensor.from({ { 0, 65 } }, "i32"), 1, 65, 1, nil)
            for i = 1, 65 do
                assert.are.equal(200, out:tolist()[i][64])
                assert.is_true(math.abs(stats:tolist()[1][1][i] - (64 * 200 * 200 + math.log(65))) < 1)
            end
        end)
    end)

    -- Rows past a sequence's end score 0, which is exp(500) above the others here.
    it("ignores what is past the end of a sequence even where all scores are far below 0", function()
        for _, name in ipairs { "native", "unfused" } do
            local c = packed(64, { 65 })
            for i = 0, c.rows - 1 do
                for j = 1, 128 do
                    for a = 0, 1 do
                        c.qkv[i * 384 + a * 64 + (j - 1) % 64 + (j > 64 and 128 or 0) + 1] = j > 64 and -8 or 8
                    end
                end
            end
            check(c, "bf16", name, 0)
        end
    end)

    it("says which calls native and cudnn do not support", function()
        tensor.scope(function()
            local bounds = tensor.from({ { 0, 4 } }, "i32")
            context.attention "native"
            for _, case in ipairs { { "f32", 64, "got f32, 64 and 1" }, { "bf16", 48, "got bf16, 48 and 1" } } do
                local qkv = tensor.new(case[1], { 4, 3 * case[2] })
                local out = tensor.new(case[1], { 4, case[2] })
                dense.assert_fails(case[3], ops.attention_forward, out, nil, nil, qkv, bounds, 1, 4, 1, nil)
            end
            context.attention "cudnn"
            local qkv, out = tensor.new("f32", { 4, 192 }), tensor.new("f32", { 4, 64 })
            dense.assert_fails("got f32 and 64", ops.attention_forward, out, nil, nil, qkv, bounds, 1, 4, 1, nil)
        end)
    end)
end)

describe("attention through cuDNN", function()
    after_each(function() context.attention "auto" end)

    --- Whether it is available for training here; the reason if not.
    local function is_there()
        local ok, message = pcall(run, packed(64, { 64 }), "bf16", "cudnn", 0)
        context.attention "auto"
        return ok, (tostring(message):gsub("^[^\n]-%.lua:%d+: ", ""))
    end

    local ok, reason = is_there()
    if not ok then
        pending("is not here: " .. reason)
        return
    end

    it("matches float64 on packed sequences", function()
        for _, dtype in ipairs { "bf16", "f16" } do
            check(packed(64, { 1, 7, 63 }), dtype, "cudnn", 0)
            check(packed(64, { 127, 128, 65 }), dtype, "cudnn", 0)
        end
    end)

    --- Attention whose results show what was dropped: values and gradients are rows of the identity.
    local function unveil(step)
        local c = packed(64, { 64 })
        c.qkv, c.dout = {}, {}
        for i = 1, 64 do
            for a = 1, 3 * 2 * 64 do
                c.qkv[#c.qkv + 1] = a > 256 and (a - 1) % 64 + 1 == i and 1 or 0
            end
            for a = 1, 2 * 64 do c.dout[#c.dout + 1] = (a - 1) % 64 + 1 == i and 1 or 0 end
        end
        STEP = step
        return run(c, "bf16", "cudnn", 0.5)
    end

    it("drops the same elements in both passes, and others in the next step", function()
        local before = STEP
        local got, again, later = unveil(3), unveil(3), unveil(4)
        STEP = before
        assert.are.same(got, again)
        local dropped, moved = 0, 0
        for i = 1, 64 do
            for j = 1, 128 do
                local zero = got.out[i][j] == 0
                local key, head = (j - 1) % 64 + 1, j > 64 and 64 or 0
                dropped = dropped + (zero and 1 or 0)
                moved = moved + (zero ~= (later.out[i][j] == 0) and 1 or 0)
                -- Kept probabilities, 1/64 each, are doubled.
                assert.is_true(zero or math.abs(got.out[i][j] - 1 / 32) < 1e-3)
                assert.are.equal(zero, got.dqkv[key][256 + head + i] == 0)
            end
        end
        assert.is_true(math.abs(dropped / (64 * 128) - 0.5) < 0.05)
        assert.is_true(math.abs(moved / (64 * 128) - 0.5) < 0.05)
    end)
end)
