--- Arithmetic, comparisons, reductions and losses on the tape: values, gradients against finite differences, memory.

local F = require "bertlua.autograd.functional"
local Tape = require "bertlua.autograd.tape"
local gradcheck = require "bertlua.autograd.gradcheck"
local fails_here = require("spec.support.errors").fails_here
local json = require "bertlua.util.json"
local ops = require "bertlua.ops"
local parameters = require "spec.support.parameters"
local support = require "spec.support.ops"
local tensor = require "bertlua.tensor"

local TOLERANCE = 0.01

local store_of = parameters.store_of

--- Uniform values of a stream in [low, high].
local function uniform(dims, stream, low, high)
    local t = tensor.new("f32", dims)
    ops.fill_uniform(t, low, high, 11, stream)
    return t
end

--- body(tape) on a tape that records.
local function on_tape(body)
    return function()
        local tape = Tape.new {}
        tape:start(1, 0, true)
        tensor.scope(function() body(tape) end)
        tape:close()
    end
end

describe("gradients agree with finite differences:", function()
    local function check(name, forward, inputs, options)
        it(name, function()
            tensor.scope(function()
                local settings = { forward = forward, inputs = inputs(), epsilon = 2e-3 }
                for key, value in pairs(options and options() or {}) do settings[key] = value end
                local worst, checks = gradcheck(settings)
                local lines = {}
                for _, c in ipairs(checks) do
                    lines[#lines + 1] = ("%s: error %.2g at scale %.2g"):format(c.name, c.error, c.scale)
                    assert.is_true(c.scale > 0, c.name .. " has no gradient")
                end
                assert.is_true(worst < TOLERANCE, table.concat(lines, "; "))
            end)
        end)
    end

    local function one() return { uniform({ 3, 5 }, 1, 0.5, 2) } end
    local function both_signs() return { uniform({ 3, 5 }, 1, -2, 2) } end

    for _, name in ipairs { "exp", "log", "sqrt" } do check(name, F[name], one) end
    for _, name in ipairs { "neg", "abs", "relu", "silu", "gelu_tanh", "sigmoid" } do
        check(name, F[name], both_signs)
    end
    for _, p in ipairs { 2, 3, 0.5, -1, 1.7 } do
        check("pow " .. p, function(tape, x) return F.pow(tape, x, p) end, one)
    end
    check("a number to the power of a variable", function(tape, x) return F.pow(tape, 1.5, x) end, both_signs)
    check("affine", function(tape, x) return F.affine(tape, x, -2, 3) end, both_signs)

    for _, name in ipairs { "add", "sub", "mul", "div", "pow", "maximum", "minimum" } do
        local f = F[name]
        check(name, f, function() return { uniform({ 3, 5 }, 1, 0.5, 2), uniform({ 3, 5 }, 2, 0.5, 2) } end)
        check(name .. " with a row", f,
            function() return { uniform({ 3, 5 }, 1, 0.5, 2), uniform({ 5 }, 2, 0.5, 2) } end)
        check(name .. " of a column and a row", f,
            function() return { uniform({ 3, 1 }, 1, 0.5, 2), uniform({ 2, 1, 5 }, 2, 0.5, 2) } end)
        check(name .. " with a number on the right", function(tape, x) return f(tape, x, 1.2) end, one)
        check(name .. " with a number on the left", function(tape, x) return f(tape, 1.2, x) end, one)
        check(name .. " where only the left needs a gradient", function(tape, x)
            return f(tape, x, tensor.from { 1.5, 0.7, 1, 2, 0.6 })
        end, one)
        check(name .. " where only the right needs a gradient", function(tape, x)
            return f(tape, tensor.from { { 1.5 }, { 0.7 }, { 1.1 } }, x)
        end, one)
    end
    for _, name in ipairs { "add", "mul", "pow" } do
        check(name .. " of a variable and itself", function(tape, x) return F[name](tape, x, x) end, one)
    end
    for _, name in ipairs { "sub", "div" } do
        check(name .. " of a variable and a function of it", function(tape, x)
            return F[name](tape, F.mul(tape, x, x), x)
        end, one)
    end

    check("where", function(tape, a, b) return F.where(tape, F.gt(tape, a, b), a, F.mul(tape, b, 3)) end,
        function() return { uniform({ 3, 5 }, 1, -2, 2), uniform({ 5 }, 2, -2, 2) } end)
    check("where with a number", function(tape, x) return F.where(tape, F.lt(tape, x, 0), -1, x) end, both_signs)

    for _, name in ipairs { "sum", "mean", "max", "min" } do
        local inputs = function() return { uniform({ 2, 3, 4 }, 1, -2, 2) } end
        check(name .. " of all elements", F[name], inputs)
        for dim = 1, 3 do
            check(name .. " along dimension " .. dim, function(tape, x) return F[name](tape, x, dim) end, inputs)
        end
        check(name .. ", dimension kept", function(tape, x)
            return F.sub(tape, x, F[name](tape, x, -1, true))
        end, inputs)
    end

    local function two() return { uniform({ 4, 6 }, 1, -2, 2), uniform({ 4, 6 }, 2, -2, 2) } end
    check("mse_loss", F.mse_loss, two)
    check("binary_cross_entropy", F.binary_cross_entropy, two)
    check("kl_div", F.kl_div, two)
    check("cosine_similarity along rows", F.cosine_similarity, two)
    check("cosine_similarity along columns", function(tape, x, y) return F.cosine_similarity(tape, x, y, 1) end, two)

    local store
    check("between a linear layer and layer_norm", function(tape, x)
        local h = F.linear(tape, x, store:get "weight")
        local y = F.add(tape, F.mul(tape, F.silu(tape, h), h), F.mean(tape, h, 2, true))
        return F.layernorm(tape, y, h, store:get "gamma", store:get "beta", 1e-6, 0.3)
    end, function() return { uniform({ 3, 8 }, 1, -1, 1) } end, function()
        store = store_of { { "weight", { 8, 8 } }, { "gamma", { 8 } }, { "beta", { 8 } } }
        return { store = store, epsilon = 1e-2 }
    end)
end)

describe("on the tape", function()
    it("numbers may be on either side", on_tape(function(tape)
        local x = tape:input(tensor.from { 1, 4 })
        local expected = {
            { F.add(tape, x, 2), { 3, 6 } }, { F.add(tape, 2, x), { 3, 6 } }, { F.sub(tape, x, 2), { -1, 2 } },
            { F.sub(tape, 2, x), { 1, -2 } }, { F.mul(tape, x, 3), { 3, 12 } }, { F.mul(tape, 3, x), { 3, 12 } },
            { F.div(tape, x, 4), { 0.25, 1 } }, { F.div(tape, 4, x), { 4, 1 } }, { F.pow(tape, x, 2), { 1, 16 } },
            { F.pow(tape, 2, x), { 2, 16 } }, { F.maximum(tape, x, 2), { 2, 4 } }, { F.maximum(tape, 2, x), { 2, 4 } },
            { F.minimum(tape, x, 2), { 1, 2 } }, { F.minimum(tape, 2, x), { 1, 2 } },
            { F.eq(tape, x, 4), { 0, 1 } }, { F.ne(tape, x, 4), { 1, 0 } }, { F.lt(tape, x, 4), { 1, 0 } },
            { F.le(tape, 4, x), { 0, 1 } }, { F.gt(tape, 4, x), { 1, 0 } }, { F.ge(tape, x, 4), { 0, 1 } },
            { F.where(tape, F.gt(tape, x, 2), x, 0), { 0, 4 } }, { F.where(tape, F.gt(tape, x, 2), -1, x), { 1, -1 } },
        }
        for i, pair in ipairs(expected) do assert.are.same(pair[2], pair[1]:tolist(), "line " .. i) end
    end))

    it("reductions give f32 [1] without a dimension, and x's dtype along one", on_tape(function(tape)
        local x = tape:input(tensor.from({ { 1, 5, 2 }, { 4, 3, 9 } }, "bf16"))
        local total = F.sum(tape, x)
        assert.are.same({ "f32", { 1 }, { 24 } }, { total.dtype, total.dims, total:tolist() })
        local rows = F.max(tape, x, 2)
        assert.are.same({ "bf16", { 2 }, { 5, 9 } }, { rows.dtype, rows.dims, rows:tolist() })
        assert.are.same({ { 2.5, 4, 5.5 } }, F.mean(tape, x, 1, true):tolist())
        assert.are.same({ 1, 3 }, F.min(tape, x, -1):tolist())
        assert.are.same({ 1 }, F.sum(tape, F.sum(tape, x, 1), 1).dims)
        assert.are.same({ "i32", { 1, 2 } }, { F.argmax(tape, x, 2).dtype, F.argmax(tape, x, 2):tolist() })
        assert.are.same({ { 1, 0, 1 } }, F.argmax(tape, x, 1, true):tolist())
        assert.are.same({ 5 }, F.argmax(tape, x):tolist())
        assert.are.same({ 7 }, F.sum(tape, tensor.from(7)):tolist())
        assert.are.same({ 1, 2 }, F.sum(tape, F.gt(tape, x, 3), 2):tolist())
    end))

    it("losses equal their formulas", on_tape(function(tape)
        local x = tape:input(tensor.from { { 1, 2 }, { 3, 5 } })
        local y = tape:input(tensor.from({ { 2, 2 }, { 1, 6 } }, "bf16"))
        assert.are.equal(1.5, F.mse_loss(tape, x, y):item())
        assert.is_near(6 / math.sqrt(5 * 8), F.cosine_similarity(tape, x, y):tolist()[1], 1e-6)
        assert.is_near(5 / math.sqrt(10 * 5), F.cosine_similarity(tape, x, y, 1):tolist()[1], 1e-6)
        local p, q = { { 0.25, 0.75 }, { 0.5, 0.5 } }, { { 0.5, 0.5 }, { 0.1, 0.9 } }
        local total, logs = 0, { {}, {} }
        for i = 1, 2 do
            logs[1][i], logs[2][i] = {}, {}
            for k = 1, 2 do
                total = total + p[i][k] * math.log(p[i][k] / q[i][k]) / 2
                logs[1][i][k], logs[2][i][k] = math.log(p[i][k]), math.log(q[i][k])
            end
        end
        assert.is_near(total, F.kl_div(tape, tensor.from(logs[1]), tensor.from(logs[2])):item(), 1e-6)
    end))

    it("a vector of zeros has cosine 0 and a gradient that is a number", on_tape(function(tape)
        local x, y = tape:input(tensor.from { { 0, 0 } }, true), tape:input(tensor.from { { 1, 2 } }, true)
        local c = F.cosine_similarity(tape, x, y)
        assert.are.equal(0, c:item())
        tape:backward(c)
        for _, v in ipairs(x.grad:tolist()[1]) do assert.is_true(v == v and math.abs(v) < math.huge) end
        assert.are.same({ { 0, 0 } }, y.grad:tolist())
    end))

    it("low precision is rounded once: the gradient of what was repeated is summed in f32", on_tape(function(tape)
        -- In bf16, 256 + 1 is 256: a sum of rounded terms would stay there.
        local x = tape:input(tensor.new("bf16", { 512, 3 }):fill(1), false)
        local row = tape:input(tensor.from({ 1, 2, 4 }, "bf16"), true)
        tape:backward(F.sum(tape, F.mul(tape, x, row)))
        assert.are.same({ 512, 512, 512 }, row.grad:tolist())
    end))

    it("a variable keeps its value and stays readable", on_tape(function(tape)
        local store = store_of { { "weight", { 4, 4 } } }
        local x = tape:input(tensor.new("f32", { 2, 4 }):fill(1), false)
        local h = F.linear(tape, x, store:get "weight")
        local before = h:tolist()
        F.relu(tape, F.add(tape, h, h))
        assert.are.same(before, h:tolist())
    end))

    it("everything of a walk back is released", on_tape(function(tape)
        local x = tape:input(tensor.new("f32", { 4, 6 }):fill(0.5), true)
        local row = tape:input(tensor.new("f32", { 6 }):fill(2), true)
        local h = F.div(tape, F.mul(tape, x, row), F.sum(tape, F.exp(tape, x), 2, true))
        h = F.sub(tape, F.maximum(tape, h, row), F.where(tape, tensor.new("i8", { 6 }), 1, h))
        tape:backward(F.add(tape, F.mse_loss(tape, h, x), F.mean(tape, F.cosine_similarity(tape, h, row))))
        tape.arena:release(x.grad)
        tape.arena:release(row.grad)
        assert.are.equal(0, (tape:memory()))
    end))

    it("recomputes itself under a checkpoint", on_tape(function(tape)
        local module = {}
        function module.forward(_, t, x)
            return F.mul(t, F.where(t, F.gt(t, x, 1), x, F.exp(t, x)), F.mean(t, x, 2, true))
        end
        local values = tensor.new("f32", { 3, 5 })
        ops.fill_uniform(values, -2, 2, 1, 1)
        local gradients = {}
        for i, run in ipairs { module.forward, function(_, t, x) return t:checkpoint(module, x) end } do
            tape:start(1, 0, true)
            local x = tape:input(values, true)
            tape:backward(run(module, tape, x))
            gradients[i] = x.grad:tolist()
        end
        assert.are.same(gradients[1], gradients[2])
    end))

    it("binary cross-entropy is exact far from 0 and at it", on_tape(function(tape)
        local x = tape:input(tensor.from { -200, 200, 0, 200 }, true)
        local y = tensor.from { 0, 1, 1, 0 }
        local loss = F.binary_cross_entropy(tape, x, y)
        assert.is_near((math.log(2) + 200) / 4, loss:item(), 1e-5)
        assert.has_error(function() F.binary_cross_entropy(tape, x, tensor.from { 1 }) end,
            "binary_cross_entropy: x is f32 [4], y is f32 [1], expected one shape")
    end))

    it("losses free what they made in inference", on_tape(function(tape)
        local x, y = tensor.new("bf16", { 3, 4 }):fill(1), tensor.new("bf16", { 3, 4 }):fill(2)
        for name, elements in pairs { mse_loss = 1, binary_cross_entropy = 1, kl_div = 1, cosine_similarity = 3 } do
            tape:start(1, 0, false)
            tape:tensor("f32", { elements })
            local least = tape:memory()
            tape:start(1, 0, false)
            F[name](tape, tape:input(x), tape:input(y))
            assert.are.equal(least, (tape:memory()), name)
        end
    end))

    it("cast changes the dtype, forth and back", on_tape(function(tape)
        local x = tape:input(tensor.from { 1, 2.5 }, true)
        local y = F.cast(tape, x, "bf16")
        assert.are.equal("bf16", y.dtype)
        assert.are.equal(x, F.cast(tape, x, "f32"))
        tape:backward(F.sum(tape, F.mul(tape, y, y)))
        assert.are.same({ 2, 5 }, x.grad:tolist())
    end))

    it("a sum may lie outside the arena", on_tape(function(tape)
        local x, out = tape:input(tensor.from { 1, 2 }, true), tensor.new("f32", { 2 })
        local y = F.add(tape, x, x, out)
        tape:backward(y)
        assert.are.same({ 2, 4 }, out:tolist())
        assert.are.same({ 2, 2 }, x.grad:tolist())
    end))
end)

describe("mistakes name the function and what it got:", function()
    it("shapes, dtypes, dimensions, operands", on_tape(function(tape)
        local x, row = tape:input(tensor.new("f32", { 2, 3 })), tape:input(tensor.new("f32", { 2 }))
        local one = tensor.new("f32", { 1 })
        local half, out = tensor.new("bf16", { 3 }), tensor.new("f32", { 2, 3 })
        fails_here("mul: a is f32 %[2,3%], b is f32 %[2%]: counted from the last", function() F.mul(tape, x, row) end)
        fails_here("where: a is f32 %[2,3%], b is f32 %[2%]", function() F.where(tape, F.eq(tape, x, 0), x, row) end)
        fails_here("sub: a is f32 %[2,3%], b is bf16 %[3%], expected one dtype; convert with F.cast",
            function() F.sub(tape, x, half) end)
        fails_here("sum: dimension is 3, the variable is f32 %[2,3%]", function() F.sum(tape, x, 3) end)
        fails_here("argmax: dimension is 0, the variable is", function() F.argmax(tape, x, 0) end)
        fails_here("exp: got string, expected a variable or a tensor", function() F.exp(tape, "x") end)
        fails_here("add: got nil, expected a variable or a tensor", function() F.add(tape, x, nil) end)
        fails_here("lt: got two numbers", function() F.lt(tape, 1, 2) end)
        fails_here("where: a and b are numbers", function() F.where(tape, F.eq(tape, x, 0), 1, 2) end)
        fails_here("cast: dtype is i32, expected f32, bf16 or f16", function() F.cast(tape, x, "i32") end)
        fails_here("affine: a is nil, b is 2, expected numbers", function() F.affine(tape, x, nil, 2) end)
        fails_here("cosine_similarity: a is f32 %[2,3%], b is f32 %[2%]: counted from the last",
            function() F.cosine_similarity(tape, x, row) end)
        fails_here("cosine_similarity: x is f32 %[2,3%], y is f32 %[1%], expected one size",
            function() F.cosine_similarity(tape, x, one) end)
        fails_here("mse_loss: a is f32 %[2,3%], b is f32 %[2%]", function() F.mse_loss(tape, x, row) end)
        fails_here("mse_loss: got number, expected a variable or a tensor", function() F.mse_loss(tape, x, 1) end)
        fails_here("kl_div: log_p is f32 %[2,3%], log_q is f32 %[1%], expected one",
            function() F.kl_div(tape, x, one) end)
        fails_here("add: got a number and a tensor for the result", function() F.add(tape, x, 1, out) end)
    end))
end)

describe("values and gradients equal PyTorch's:", function()
    local fixture = json.read "spec/fixtures/elementwise_ops.json"

    -- A function for each case of spec/peers/make_op_fixtures.py.
    local cases = {
        affine = function(tape, x) return F.affine(tape, x, -2, 3) end,
        square = function(tape, x) return F.pow(tape, x, 2) end,
        cube = function(tape, x) return F.pow(tape, x, 3) end,
        exponential = function(tape, x) return F.pow(tape, 1.5, x) end,
        clamp_min = function(tape, x) return F.maximum(tape, x, 0.5) end,
        clamp_max = function(tape, x) return F.minimum(tape, 0.5, x) end,
        where_number = function(tape, x) return F.where(tape, F.lt(tape, x, 0), -1, x) end,
        reciprocal = function(tape, x) return F.div(tape, 3, x) end,
        pow = function(tape, x) return F.pow(tape, x, 1.7) end,
        rsqrt = function(tape, x) return F.pow(tape, x, -0.5) end,
        self_product = function(tape, x) return F.mul(tape, x, x) end,
        argmax = function(tape, x) return F.argmax(tape, x, 2) end,
        argmax_ties = function(tape, x) return F.argmax(tape, x, 2) end,
        mse_loss = F.mse_loss, kl_div = F.kl_div, cosine = F.cosine_similarity,
        cosine_1 = function(tape, x, y) return F.cosine_similarity(tape, x, y, 1) end,
    }
    for _, name in ipairs { "neg", "exp", "abs", "relu", "silu", "gelu_tanh", "sigmoid", "log", "sqrt" } do
        cases[name] = F[name]
    end
    local two = {
        add = F.add, sub = F.sub, mul = F.mul, div = F.div, power = F.pow, maximum = F.maximum, minimum = F.minimum,
        where = function(tape, a, b) return F.where(tape, F.gt(tape, a, b), a, F.mul(tape, b, 3)) end,
    }
    for name, f in pairs(two) do cases[name], cases[name .. "_row"], cases[name .. "_outer"] = f, f, f end
    cases.maximum_ties, cases.minimum_ties = F.maximum, F.minimum
    for _, name in ipairs { "sum", "mean", "max", "min" } do
        cases[name] = F[name]
        cases[name .. "_ties"] = function(tape, x) return F[name](tape, x, 2) end
        for dim = 1, 3 do cases[name .. "_" .. dim] = function(tape, x) return F[name](tape, x, dim) end end
    end

    local function assert_equal(expected, value, what)
        assert.are.same(expected.dims, value:dims(), what)
        support.assert_close(value, expected.values, 2e-6, what)
    end

    local names = {}
    for name in pairs(fixture.cases) do names[#names + 1] = name end
    table.sort(names)
    for _, name in ipairs(names) do
        local case = fixture.cases[name]
        it(name, on_tape(function(tape)
            local inputs = {}
            for i, input in ipairs(case.inputs) do
                local given = fixture.inputs[input]
                inputs[i] = tape:input(tensor.new("f32", given.dims):set(given.values), true)
            end
            local y = cases[name](tape, unpack(inputs))
            assert_equal(case.output, y.value, "output")
            if not case.gradients then
                assert.is_false(y.needs_grad)
                return
            end
            local weights = {}
            for i = 1, #case.output.values do weights[i] = math.cos(i - 1) end
            tape:backward(y, tensor.new("f32", y.dims):set(weights))
            for i, x in ipairs(inputs) do assert_equal(case.gradients[i], x.grad, "gradient " .. i) end
        end))
    end

    it("in every case of the fixture", function()
        for name in pairs(cases) do assert.is_table(fixture.cases[name], name) end
    end)
end)
