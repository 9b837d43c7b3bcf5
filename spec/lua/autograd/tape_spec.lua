--- The tape: gradients by several paths, memory, inference.

local F = require "bertlua.autograd.functional"
local ParameterStore = require "bertlua.nn.parameters"
local Tape = require "bertlua.autograd.tape"
local errors = require "spec.support.errors"
local device = require "bertlua.device"
local gradcheck = require "bertlua.autograd.gradcheck"
local parameters = require "spec.support.parameters"
local tensor = require "bertlua.tensor"

local TOLERANCE = 0.01

local random, store_of = parameters.random, parameters.store_of

describe("tape", function()
    it("adds the gradients of all consumers", function()
        local tape = Tape.new {}
        tape:start(1, 0, true)
        local x = tape:input(tensor.from({ { 1, -2 }, { 3, 4 } }, "f32"), true)
        local doubled = F.add(tape, x, x)
        local y = F.add(tape, doubled, x)
        assert.are.same({ { 3, -6 }, { 9, 12 } }, y:tolist())
        tape:backward(y)
        assert.are.same({ { 3, 3 }, { 3, 3 } }, x.grad:tolist())
        tape:close()
    end)

    it("takes the sums of a linear layer's gradient from the op that computed it, if it computed all of it", function()
        for _, others in ipairs { 0, 1 } do
            local store = store_of { { "weight", { 4, 3 } }, { "bias", { 4 } } }
            local tape = Tape.new {}
            tape:start(1, 0, true)
            local x = F.linear(tape, tape:input(random({ 5, 3 }, 1)), store:get "weight", store:get "bias")
            -- Not what they are, so that the spec sees where the bias has its gradient from.
            local function backward(_, node)
                local dx, sums = tape:gradient_like(node.x), tape:sums_like(node.x)
                dx:fill(2)
                sums:fill(7)
                tape:accumulate(node.x, dx, sums)
            end
            local first = others > 0 and F.sum(tape, x)
            local y = F.sum(tape, tape:record(tape:variable_like(x), x, { backward = backward, x = x }))
            tape:backward(first and F.add(tape, first, y) or y)
            assert.are.equal(others > 0 and 5 * (2 + 1) or 7, store:get("bias").grad:tolist()[1])
            assert.are.equal(0, (tape:memory()))
            tape:close()
        end
        local tape = Tape.new {}
        tape:start(1, 0, true)
        local input = tape:input(random({ 5, 3 }, 1), true)
        local weight = store_of({ { "weight", { 4, 3 } }, { "bias", { 4 } } })
        assert.is_nil(tape:sums_like(input), "no bias")
        assert.is_nil(tape:sums_like(F.linear(tape, input, weight:get "weight")), "no bias")
        for _, activation in ipairs { "gelu", "gelu_tanh", "tanh" } do
            assert.is_nil(tape:sums_like(F.linear(tape, input, weight:get "weight", weight:get "bias", activation)),
                "its gradient is not that of the bias")
        end
        tape:close()
    end)

    it("scales the gradient by the seed", function()
        local tape = Tape.new {}
        tape:start(1, 0, true)
        local x = tape:input(tensor.from({ 0.5 }, "f32"), true)
        tape:backward(F.add(tape, x, x), tensor.from({ 8 }, "f32"))
        assert.are.equal(16, x.grad:item())
        tape:close()
    end)

    it("passes over unused outputs", function()
        local tape = Tape.new {}
        tape:start(1, 0, true)
        local x = tape:input(random({ 2, 3 }, 1), true)
        F.gelu(tape, x)
        tape:backward(F.tanh(tape, x))
        tape.arena:release(x.grad)
        assert.are.equal(0, (tape:memory()))
        tape:close()
    end)

    it("keeps results outside the arena", function()
        local tape = Tape.new {}
        tape:start(1, 0, true)
        local out = tensor.new("f32", { 1 })
        local x = tape:input(tensor.from({ 2 }, "f32"), true)
        local y = F.add(tape, x, x, out)
        tape:backward(y)
        assert.are.equal(4, out:item())
        assert.are.equal(4, y:item())
        tape:close()
    end)

    it("records nothing in inference and frees what it is told to", function()
        local tape = Tape.new {}
        tape:start(1, 0, false)
        local x = tape:input(random({ 2, 3 }, 1), true)
        local y = F.gelu(tape, x)
        assert.are.equal(0, tape.count)
        tape:free(x)
        assert.is_truthy(x.value)
        tape:free(y)
        assert.are.equal(0, (tape:memory()))
        assert.has_error(function() tape:backward(y) end,
            "tape: backward after an inference forward, start(step, micro, true) first")
        local _, message = pcall(F.gelu, tape, y)
        assert.is_truthy(message:find("the value is gone: it was freed after its last use", 1, true))
        tape:close()
    end)

    it("does not differentiate what is untracked, nor free what was recorded before", function()
        local tape = Tape.new {}
        tape:start(1, 0, true)
        local x = tape:input(tensor.from({ 2 }, "f32"), true)
        local doubled = F.add(tape, x, x)
        local nodes = tape.count
        local constant = tape:untracked(function(y, p)
            local squared = F.mul(tape, y, y)
            tape:free(y)
            assert.is_nil(tape:dropout(p))
            return squared
        end, doubled, 0.5)
        assert.are.equal(nodes, tape.count)
        assert.is_true(tape.recording and tape.training)
        assert.are.equal(16, constant:item())
        tape:backward(F.mul(tape, constant, doubled))
        assert.are.equal(32, x.grad:item())
        tape:close()
    end)

    it("refuses to read a value whose memory was reused by an op", function()
        local store = store_of { { "w", { 4, 4 } }, { "gamma", { 4 } }, { "beta", { 4 } } }
        local tape = Tape.new {}
        tape:start(1, 0, true)
        local y = F.linear(tape, tape:input(random({ 2, 4 }, 1)), store:get "w")
        F.layernorm(tape, y, nil, store:get "gamma", store:get "beta", 1e-12, 0)
        local _, message = pcall(F.gelu, tape, y)
        assert.is_truthy(message:find("the value is gone: layernorm reused its memory", 1, true))
        tape:close()
    end)

    for _, reader in ipairs { "gelu", "linear" } do
        it("does not reuse memory that the backward of " .. reader .. " still reads", function()
            local store = store_of { { "w", { 4, 4 } }, { "v", { 4, 4 } }, { "gamma", { 4 } }, { "beta", { 4 } } }
            local worst = gradcheck {
                store = store, inputs = { random({ 3, 4 }, 1) },
                forward = function(tape, x)
                    local y = F.linear(tape, x, store:get "w")
                    local z = F[reader](tape, y, store:get "v")
                    return F.layernorm(tape, y, z, store:get "gamma", store:get "beta", 1e-6, 0)
                end,
            }
            assert.is_true(worst < TOLERANCE, "error " .. worst)
        end)
    end

    it("records only what a gradient is wanted of, and frees the rest", function()
        local store = ParameterStore.new()
        for _, name in ipairs { "first", "second", "third" } do
            store:register(name, { 4, 4 }, { init = "normal", std = 0.5 })
        end
        store:freeze(function(name) return name ~= "second" end)
        store:allocate { seed = 2 }
        local tape = Tape.new {}
        tape:start(1, 0, true)
        local a = F.linear(tape, tape:input(random({ 3, 4 }, 1)), store:get "first", nil, "gelu")
        local b = F.gelu(tape, a)
        tape:free(a)
        assert.are.equal(0, tape.count)
        assert.are.equal("it was freed after its last use", a.gone)
        assert.is_false(tape:learns(a, store:get "first"))
        assert.is_true(tape:learns(a, nil, store:get "second"))
        local c = F.linear(tape, b, store:get "second")
        -- The product of b and the gradient of c is that of the weight: b stays until then.
        tape:free(b)
        assert.is_truthy(b.value)
        local d = F.linear(tape, c, store:get "third")
        tape:free(c)
        assert.is_truthy(c.value)
        assert.are.equal(2, tape.count)
        store:zero_grad()
        tape:backward(d, random({ 3, 4 }, 2))
        assert.is_nil(b.value)
        assert.is_nil(b.grad)
        assert.are.equal(0, (tape:memory()))
        assert.are_not.equal(0, store:get("second").grad:tolist()[1][1])
        assert.are.equal(device.is_host() and 16 or 128, store.grad:numel())
        tape:close()
        store:free()
    end)

    it("keeps what a recorded op holds as a tensor or in a list", function()
        local tape = Tape.new {}
        tape:start(1, 0, true)
        local function keep() return nil end
        local x = tape:input(random({ 2, 3 }, 1), true)
        local a, b, c = tape:variable("f32", { 2, 3 }), tape:variable("f32", { 2, 3 }), tape:variable("f32", { 2, 3 })
        tape:record(tape:variable("f32", { 2, 3 }), x, { backward = keep, value = a.value, list = { b } })
        for _, variable in ipairs { a, b, c } do tape:free(variable) end
        assert.is_truthy(a.value)
        assert.is_truthy(b.value)
        assert.is_nil(c.value)
        tape:close()
    end)

    it("recomputes a part that returns what it was given, or what is not its own", function()
        local tape, value = Tape.new {}, random({ 2, 3 }, 1)
        local function gradient(recompute)
            tape:start(1, 0, true)
            local x = tape:input(value, true)
            -- The backward pass of tanh reads its output, so that must still be there.
            local a, b = F.tanh(tape, x), F.tanh(tape, F.tanh(tape, x))
            local c, d = a, b
            if recompute then
                c = tape:checkpoint({ forward = function(_, _, given) return given end }, a)
                d = tape:checkpoint({ forward = function() return b end }, a)
            end
            local y = F.add(tape, F.add(tape, c, d), b)
            tape:backward(F.mul(tape, y, y), random({ 2, 3 }, 2))
            local dx = x.grad:tolist()
            tape.arena:release(x.grad)
            assert.are.equal(0, (tape:memory()))
            return dx
        end
        local wanted, got = gradient(false), gradient(true)
        for i, row in ipairs(wanted) do
            for j, slope in ipairs(row) do assert.near(slope, got[i][j], 1e-6) end
        end
        tape:close()
    end)

    it("tells what is no tensor and no variable from a variable whose value is gone", function()
        local tape = Tape.new {}
        tape:start(1, 0, true)
        local x = tape:input(random({ 2, 3 }, 1), true)
        local function refused(text, fn, ...)
            local _, problem = pcall(fn, ...)
            assert.is_truthy(tostring(problem):find(text, 1, true), tostring(problem))
        end
        refused("tape:input: got nil, expected a tensor", tape.input, tape)
        refused("tape:input: got a variable, expected a tensor", tape.input, tape, x)
        refused("tape:input: got a table, expected a tensor", tape.input, tape, { 1 })
        refused("tape: got a table, expected a variable; tape:input(x) makes one", tape.value_of, tape, { mlm = x })
        refused("tape: got nil, expected a variable", tape.value_of, tape)
        refused("tape: got a tensor, expected a variable", tape.value_of, tape, x.value)
        tape:start(2, 0, false)
        local y = tape:variable("f32", { 2 })
        tape:free(y)
        refused("tape: the value is gone", tape.value_of, tape, y)
        tape:close()
    end)

    it("refuses variables of an earlier step, but for inputs, which lose their gradient", function()
        local tape, store = Tape.new {}, store_of { { "w", { 1, 2 } } }
        local x = tape:input(tensor.from { { 1, 2 } }, true)
        local w
        for step = 1, 3 do
            tape:start(step, 0, true)
            w = w or F.parameter(tape, store:get "w")
            local y = F.sum(tape, F.mul(tape, x, step))
            tape:backward(y)
            assert.are.same({ { step, step } }, x.grad:tolist(), "nothing is left of the last step")
        end
        local y = F.mul(tape, x, 2)
        tape:start(4, 0, true)
        F.mul(tape, x, 7)
        errors.all_fail_here {
            { "tape: the variable is of an earlier step, start() has emptied the tape; compute it again, or copy its",
                function() y:item() end },
            { "tape: the variable is of an earlier step", function() tape:backward(y) end },
        }
        assert.has_error(function() return y + 1 end)
        assert.has_error(function() return x * w end)
        assert.are.equal("variable f32 1x2; its value is gone: start() has emptied the tape", tostring(y))
        assert.are.same({ { 1, 2 } }, x:tolist())
        tape:close()
        store:free()
    end)

    it("says what is wrong at the user's line, also when it is closed", function()
        local tape = Tape.new {}
        tape:start(1, 0, true)
        local x = tape:input(tensor.from { 1, 2 }, true)
        local y = x:sum()
        y:backward()
        errors.all_fail_here {
            { "tape:input: got a table, expected a tensor", function() tape:input { 1, 2 } end },
            { "tape:input: got a variable, expected a tensor", function() tape:input(x) end },
            { "tape: no second backward(), backward() has passed it", function() tape:backward(y) end },
        }
        tape:close()
        for _ = 1, 2 do
            errors.fails_here("tape: it was closed", function() tape:start(1, 0, true) end)
        end
        local ok, message = pcall(function() return x * 2 end)
        assert.is_false(ok)
        assert.matches("tape: it was closed", message)
        assert.matches("its value is gone", tostring(y))
        assert.are.equal("Tape: closed", tostring(tape))
    end)

    it("counts dropouts within a step and starts over in the next", function()
        local tape = Tape.new { seed = 9, accumulation = 4 }
        tape:start(3, 2, true)
        assert.are.same({ 9, 14 }, tape.state:tolist())
        assert.is_nil(tape:dropout(0))
        assert.are.equal(0, tape:dropout(0.5).op)
        assert.are.equal(1, tape:dropout(0.5).op)
        tape:start(4, 0, true)
        assert.are.equal(0, tape:dropout(0.5).op)
        tape:start(4, 0, false)
        assert.is_nil(tape:dropout(0.5))
        tape:close()
    end)
end)
