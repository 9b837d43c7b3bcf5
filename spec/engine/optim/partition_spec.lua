--- LAMB on divided state against plain LAMB: any division gives the same parameters and moments.

local optim = require "bertlua.optim"
local support = require "spec.support.ops"
local tensor = require "bertlua.tensor"

local scoped = support.scoped
local S = optim.SCALARS

-- Segments with gaps, one longer than a chunk of work, one of a single element, one all zeros.
local SEGMENTS = { { 0, 33 }, { 48, 1 }, { 64, 20000 }, { 20080, 771 }, { 20864, 16 } }
local SIZE, COUNT = 20880, 5
local DECAY = { 0.01, 0, 0.01, 0, 0.01 }

local function scalars(values)
    local list = {}
    for i = 1, optim.SCALAR_COUNT do list[i] = 0 end
    list[S.loss_scale], list[S.grad_factor] = 8, 1
    for name, value in pairs(values or {}) do list[S[name]] = value end
    return tensor.from(list)
end

local function values(low, lr_scale, decayed_only)
    local f = { beta1 = 0.9, beta2 = 0.999, eps = 1e-6, decayed_only = decayed_only }
    f.param = support.random("f32", { SIZE }, 1, 0.05)
    f.param:slice(1, 20865, SIZE):fill(0)
    f.grad = tensor.new("f32", { SIZE })
    f.m, f.v = tensor.new("f32", { SIZE }), tensor.new("f32", { SIZE })
    f.decay = tensor.from(DECAY)
    f.lr_scale = lr_scale and tensor.from(lr_scale)
    f.scalars = scalars()
    f.trust = tensor.new("f32", { COUNT })
    f.param_low = low and tensor.new(low, { SIZE }) or nil
    return f
end

--- For the rank that owns [first, last) of every 1000 elements: rows of `pieces`, state counted from 0.
local function pieces_of(first, last)
    local rows, state = {}, 0
    for block = 0, SIZE - 1, 1000 do
        for i, segment in ipairs(SEGMENTS) do
            local from = math.max(block + first, segment[1])
            local to = math.min(block + last, segment[1] + segment[2])
            if from < to then
                rows[#rows + 1] = { i - 1, state + from - block - first, from, from, to - from }
            end
        end
        state = state + last - first
    end
    return tensor.from(rows, "i64"), state
end

-- Ranges of a block for 1 rank, 2 and 3 uneven ones.
local DIVISIONS = { { { 0, 1000 } }, { { 0, 500 }, { 500, 1000 } }, { { 0, 7 }, { 7, 900 }, { 900, 1000 } } }

--- One rank of a partition, over the buffers that all of them share.
local function rank_of(f, range)
    local rank = { beta1 = f.beta1, beta2 = f.beta2, eps = f.eps, decayed_only = f.decayed_only, param = f.param,
        grad = f.grad, decay = f.decay, lr_scale = f.lr_scale, param_low = f.param_low,
        trust = tensor.new("f32", { COUNT }), sums = tensor.new("f32", { COUNT, 2 }), scalars = scalars(),
        square = tensor.new("f32", { 1 }) }
    local size
    rank.pieces, size = pieces_of(range[1], range[2])
    rank.m, rank.v = tensor.new("f32", { size }), tensor.new("f32", { size })
    rank.prepared = optim.prepare_partition(rank)
    return rank
end

--- Every rank's tensor = the sum of all.
local function reduce(ranks, name)
    local sums = {}
    for _, rank in ipairs(ranks) do
        for i, x in ipairs(support.flat(rank[name])) do sums[i] = (sums[i] or 0) + x end
    end
    for _, rank in ipairs(ranks) do rank[name]:set(sums) end
end

local function update(ranks, accumulation, max_norm, learning_rate)
    for _, rank in ipairs(ranks) do
        rank.scalars:slice(1, S.learning_rate, S.learning_rate):fill(learning_rate)
        optim.partition_grad_norm(rank.square, rank.scalars, rank.grad, rank.pieces, accumulation)
    end
    reduce(ranks, "square")
    for _, rank in ipairs(ranks) do
        optim.partition_grad_factor(rank.scalars, rank.square, accumulation, max_norm)
        optim.partition_lamb_moments(rank.prepared)
    end
    reduce(ranks, "sums")
    for _, rank in ipairs(ranks) do optim.partition_lamb_apply(rank.prepared) end
end

describe("divided LAMB", function()
    for number, division in ipairs(DIVISIONS) do
        for _, case in ipairs { { false }, { "bf16" }, { "bf16", { 0.5, 1, 0.125, 0, 3 } },
            { false, nil, true } } do
            local low, lr_scale, decayed_only = case[1], case[2], case[3]
            local what = (lr_scale and ", scaled rates" or "") .. (decayed_only and ", trust with decay alone" or "")
            it(("equals plain LAMB, %d ranks, %s%s"):format(number, low or "f32", what), scoped(function()
                local plain, divided = values(low, lr_scale, decayed_only), values(low, lr_scale, decayed_only)
                plain.segments = tensor.from(SEGMENTS, "i64")
                local prepared = optim.prepare(plain)
                local ranks = {}
                for i, range in ipairs(division) do ranks[i] = rank_of(divided, range) end
                for step = 1, 5 do
                    local grad = support.random("f32", { SIZE }, 100 + step, 0.3)
                    for _, segment in ipairs { { 34, 48 }, { 50, 64 }, { 20065, 20080 }, { 20852, 20864 } } do
                        grad:slice(1, segment[1], segment[2]):fill(0)
                    end
                    plain.grad:copy_from(grad)
                    divided.grad:copy_from(grad)
                    plain.scalars:slice(1, S.learning_rate, S.learning_rate):fill(0.004 * step)
                    optim.grad_norm(plain.scalars, plain.grad, 3, 0.5)
                    optim.lamb_update(prepared)
                    update(ranks, 3, 0.5, 0.004 * step)
                    for _, rank in ipairs(ranks) do
                        support.assert_close(rank.scalars, support.flat(plain.scalars), 1e-6, "scalars")
                        support.assert_close(rank.trust, support.flat(plain.trust), 2e-6, "trust")
                    end
                end
                support.assert_close(divided.param, support.flat(plain.param), 1e-6, "param")
                if low then
                    support.assert_close(divided.param_low, support.flat(plain.param_low), 0.004, "low")
                end
                -- A rank's moments equal the plain ones at its pieces.
                local m, v = support.flat(plain.m), support.flat(plain.v)
                for _, rank in ipairs(ranks) do
                    local own_m, own_v = support.flat(rank.m), support.flat(rank.v)
                    for _, row in ipairs(rank.pieces:tolist()) do
                        local state, flat, length = tonumber(row[2]), tonumber(row[4]), tonumber(row[5])
                        assert.is_near(m[flat + 1], own_m[state + 1], 1e-9)
                        assert.is_near(v[flat + length], own_v[state + length], 1e-9)
                    end
                end
            end))
        end
    end

    it("keeps master weights apart from what is in grad's layout", scoped(function()
        local f = values "bf16"
        local rank = rank_of(f, { 500, 1000 })
        -- Master weights of the owned runs only, in the order of the moments.
        local rows = rank.pieces:tolist()
        local whole = rank_of(values "bf16", { 500, 1000 })
        rank.param = tensor.new("f32", { rank.m:numel() })
        for _, row in ipairs(rows) do
            rank.param:slice(1, row[2] + 1, row[2] + row[5]):copy_from(f.param:slice(1, row[4] + 1, row[4] + row[5]))
            row[3] = row[2]
        end
        rank.pieces = tensor.from(rows, "i64")
        rank.prepared = optim.prepare_partition(rank)
        f.grad:copy_from((support.random("f32", { SIZE }, 9, 0.3)))
        whole.grad:copy_from(f.grad)
        update({ rank }, 1, 1, 0.01)
        update({ whole }, 1, 1, 0.01)
        for _, row in ipairs(rows) do
            assert.are.same(whole.param:slice(1, row[4] + 1, row[4] + row[5]):tolist(),
                rank.param:slice(1, row[2] + 1, row[2] + row[5]):tolist())
        end
        assert.are.same(support.flat(whole.param_low), support.flat(rank.param_low))
    end))

    it("skips and counts an update whose gradient has an inf or NaN on any rank", scoped(function()
        for _, bad in ipairs { math.huge, 0 / 0, 1e25 } do
            local f = values "bf16"
            local ranks = { rank_of(f, { 0, 500 }), rank_of(f, { 500, 1000 }) }
            local before = support.flat(f.param)
            f.grad:slice(1, 20700, 20700):fill(bad)
            update(ranks, 1, 1, 1)
            for _, rank in ipairs(ranks) do
                local s = rank.scalars:tolist()
                assert.are.equal(1, s[S.overflow])
                assert.are.equal(1, s[S.skipped])
                assert.are.equal(0, s[S.step])
                assert.are.equal(0, support.flat(rank.m)[1])
            end
            support.assert_close(f.param, before, 0)
        end
    end))

    it("does not depend on the thread count", scoped(function()
        support.assert_threads_agree(function()
            local f = values "bf16"
            f.grad:copy_from((support.random("f32", { SIZE }, 3)))
            local rank = rank_of(f, { 0, 700 })
            update({ rank }, 1, 1, 0.01)
            return { f.param, rank.m, rank.v, rank.trust, rank.sums, rank.scalars }
        end)
    end))

    it("refuses pieces outside the buffers, changing nothing", scoped(function()
        local function rejects(message, rows)
            local f = values()
            local rank = rank_of(f, { 0, 1000 })
            local before = support.flat(f.param)
            rank.pieces = tensor.from(rows, "i64")
            local prepared = optim.prepare_partition(rank)
            support.assert_rejects(message, {}, function() optim.partition_lamb_moments(prepared) end)
            support.assert_close(f.param, before, 0)
        end
        local tail = "expected within 5 segments and buffers of 21000, 20880 and 20880 elements, ascending and "
            .. "without overlap in m and v"
        rejects("partition_lamb_moments: pieces[0] (from 0) is {segment 5, state 0, param 0, flat 0, length 1}, "
            .. tail, { { 5, 0, 0, 0, 1 } })
        rejects("partition_lamb_moments: pieces[1] (from 0) is {segment 1, state 4, param 9, flat 9, length 1}, "
            .. tail, { { 0, 0, 0, 0, 5 }, { 1, 4, 9, 9, 1 } })
        rejects("partition_lamb_moments: pieces[0] (from 0) is {segment 0, state 0, param 20880, flat 0, length 1}, "
            .. tail, { { 0, 0, 20880, 0, 1 } })
        support.assert_rejects("partition_grad_norm: accumulation is 0, expected 1 or more", {}, function()
            optim.partition_grad_norm(tensor.new("f32", { 1 }), scalars(), tensor.new("f32", { 4 }),
                tensor.from({ { 0, 0, 0, 0, 4 } }, "i64"), 0)
        end)
        support.assert_rejects("partition_lamb_apply: lr_scale is f32 [2], expected f32 [5]", {}, function()
            local rank = rank_of(values(nil, { 1, 1 }), { 0, 1000 })
            optim.partition_lamb_apply(optim.prepare_partition(rank))
        end)
        support.assert_rejects("partition_lamb_apply: sums is f32 [10], expected f32 [5,2]", {}, function()
            local rank = rank_of(values(), { 0, 1000 })
            rank.sums = tensor.new("f32", { 10 })
            optim.partition_lamb_apply(optim.prepare_partition(rank))
        end)
    end))
end)
