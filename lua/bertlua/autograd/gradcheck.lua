--- Check a backward pass against finite differences.
--
--     local worst = gradcheck { forward = function(tape, x) return layer:forward(tape, x) end,
--                               inputs = { x }, store = layer.store }
--     assert(worst < 0.01)
--
-- The scalar that is differentiated is L = sum(r * y) with fixed random r in
-- [-1, 1]. Central differences in f32 are accurate to about 1e-3, so this finds
-- wrong formulas, not rounding errors. Dropout may be on: every evaluation is the
-- same step of the tape and so has the same masks.

local Tape = require "bertlua.autograd.tape"
local array = require "bertlua.array"
local memory = require "bertlua.memory"
local ops = require "bertlua.ops"

local function dot(a, b, n)
    local sum = 0
    for i = 0, n - 1 do sum = sum + a[i] * b[i] end
    return sum
end

--- Elements to try: all of a small tensor, else evenly spaced ones.
local function chosen(n, samples)
    local list, count = {}, math.min(n, samples)
    for i = 0, count - 1 do list[#list + 1] = math.floor(i * n / count) end
    return list
end

--- Compare gradients.
-- @param options table of
--   forward(tape, variables...): returns the output variable, f32;
--   inputs: list of f32 tensors to differentiate by, passed as variables;
--   store: a ParameterStore (fp32) whose parameters are checked too;
--   samples: elements tried per tensor (24); epsilon: step (1e-2); step: of the tape (1); seed: (0)
-- @return the worst error, |numeric - analytic| / max |analytic| of its tensor, and a list of
--   {name=, error=, scale=} in order
return function(options)
    local inputs, store = options.inputs or {}, options.store
    local samples, epsilon = options.samples or 24, options.epsilon or 1e-2
    local tape = Tape.new { seed = options.seed or 0 }
    local variables = {}

    local function run()
        tape:start(options.step or 1, 0, true)
        for i, value in ipairs(inputs) do variables[i] = tape:input(value, true) end
        return options.forward(tape, unpack(variables))
    end

    if store then store:zero_grad() end
    local y = run()
    local n = y.value:numel()
    local buffer = memory.buffer(n * 4)
    local weights = buffer:tensor(0, "f32", y.dims)
    ops.fill_uniform(weights, -1, 1, 1, 1)
    local host_weights = weights:host()
    local r = array.wrap(host_weights)
    tape:backward(y, weights)

    -- Copy the analytic gradients out of the arena before the next run resets it.
    local checks = {}
    local function add(name, value, grad)
        local count = value:numel()
        local host = grad:host()
        local copy, source, scale = array.double(count), array.wrap(host), 0
        for i = 0, count - 1 do
            copy[i] = source[i]
            scale = math.max(scale, math.abs(copy[i]))
        end
        checks[#checks + 1] = { name = name, value = value, grad = copy, scale = scale, count = count }
    end
    for i, value in ipairs(inputs) do add("input " .. i, value, variables[i].grad) end
    for _, entry in ipairs(store and store.list or {}) do add(entry.name, entry.stored, entry.grad) end

    -- The loss with one element set to a value.
    local function loss_at(element, value)
        element:fill(value)
        local out = run().value:host()
        local loss = dot(array.wrap(out), r, n)
        return loss
    end

    local worst = 0
    for _, check in ipairs(checks) do
        local flat = check.value:view(-1)
        check.error = 0
        for _, i in ipairs(chosen(check.count, samples)) do
            local element = flat:slice(1, i + 1, i + 1)
            local before = element:tolist()[1]
            local slope = (loss_at(element, before + epsilon) - loss_at(element, before - epsilon)) / (2 * epsilon)
            element:fill(before)
            check.error = math.max(check.error, math.abs(slope - check.grad[i]) / math.max(check.scale, 1e-2))
        end
        worst = math.max(worst, check.error)
        check.value, check.grad = nil, nil
    end
    tape:close()
    buffer:free()
    return worst, checks
end
