--- Fused kernels on a GPU: bad indices that only a kernel sees, and replay from a graph.

local context = require "bertlua.context"
local device = require "bertlua.device"
local ops = require "bertlua.ops"
local optim = require "bertlua.optim"
local support = require "spec.support.ops"
local tensor = require "bertlua.tensor"

if context.device() ~= "cuda" then return end

local scoped = support.scoped

local function is_nan(x)
    return x ~= x
end

--- Fail unless the rows listed, from 1, are NaN throughout and the others hold no NaN.
local function assert_nan_rows(t, bad)
    for r, row in ipairs(t:tolist()) do
        for _, value in ipairs(row) do assert.are.equal(bad[r] or false, is_nan(value)) end
    end
end

describe("an index outside its table", function()
    local ROWS, WORDS = 5, 4

    -- Widths for vectors and for single elements.
    local function each_width(body)
        support.each_dtype(function(dtype) for _, width in ipairs { 16, 5 } do body(dtype, width) end end)
    end

    it("makes its row of embeddings NaN, and no table row receives its gradient", scoped(function()
        each_width(function(dtype, width)
            local word, kind = support.random(dtype, { WORDS, width }, 1), support.random(dtype, { 2, width }, 2)
            local ids = tensor.from({ 0, WORDS, 3, -1, 2 ^ 31 - 1 }, "i32")
            local positions, kinds = tensor.from({ 3, 3, 3, 3, 3 }, "i32"), tensor.from({ 1, 1, 1, 1, 1 }, "i32")
            local gamma, beta = tensor.new("f32", { width }):fill(1), tensor.new("f32", { width })
            local y = tensor.new(dtype, { ROWS, width })
            local mean, rstd = tensor.new("f32", { ROWS }), tensor.new("f32", { ROWS })
            ops.embedding_forward(y, mean, rstd, word, word, kind, ids, positions, kinds, gamma, beta, 1e-5)
            assert_nan_rows(y, { [2] = true, [4] = true, [5] = true })

            local dword, dkind = tensor.new("f32", { WORDS, width }), tensor.new("f32", { 2, width })
            local dy = support.random(dtype, { ROWS, width }, 3)
            ops.embedding_backward(dword, nil, nil, nil, nil, dy, mean, rstd, word, word, kind, ids, positions, kinds,
                gamma)
            assert_nan_rows(dword, {})
            local sums = dword:tolist()
            assert.are_not.equal(0, sums[1][1])
            assert.are_not.equal(0, sums[4][1])
            for i = 1, width do
                assert.are.equal(0, sums[2][i])
                assert.are.equal(0, sums[3][i])
            end
            kinds:set { 1, 2, -5, 1, 1 }
            ids:fill(0)
            ops.embedding_forward(y, nil, nil, word, word, kind, ids, positions, kinds, gamma, beta, 1e-5)
            assert_nan_rows(y, { [2] = true, [3] = true })
            assert_nan_rows(dkind, {})
        end)
    end))

    it("turns queries and keys by NaN at a position below 0, and leaves the values", scoped(function()
        each_width(function(dtype)
            local x, y = support.random(dtype, { 3, 12 }, 1), tensor.new(dtype, { 3, 12 })
            ops.rotary(y, x, tensor.from({ 2, -1, 2 ^ 31 - 1 }, "i32"), 1, 10000)
            assert_nan_rows(y:slice(2, 1, 8), { [2] = true })
            support.assert_same(tensor.new(dtype, { 3, 4 }):copy_from(y:slice(2, 9, 12)),
                tensor.new(dtype, { 3, 4 }):copy_from(x:slice(2, 9, 12)))
        end)
    end))

    it("gathers NaN, and its gradient goes nowhere", scoped(function()
        each_width(function(dtype, width)
            local x, y = support.random(dtype, { 3, width }, 1), tensor.new(dtype, { 4, width })
            local index = tensor.from({ 2, 3, -1, 0 }, "i32")
            ops.gather_forward(y, x, index)
            assert_nan_rows(y, { [2] = true, [3] = true })
            local dx = support.poisoned(dtype, { 3, width })
            ops.gather_backward(dx, y, index)
            assert_nan_rows(dx, {})
            for _, value in ipairs(dx:tolist()[2]) do assert.are.equal(0, value) end
        end)
    end))

    it("means NaN, and its gradient goes nowhere", scoped(function()
        each_width(function(dtype, width)
            local x, y = support.random(dtype, { 3, width }, 1), tensor.new(dtype, { 4, width })
            local segments = tensor.from({ { 0, 2 }, { 2, 2 }, { -1, 1 }, { 2, 1 } }, "i32")
            ops.segment_mean_forward(y, x, segments)
            assert_nan_rows(y, { [2] = true, [3] = true })
            local dx = support.poisoned(dtype, { 3, width })
            ops.segment_mean_backward(dx, y, segments)
            assert_nan_rows(dx, {})
        end)
    end))

    it("makes the loss NaN", scoped(function()
        local logits, loss = support.random("f32", { 2, 8 }, 1), tensor.new("f32", { 1 })
        for _, bad in ipairs { 7, -2 } do
            ops.cross_entropy_forward(loss, nil, nil, logits, tensor.from({ 0, bad }, "i32"), 7)
            assert.is_true(is_nan(loss:item()))
        end
        local spans = support.random("f32", { 6, 2 }, 1)
        local starts = tensor.from({ 0, 0 }, "i32")
        for _, bad in ipairs { { 4, 3 }, { -1, 2 } } do
            ops.span_loss_forward(loss, nil, spans, tensor.from({ { 0, 2 }, bad }, "i32"), starts, starts)
            assert.is_true(is_nan(loss:item()))
        end
    end))
end)

describe("a recorded step of fused kernels", function()
    local ROWS, WIDTH, WORDS, PICKS = 70, 24, 300, 40

    -- Inputs, and run() that overwrites or adds to the outputs.
    local function make()
        local s = { out = {} }
        local function out(name, dtype, dims)
            s.out[name] = tensor.new(dtype, dims)
            return s.out[name]
        end
        local list, picks, labels = {}, {}, {}
        for i = 1, ROWS do list[i] = i * i % WORDS end
        for i = 1, PICKS do picks[i], labels[i] = i * 7 % 11, i % 5 - 1 end
        s.ids, s.picks, s.labels = tensor.from(list, "i32"), tensor.from(picks, "i32"), tensor.from(labels, "i32")
        s.zeros = tensor.new("i32", { ROWS })
        s.word, s.kind = support.random("bf16", { WORDS, WIDTH }, 1), support.random("bf16", { 2, WIDTH }, 2)
        s.gamma, s.beta = support.random("f32", { WIDTH }, 3), support.random("f32", { WIDTH }, 4)
        s.x = support.random("bf16", { ROWS, WIDTH }, 5)
        s.dropout = support.dropout(1, 2, 3, 0.25)
        local y, z = out("y", "bf16", { ROWS, WIDTH }), out("z", "bf16", { ROWS, WIDTH })
        local mean, rstd = out("mean", "f32", { ROWS }), out("rstd", "f32", { ROWS })
        local dx, dresidual = out("dx", "bf16", { ROWS, WIDTH }), out("dresidual", "bf16", { ROWS, WIDTH })
        local dgamma, dbeta = out("dgamma", "f32", { WIDTH }), out("dbeta", "f32", { WIDTH })
        local dword, dkind = out("dword", "f32", { WORDS, WIDTH }), out("dkind", "f32", { 2, WIDTH })
        local picked, dlogits = out("picked", "bf16", { PICKS, WIDTH }), out("dlogits", "bf16", { PICKS, WIDTH })
        local loss, lse = out("loss", "f32", { 1 }), out("lse", "f32", { PICKS })
        local size = WORDS * WIDTH
        local f = { beta1 = 0.9, beta2 = 0.999, eps = 1e-6, grad = dword:view(size) }
        f.param, f.m, f.v = out("param", "f32", { size }), out("m", "f32", { size }), out("v", "f32", { size })
        f.param:fill(0.5)
        f.segments = tensor.from({ { 0, 100 }, { 112, size - 112 } }, "i64")
        f.decay, f.scalars = tensor.from { 0.01, 0 }, out("scalars", "f32", { optim.SCALAR_COUNT })
        f.scalars:set { 0.01, 0, 1, 0, 0, 0, 0, 0 }
        local prepared = optim.prepare(f)
        function s.run()
            ops.embedding_forward(y, mean, rstd, s.word, s.word, s.kind, s.ids, s.zeros, s.zeros, s.gamma, s.beta, 1e-5,
                s.dropout)
            ops.embedding_backward(dword, nil, dkind, nil, nil, s.x, mean, rstd, s.word, s.word, s.kind, s.ids, s.zeros,
                s.zeros, s.gamma, s.dropout)
            ops.layernorm_forward(y, z, mean, rstd, s.x, y, s.gamma, s.beta, 1e-5, s.dropout)
            ops.gather_forward(picked, y, s.picks)
            ops.cross_entropy_forward(loss, lse, nil, picked, s.labels, WIDTH - 3)
            ops.cross_entropy_backward(dlogits, picked, s.labels, lse, loss, WIDTH - 3)
            ops.gather_backward(dx, dlogits, s.picks)
            ops.layernorm_backward(dx, dresidual, dgamma, dbeta, dx, z, mean, rstd, s.gamma, s.dropout)
            optim.grad_norm(f.scalars, f.grad, 2, 1)
            optim.lamb_update(prepared)
            optim.adamw_update(prepared)
            optim.loss_scale_update(f.scalars, 2, 0.5, 2, 1)
        end
        return s
    end

    it("gives the same as the calls, bit for bit, each time", scoped(function()
        local eager, replayed = make(), make()
        for _ = 1, 4 do eager.run() end
        replayed.run() -- scratch grows outside of the recording
        local graph = assert(device.record(replayed.run))
        for _ = 1, 3 do graph:launch() end
        for name, t in pairs(eager.out) do support.assert_same(replayed.out[name], t, name) end
        graph:free()
    end))
end)
