--- Ops written in Lua.

local F = require "bertlua.autograd.functional"
local Tape = require "bertlua.autograd.tape"
local array = require "bertlua.array"
local context = require "bertlua.context"
local errors = require "spec.support.errors"
local gradcheck = require "bertlua.autograd.gradcheck"
local ops = require "bertlua.ops"
local ownership = require "bertlua.ownership"
local parameters = require "spec.support.parameters"
local tensor = require "bertlua.tensor"

local random = parameters.random

-- y = a^2 b, on pointers.
local product = {
    name = "product",
    forward = function(y, x, saved)
        local a, b, out = array.wrap(x[1]), array.wrap(x[2]), array.wrap(y)
        for i = 0, y:numel() - 1 do out[i] = a[i] ^ 2 * b[i] end
        saved.calls = 1
    end,
    backward = function(dx, dy, x, y, saved)
        assert(saved.calls == 1 and y:numel() == dy:numel())
        local a, b, d = array.wrap(x[1]), array.wrap(x[2]), array.wrap(dy)
        local da, db = dx[1] and array.wrap(dx[1]), dx[2] and array.wrap(dx[2])
        for i = 0, dy:numel() - 1 do
            if da then da[i] = 2 * a[i] * b[i] * d[i] end
            if db then db[i] = a[i] ^ 2 * d[i] end
        end
    end,
}

-- The sum of each row's squares, with methods of tensors.
local row_energy = {
    name = "row_energy", on_device = true,
    dims = function(x) return { x[1]:size(1) } end,
    forward = function(y, x) y[{}] = (x[1] * x[1]):sum(2) end,
    backward = function(dx, dy, x) dx[1][{}] = x[1] * dy:view(-1, 1) * 2 end,
}

describe("an op written in Lua", function()
    local on_host = context.device() == "cpu"

    local function gradients_agree(options)
        local worst, checks = gradcheck(options)
        assert.is_true(worst < 0.01, ("%g"):format(worst))
        for _, c in ipairs(checks) do assert.is_true(c.scale > 0, c.name .. " has no gradient") end
    end

    if on_host then
        it("on pointers has the gradient that its backward computes", function()
            gradients_agree {
                inputs = { random({ 3, 4 }, 1), random({ 3, 4 }, 2) },
                forward = function(tape, a, b) return F.custom(tape, product, a, b) end,
            }
            -- Between ops, one of which could work in the memory of its input.
            gradients_agree {
                inputs = { random({ 3, 4 }, 1) },
                forward = function(tape, a)
                    local h = F.gelu(tape, a)
                    return F.tanh(tape, F.custom(tape, product, h, h))
                end,
            }
        end)

        it("gives no gradient to an input that needs none", function()
            local tape = Tape.new()
            tape:start(0, 0, true)
            local a = tape:input(tensor.from { 1, 2 }, true)
            F.custom(tape, product, a, tensor.from { 3, 4 }):backward(tensor.from { 1, 1 })
            assert.are.same({ 6, 16 }, a.grad:tolist())
            tape:close()
        end)
    end

    it("on tensors has dims of its own, and releases what it makes on the way", function()
        gradients_agree {
            inputs = { random({ 3, 4 }, 1) },
            forward = function(tape, a) return F.custom(tape, row_energy, a) end,
        }
        tensor.scope(function(scope)
            local tape = Tape.new()
            local value = tensor.from { { 1, 2 }, { 3, 4 } }
            local made = #scope.buffers
            tape:start(0, 0, true)
            local a = tape:input(value, true)
            local y = F.custom(tape, row_energy, a)
            assert.are.same({ 5, 25 }, y:tolist())
            y:backward(tensor.scope(function(inner) return inner:keep(tensor.from { 1, 1 }) end))
            assert.are.same({ { 2, 4 }, { 6, 8 } }, a.grad:tolist())
            assert.are.equal(made + 1, #scope.buffers)
            tape.arena:release(a.grad)
            assert.are.equal(0, (tape:memory()))
            tape:close()
        end)
    end)

    it("keeps the tensors that forward saves, and no others", function()
        local made
        local masked = {
            on_device = true,
            forward = function(y, x, saved)
                saved.parts = { x[1]:gt(0):to(x[1]:dtype_name()):view(2, 2) }
                saved.x = x[1]
                made = x[1] + 1
                y[{}] = x[1] * saved.parts[1]:view(4)
            end,
            backward = function(dx, dy, _, _, saved) dx[1][{}] = dy * saved.parts[1]:view(4) + saved.x * 0 end,
        }
        local tape = Tape.new()
        tape:start(0, 0, true)
        local x = tape:input(tensor.from { 1, -2, 3, -4 }, true)
        local before = ownership.held()
        local y = F.custom(tape, masked, x)
        assert.are.equal(16, ownership.held() - before)
        assert.is_true(tensor.is(made))
        -- They would take the memory, were it free.
        local others = {}
        for i = 1, 50 do others[i] = tensor.new("f32", { 4 }):fill(7) end
        assert.are.same({ 1, 0, 3, 0 }, y:tolist())
        y:backward(tensor.from { 1, 1, 1, 1 })
        assert.are.same({ 1, 0, 1, 0 }, x.grad:tolist())
        assert.are.equal(7, others[50]:select(1):item())
        tape:close()
    end)

    it("records nothing without a backward, or in inference", function()
        local tape = Tape.new()
        local halve = { on_device = true, forward = function(y, x) ops.axpby(y, x[1], 0.5, 0) end }
        local value = tensor.from { 2, 4 }
        tape:start(0, 0, true)
        local y = F.custom(tape, halve, tape:input(value, true))
        assert.are.same({ 1, 2 }, y:tolist())
        assert.is_false(y.needs_grad)
        tape:start(0, 0, false)
        F.custom(tape, row_energy, tape:input(tensor.from { { 1, 2 } }, true))
        assert.are.equal(0, tape.count)
        tape:close()
    end)

    it("says what is wrong with it at the caller's line", function()
        local tape = Tape.new()
        tape:start(0, 0, true)
        local x = tape:input(tensor.from { 1, 2 }, true)
        local half = tape:input(tensor.from({ 1, 2 }, "bf16"), true)
        local cases = {
            { "custom: the op is a function, expected a table", function() return (F.custom(tape, print, x)) end },
            { "custom: the op has no forward", function() return (F.custom(tape, {}, x)) end },
            { "custom: the op's forward is a number, expected a function",
                function() return (F.custom(tape, { forward = 1 }, x)) end },
            { "custom: the op's shape is a number, expected name, forward, backward, dims, dtype and on_device",
                function() return (F.custom(tape, { forward = print, shape = 1 }, x)) end },
            { "row_energy: input 2 is a number, expected a variable or a tensor",
                function() return (F.custom(tape, row_energy, x, 1)) end },
            { "row_energy: it has no inputs", function() return (F.custom(tape, row_energy)) end },
            on_host and { 'product: input 1 is bf16, which Lua does not read; F.cast(tape, x, "f32") converts',
                function() return (F.custom(tape, product, half, half)) end }
            or { "product: an op written in Lua runs on the CPU (use --device cpu), or with on_device = true on any "
                .. "device, if it only calls ops and methods of tensors",
                function() return (F.custom(tape, product, x, x)) end },
        }
        errors.all_fail_here(cases)
        tape:close()
    end)
end)
