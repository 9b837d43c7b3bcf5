--- Products, softmax, RMSNorm, gated linear units, rotary embeddings and parameters on a tape: gradients against finite
-- differences, all of them and the shapes beside them against PyTorch, memory, and messages.

local F = require "bertlua.autograd.functional"
local ParameterStore = require "bertlua.nn.parameters"
local Tape = require "bertlua.autograd.tape"
local differences = require "spec.support.differences"
local device = require "bertlua.device"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local ops = require "spec.support.ops"
local parameters = require "spec.support.parameters"
local tensor = require "bertlua.tensor"

local random, store_of = parameters.random, parameters.store_of

describe("gradients agree with finite differences:", function()
    local function check(name, options) it(name, differences.agree(options)) end

    -- Sizes of a and b: matrices, batches, and what is repeated for one side or the other.
    for _, case in ipairs {
        { { 3, 4 }, { 4, 5 } }, { { 2, 3, 4 }, { 2, 4, 5 } }, { { 2, 3, 4 }, { 4, 5 } }, { { 3, 4 }, { 2, 4, 5 } },
        { { 2, 1, 3, 4 }, { 1, 3, 4, 2 } }, { { 2, 3, 2, 4 }, { 2, 1, 4, 3 } }, { { 2, 3, 2, 4 }, { 1, 1, 4, 3 } },
        { { 3, 2, 4 }, { 2, 3, 4, 2 } },
    } do
        for _, turn in ipairs { { false, false }, { true, false }, { false, true }, { true, true } } do
            local a, b = { unpack(case[1]) }, { unpack(case[2]) }
            local function swap(dims) dims[#dims - 1], dims[#dims] = dims[#dims], dims[#dims - 1] end
            if turn[1] then swap(a) end
            if turn[2] then swap(b) end
            check(("matmul [%s] x [%s], turned %s, %s"):format(table.concat(a, ","), table.concat(b, ","),
                tostring(turn[1]), tostring(turn[2])), function()
                return {
                    inputs = { random(a, 1), random(b, 2) }, samples = 12,
                    forward = function(tape, x, y) return F.matmul(tape, x, y, turn[1], turn[2]) end,
                }
            end)
        end
    end

    check("matmul of a variable with itself", function()
        return {
            inputs = { random({ 4, 3 }, 1, 0.5) },
            forward = function(tape, x) return F.matmul(tape, x, x, false, true) end,
        }
    end)

    check("matmul with a parameter that is used twice, and read by a linear layer too", function()
        local store = store_of { { "weight", { 4, 4 } } }
        return {
            store = store, inputs = { random({ 3, 4 }, 1) },
            forward = function(tape, x)
                local weight = F.parameter(tape, store:get "weight")
                local h = F.linear(tape, F.matmul(tape, x, weight), store:get "weight")
                return F.matmul(tape, F.tanh(tape, h), weight)
            end,
        }
    end)

    check("matmul between a linear layer and a layernorm", function()
        local store = store_of { { "weight", { 6, 5 } }, { "gamma", { 4 } }, { "beta", { 4 } } }
        return {
            store = store, inputs = { random({ 3, 5 }, 1), random({ 6, 4 }, 2) },
            forward = function(tape, x, b)
                local y = F.matmul(tape, F.linear(tape, x, store:get "weight"), b)
                return F.layernorm(tape, y, y, store:get "gamma", store:get "beta", 1e-6, 0.2)
            end,
        }
    end)

    check("softmax and log_softmax of one variable", function()
        return {
            inputs = { random({ 2, 3, 5 }, 1) },
            forward = function(tape, x) return F.add(tape, F.softmax(tape, x), F.log_softmax(tape, x)) end,
        }
    end)

    check("rmsnorm between a linear layer and a layernorm", function()
        local store = store_of { { "weight", { 8, 5 } }, { "root", { 8 } }, { "gamma", { 8 } }, { "beta", { 8 } } }
        return {
            store = store, inputs = { random({ 3, 5 }, 1) },
            forward = function(tape, x)
                local h = F.rmsnorm(tape, F.linear(tape, x, store:get "weight"), store:get "root", 1e-5)
                return F.layernorm(tape, h, nil, store:get "gamma", store:get "beta", 1e-6, 0)
            end,
        }
    end)

    check("rmsnorm in a residual branch, its input used twice", function()
        local store = store_of { { "root", { 8 } } }
        return {
            store = store, inputs = { random({ 3, 8 }, 1) },
            forward = function(tape, x)
                local h = F.tanh(tape, x)
                return F.add(tape, h, F.rmsnorm(tape, h, store:get "root", 1e-5))
            end,
        }
    end)

    for _, activation in ipairs { "sigmoid", "gelu", "gelu_tanh", "silu", "relu" } do
        check("glu, " .. activation .. ", of a linear layer", function()
            local store = store_of { { "weight", { 8, 5 } } }
            return {
                store = store, inputs = { random({ 3, 5 }, 1) }, epsilon = 1e-3,
                forward = function(tape, x)
                    return F.glu(tape, F.linear(tape, x, store:get "weight"), activation)
                end,
            }
        end)
    end

    check("rotary in the memory of a linear layer, then attention", function()
        local store = store_of { { "weight", { 24, 5 } } }
        local positions = tensor.from({ 0, 1, 2, 0, 1 }, "i32")
        local segments = tensor.from({ { 0, 3 }, { 3, 2 } }, "i32")
        return {
            store = store, inputs = { random({ 5, 5 }, 1) },
            forward = function(tape, x)
                local qkv = F.rotary(tape, F.linear(tape, x, store:get "weight"), positions, 2)
                return F.attention(tape, qkv, segments, 2, 3, 0)
            end,
        }
    end)

    check("rotary of a variable that is used again", function()
        local positions = tensor.from({ 7, 100 }, "i32")
        return {
            inputs = { random({ 2, 12 }, 1) },
            forward = function(tape, x) return F.add(tape, x, F.rotary(tape, x, positions, 2, 500)) end,
        }
    end)
end)

-- How a case of the fixture is computed here, from its arguments and variables.
local COMPUTED = {
    matmul = function(tape, a, x, y) return F.matmul(tape, x, y, a.turn_a, a.turn_b) end,
    glu = function(tape, a, x) return F.glu(tape, x, a.activation) end,
    softmax = function(tape, _, x) return F.softmax(tape, x) end,
    log_softmax = function(tape, _, x) return F.log_softmax(tape, x) end,
    rotary = function(tape, a, x) return F.rotary(tape, x, tensor.from(a.positions, "i32"), a.heads, a.base) end,
    reshape = function(tape, a, x) return F.reshape(tape, x, a.dims) end,
    transpose = function(tape, a, x) return F.transpose(tape, x, a.first, a.second) end,
    permute = function(tape, a, x) return F.permute(tape, x, a.order) end,
    cat = function(tape, a, x, y) return F.cat(tape, { x, y, x }, a.dim) end,
    split = function(tape, a, x) return F.split(tape, x, a.sizes, a.dim)[a.part] end,
    slice = function(tape, a, x) return F.slice(tape, x, a.dim, a.first, a.last) end,
    select = function(tape, a, x) return F.select(tape, x, a.dim, a.place) end,
    index_select = function(tape, a, x) return F.index_select(tape, x, a.dim, tensor.from(a.index, "i32")) end,
    -- The second input is a parameter: see below.
    rmsnorm = function(tape, a, x, gamma) return F.rmsnorm(tape, x, gamma, a.eps) end,
}

describe("values and gradients are PyTorch's:", function()
    local tape
    before_each(function() tape = Tape.new {} end)
    after_each(function() tape:close() end)

    local function from(packed)
        local t = tensor.new("f32", packed.dims)
        t:set(packed.values)
        return t
    end

    --- Inputs as variables, or, of rmsnorm the second, as a parameter.
    local function inputs_of(case)
        local inputs, store = {}, nil
        for i, packed in ipairs(case.inputs) do
            if case.name == "rmsnorm" and i == 2 then
                store = store_of { { "gamma", packed.dims } }
                inputs[i] = store:get "gamma"
                inputs[i].value:copy_from(from(packed))
            else
                inputs[i] = tape:input(from(packed), true)
            end
        end
        return inputs, store
    end

    local compared = {}
    for number, case in ipairs(json.decode(fs.read "spec/fixtures/products.json")) do
        compared[case.name] = true
        it(("%s, case %d"):format(case.name, number), function()
            tape:start(1, 0, true)
            local inputs, store = inputs_of(case)
            local y = COMPUTED[case.name](tape, case.arguments, unpack(inputs))
            assert.are.same(case.y.dims, y.dims)
            ops.assert_close(y.value, case.y.values, 2e-6, "y")
            tape:backward(y, from(case.dy))
            for i, x in ipairs(inputs) do
                assert.are.same(case.gradients[i].dims, x.grad:dims())
                ops.assert_close(x.grad, case.gradients[i].values, 4e-6, "gradient " .. i)
            end
            if store then store:free() end
        end)
    end

    it("all that are listed", function()
        for name in pairs(COMPUTED) do assert.is_true(compared[name], name) end
    end)
end)

describe("products on a tape", function()
    local tape
    before_each(function() tape = Tape.new {} end)
    after_each(function() tape:close() end)

    it("leave nothing in the arena after the backward pass, nor in inference", function()
        local store = store_of { { "root", { 8 } }, { "weight", { 24, 8 } }, { "narrow", { 12, 8 } } }
        local x, b = random({ 4, 8 }, 1), random({ 2, 8, 8 }, 2)
        local positions = tensor.from({ 0, 1, 2, 3 }, "i32")
        local function run(input)
            local made = { F.rmsnorm(tape, input, store:get "root", 1e-5) }
            made[2] = F.linear(tape, made[1], store:get "weight")
            made[3] = F.rotary(tape, made[2], positions, 2)
            made[4] = F.glu(tape, made[3], "silu")
            made[5] = F.matmul(tape, made[4], F.parameter(tape, store:get "narrow"))
            made[6] = F.matmul(tape, made[5], b)
            made[7] = F.softmax(tape, made[6])
            made[8] = F.log_softmax(tape, made[7])
            return made
        end
        tape:start(1, 0, true)
        local input = tape:input(x, true)
        local made = run(input)
        tape:backward(made[8])
        tape.arena:release(input.grad)
        assert.are.equal(0, (tape:memory()))
        tape:start(0, 0, false)
        for _, y in ipairs(run(tape:input(x))) do tape:free(y) end
        assert.are.equal(0, (tape:memory()))
        store:free()
    end)

    it("keep no statistics where nothing is to be differentiated", function()
        local store = store_of { { "root", { 8 } } }
        store:get("root").grad = nil -- as of a frozen parameter
        tape:start(1, 0, true)
        local y = F.rmsnorm(tape, random({ 4, 8 }, 1), store:get "root", 1e-5)
        assert.is_false(y.needs_grad)
        assert.are.equal(0, tape.count)
        assert.are.equal(device.is_host() and 4 * 8 * 4 or 256, (tape:memory()))
        assert.is_false(F.parameter(tape, store:get "root").needs_grad)
        store:free()
    end)

    it("differentiate by the input where the parameter is frozen", function()
        local store = store_of { { "root", { 8 } } }
        store:get("root").grad = nil
        local ok = differences.agree(function()
            return {
                inputs = { random({ 3, 8 }, 1) },
                forward = function(of, x)
                    local root = F.parameter(of, store:get "root")
                    return F.matmul(of, F.rmsnorm(of, x, store:get "root", 1e-5), F.reshape(of, root, 8, 1))
                end,
            }
        end)
        ok()
        store:free()
    end)

    it("take rotary's memory from a linear layer alone", function()
        local store = store_of { { "weight", { 24, 5 } } }
        local positions = tensor.from({ 0, 1 }, "i32")
        tape:start(1, 0, true)
        local qkv = F.linear(tape, tape:input(random({ 2, 5 }, 1)), store:get "weight")
        local data = qkv.value.data
        local y = F.rotary(tape, qkv, positions, 2)
        assert.are.equal(data, y.value.data)
        assert.has_error(function() tape:value_of(qkv) end,
            "tape: the value is gone: rotary reused its memory; read it earlier or copy it")
        assert.are_not.equal(data, F.rotary(tape, y, positions, 2).value.data)
        store:free()
    end)

    it("have gradients where nothing is added up", function()
        tape:start(1, 0, true)
        local a = tape:input(tensor.new("f32", { 2, 5, 0 }), true)
        local b = tape:input(tensor.new("f32", { 0, 3 }), true)
        local y = F.matmul(tape, a, b)
        assert.are.equal(0, y.value:sum())
        tape:backward(F.sum(tape, y))
        assert.are.same({ 2, 5, 0 }, a.grad:dims())
        assert.are.same({ 0, 3 }, b.grad:dims())
    end)

    it("round the gradient of a repeated operand once", function()
        -- 300 ones, each sum rounded to bf16, would stop at 256.
        local dtype, n = "bf16", 300
        local a, b = tensor.new(dtype, { n, 1, 1 }):fill(1), tensor.new(dtype, { 1, 1 }):fill(1)
        tape:start(1, 0, true)
        local repeated = tape:input(b, true)
        local turned = tape:input(tensor.new(dtype, { 1, 1 }):fill(1), true)
        tape:backward(F.matmul(tape, a, repeated))
        assert.are.equal(n, repeated.grad:tolist()[1][1])
        tape:start(1, 0, true)
        tape:backward(F.matmul(tape, turned, a))
        assert.are.equal(n, turned.grad:tolist()[1][1])
    end)

    it("give a parameter in another dtype its gradient in f32", function()
        local store = ParameterStore.new()
        store:register("bias", { 3 }, { init = "ones", decay = false })
        store:register("weight", { 3, 3 }, { init = "ones", low = true })
        store:allocate { precision = "bf16" }
        tape:start(1, 0, true)
        local bias = F.parameter(tape, store:get "bias", "bf16")
        assert.are.equal("bf16", bias.dtype)
        assert.are.equal("f32", F.parameter(tape, store:get "bias").dtype)
        assert.are.equal("bf16", F.parameter(tape, store:get "weight").dtype)
        tape:backward(F.matmul(tape, F.reshape(tape, bias, 1, 3), F.parameter(tape, store:get "weight")))
        assert.are.same({ 3, 3, 3 }, store:get("bias").grad:tolist())
        assert.are.same({ 1, 1, 1 }, store:get("weight").grad:tolist()[1])
        store:free()
    end)

    it("say what is wrong at the caller's line", function()
        tape:start(1, 0, true)
        local a, b = tape:input(random({ 2, 3 }, 1)), tape:input(random({ 4, 5 }, 1))
        local function fails(message, ...)
            local arguments, n = { ... }, select("#", ...)
            local ok, err = pcall(function() local y = arguments[1](tape, unpack(arguments, 2, n)) return y end)
            assert.is_false(ok)
            assert.are.equal(message, (err:gsub("^.-products_spec%.lua:%d+: ", "", 1)))
        end
        fails("matmul: a is f32 [2,3], b is f32 [4,5]: a has 3 columns and b 4 rows, expected the same; transpose one",
            F.matmul, a, b)
        fails("matmul: a is f32 [2,3] transposed, b is f32 [4,5]: a has 2 columns and b 4 rows, expected the same; "
            .. "transpose one", F.matmul, a, b, true)
        fails("matmul: a is f32 [2,3], b is f32 [3]: expected 2 to 4 dimensions each; reshape a vector to [1,N] or "
            .. "[N,1]", F.matmul, a, random({ 3 }, 1))
        fails("matmul: a is f32 [2,3], b is bf16 [3,2]: expected one dtype; F.cast converts", F.matmul, a,
            tensor.new("bf16", { 3, 2 }))
        fails("matmul: a is f32 [2,3,4], b is f32 [3,4,5]: expected equal sizes, or 1, before the last two", F.matmul,
            random({ 2, 3, 4 }, 1), random({ 3, 4, 5 }, 1))
        fails("matmul: got number, expected a variable or a tensor", F.matmul, a, 2)
        fails("glu: x is f32 [2,3], expected [T,2I], value | gate", F.glu, a, "silu")
        fails("parameter: got number, expected a parameter of a store that was allocated", F.parameter, 3)
    end)
end)
