local tensor = require "bertlua.tensor"
local ops = require "bertlua.ops"
local support = require "spec.support.ops"
local reference = require "spec.support.reference"

local scoped = support.scoped
local EPS = 1e-5
local VOCAB, POSITIONS, TYPES = 11, 6, 2
-- {rows, width}: the last has more rows than are scattered at a time.
local SHAPES = { { 1, 1 }, { 1, 7 }, { 3, 33 }, { 4, 771 }, { 40, 16 }, { 1100, 5 } }

local function forward(dtype, rows, width, dropout)
    local f = { rows = rows, width = width, dropout = dropout }
    f.word, f.word_values = support.random(dtype, { VOCAB, width }, 1)
    f.position, f.position_values = support.random(dtype, { POSITIONS, width }, 2)
    f.type, f.type_values = support.random(dtype, { TYPES, width }, 3)
    f.ids, f.ids_list = support.integers(rows, VOCAB, 4)
    f.positions, f.positions_list = support.integers(rows, POSITIONS, 5)
    f.types, f.types_list = support.integers(rows, TYPES, 6)
    f.gamma, f.gamma_values = support.random("f32", { width }, 7, 1, 1)
    f.beta, f.beta_values = support.random("f32", { width }, 8)
    f.y = support.poisoned(dtype, { rows, width })
    f.mean, f.rstd = support.poisoned("f32", { rows }), support.poisoned("f32", { rows })
    ops.embedding_forward(f.y, f.mean, f.rstd, f.word, f.position, f.type, f.ids, f.positions, f.types, f.gamma, f.beta,
        EPS, dropout)
    f.z = reference.lookup_sum(width, { f.word_values, f.ids_list }, { f.position_values, f.positions_list },
        { f.type_values, f.types_list })
    return f
end

local function backward(f, dword, dposition, dtype, dgamma, dbeta, dy)
    ops.embedding_backward(dword, dposition, dtype, dgamma, dbeta, dy, f.mean, f.rstd, f.word, f.position, f.type,
        f.ids, f.positions, f.types, f.gamma, f.dropout)
end

local function each_shape(body)
    support.each_dtype(function(dtype, tolerance)
        for _, shape in ipairs(SHAPES) do body(dtype, tolerance, shape[1], shape[2]) end
    end)
end

local function sum(a, b)
    return reference.map(a, function(v, i) return v + b[i] end)
end

describe("embedding_forward", function()
    it("normalises the sum of three lookups, then drops", scoped(function()
        each_shape(function(dtype, tolerance, rows, width)
            local dropout, d = support.dropout(12, 3, 1, 0.25)
            local f = forward(dtype, rows, width, dropout)
            local y, mean, rstd = reference.layernorm(f.z, rows, width, f.gamma_values, f.beta_values, EPS)
            local keep = reference.dropout_keep(rows * width, d.seed, d.step, d.op, d.p)
            support.assert_close(f.mean, mean, 4e-6, "mean")
            support.assert_close(f.rstd, rstd, 4e-5, "rstd")
            support.assert_close(f.y, reference.map(y, function(v, i) return v * keep[i] end), tolerance + 5e-5, "y")
        end)
    end))

    it("gives the same y without statistics", scoped(function()
        local f = forward("bf16", 3, 33)
        local y = support.poisoned("bf16", { 3, 33 })
        ops.embedding_forward(y, nil, nil, f.word, f.position, f.type, f.ids, f.positions, f.types, f.gamma, f.beta,
            EPS)
        support.assert_same(y, f.y)
    end))
end)

describe("embedding_backward", function()
    it("adds each row's gradient to the table rows it came from", scoped(function()
        each_shape(function(dtype, _, rows, width)
            local dropout, d = support.dropout(12, 3, 1, 0.25)
            local f = forward(dtype, rows, width, dropout)
            local dy, dy_values = support.random(dtype, { rows, width }, 9)
            local dword, word_before = support.random("f32", { VOCAB, width }, 10)
            local dposition, position_before = support.random("f32", { POSITIONS, width }, 11)
            local dtype_table, type_before = support.random("f32", { TYPES, width }, 12)
            local dgamma, gamma_before = support.random("f32", { width }, 13)
            local dbeta, beta_before = support.random("f32", { width }, 14)
            backward(f, dword, dposition, dtype_table, dgamma, dbeta, dy)

            local keep = reference.dropout_keep(rows * width, d.seed, d.step, d.op, d.p)
            local kept = reference.map(dy_values, function(v, i) return v * keep[i] end)
            local dz, gamma_gradient, beta_gradient =
                reference.layernorm_gradient(kept, f.z, rows, width, f.gamma_values, EPS)
            -- One column has no variance: there the gradient of z is 0 exactly.
            local tolerance = width < 8 and 2e-3 or 5e-5
            local function scattered(list, size) return reference.scatter_add(dz, width, list, size) end
            support.assert_close(dword, sum(scattered(f.ids_list, VOCAB), word_before), tolerance, "dword")
            support.assert_close(dposition, sum(scattered(f.positions_list, POSITIONS), position_before), tolerance,
                "dposition")
            support.assert_close(dtype_table, sum(scattered(f.types_list, TYPES), type_before), tolerance, "dtype")
            support.assert_close(dgamma, sum(gamma_gradient, gamma_before), 2e-4, "dgamma")
            support.assert_close(dbeta, sum(beta_gradient, beta_before), 2e-5, "dbeta")
        end)
    end))

    it("computes only what is asked for", scoped(function()
        local f = forward("f32", 40, 16)
        local dy = support.random("f32", { 40, 16 }, 9)
        local whole, alone = tensor.new("f32", { VOCAB, 16 }), tensor.new("f32", { VOCAB, 16 })
        local other = tensor.new("f32", { POSITIONS, 16 })
        backward(f, whole, other, tensor.new("f32", { TYPES, 16 }), tensor.new("f32", { 16 }),
            tensor.new("f32", { 16 }), dy)
        backward(f, alone, nil, nil, nil, nil, dy)
        support.assert_same(alone, whole)
    end))

    it("computes each gradient alone, as where the others' parameters are frozen", scoped(function()
        support.each_dtype(function(dtype)
            for _, width in ipairs { 16, 33 } do
                local f = forward(dtype, 40, width)
                local dy = support.random(dtype, { 40, width }, 9)
                local function outputs()
                    return { tensor.new("f32", { VOCAB, width }), tensor.new("f32", { POSITIONS, width }),
                        tensor.new("f32", { TYPES, width }), tensor.new("f32", { width }),
                        tensor.new("f32", { width }) }
                end
                local whole, alone = outputs(), outputs()
                backward(f, whole[1], whole[2], whole[3], whole[4], whole[5], dy)
                for i = 1, 5 do
                    local one = {}
                    one[i] = alone[i]
                    backward(f, one[1], one[2], one[3], one[4], one[5], dy)
                    support.assert_same(alone[i], whole[i])
                end
            end
        end)
    end))

    it("agrees with differences of the reference", scoped(function()
        local rows, width = 6, 5
        local f = forward("f32", rows, width)
        local _, dy = support.random("f32", { rows * width }, 9)
        local function loss()
            local z = reference.lookup_sum(width, { f.word_values, f.ids_list },
                { f.position_values, f.positions_list }, { f.type_values, f.types_list })
            return reference.dot((reference.layernorm(z, rows, width, f.gamma_values, f.beta_values, EPS)), dy)
        end
        local dz = reference.layernorm_gradient(dy, f.z, rows, width, f.gamma_values, EPS)
        local gradient = reference.scatter_add(dz, width, f.ids_list, VOCAB)
        support.assert_gradient(reference.differences(loss, f.word_values, 1e-5), gradient, 1e-7)
        gradient = reference.scatter_add(dz, width, f.types_list, TYPES)
        support.assert_gradient(reference.differences(loss, f.type_values, 1e-5), gradient, 1e-7)
    end))

    it("does not depend on the thread count", scoped(function()
        support.assert_threads_agree(function()
            local f = forward("bf16", 1100, 40, (support.dropout(12, 3, 1, 0.25)))
            local dy = support.random("bf16", { 1100, 40 }, 9)
            local out = {
                tensor.new("f32", { VOCAB, 40 }), tensor.new("f32", { POSITIONS, 40 }),
                tensor.new("f32", { TYPES, 40 }), tensor.new("f32", { 40 }), tensor.new("f32", { 40 }),
            }
            backward(f, out[1], out[2], out[3], out[4], out[5], dy)
            out[6] = f.y
            return out
        end)
    end))
end)

describe("validation of embedding", function()
    it("names op, argument, got and expected, and leaves outputs alone", scoped(function()
        local f = forward("f32", 3, 8)
        local y = support.poisoned("f32", { 3, 8 })
        local function rejects(message, changes)
            local a = setmetatable(changes, { __index = f })
            support.assert_rejects(message, { y }, function()
                ops.embedding_forward(changes.y or y, nil, nil, a.word, a.position, a.type, a.ids, a.positions, a.types,
                    a.gamma, a.beta, EPS)
            end)
        end
        rejects("embedding: ids[1] (from 0) is 11, expected 0 to 10", { ids = tensor.from({ 0, 11, 2 }, "i32") })
        rejects("embedding: types[0] (from 0) is -1, expected 0 to 1", { types = tensor.from({ -1, 0, 0 }, "i32") })
        rejects("embedding: positions[2] (from 0) is 6, expected 0 to 5",
            { positions = tensor.from({ 0, 5, 6 }, "i32") })
        rejects("embedding: positions is i32 [2], expected i32 [3]", { positions = tensor.from({ 0, 5 }, "i32") })
        rejects("embedding: position is f32 [6,7], expected f32 [S,8]", { position = tensor.new("f32", { 6, 7 }) })
        rejects("embedding: ids is i64 [3], expected i32 [T]", { ids = tensor.new("i64", { 3 }) })
        local dword = support.poisoned("f32", { VOCAB, 7 })
        support.assert_rejects("embedding_backward: dword is f32 [11,7], expected f32 [11,8]", { dword }, function()
            backward(f, dword, nil, nil, nil, nil, tensor.new("f32", { 3, 8 }))
        end)
    end))
end)
