--- Ops written in Lua, with a backward pass in Lua: F.custom.
--
-- Part of F (functional.lua). For what no op of the engine does, or not yet:
-- an idea is tried in twenty lines, and becomes an op of the engine
-- (docs/adding_an_op.md) if it is worth it.

local Variable = require "bertlua.autograd.variable"
local device = require "bertlua.device"
local ops = require "bertlua.ops"
local tensor = require "bertlua.tensor"

local M = {}

local FIELDS = { name = "string", forward = "function", backward = "function", dims = "function", dtype = "string",
    on_device = "boolean" }

local function check_op(op)
    if type(op) ~= "table" then error(("custom: the op is a %s, expected a table"):format(type(op)), 3) end
    for field, value in pairs(op) do
        if FIELDS[field] ~= type(value) then
            error(("custom: the op's %s is a %s, expected %s"):format(tostring(field), type(value),
                FIELDS[field] and "a " .. FIELDS[field] or "name, forward, backward, dims, dtype and on_device"), 3)
        end
    end
    if not op.forward then error("custom: the op has no forward", 3) end
end

local function name_of(op)
    return op.name or "custom"
end

-- The op's own code works on pointers: on memory of the host, in dtypes that Lua can read.
local function check_host(op, inputs)
    if op.on_device then return end
    if not device.is_host() then
        error(("%s: an op written in Lua runs on the CPU (use --device cpu), or with on_device = true on any device, "
            .. "if it only calls ops and methods of tensors"):format(name_of(op)), 3)
    end
    for i = 1, #inputs do
        if inputs[i].dtype == "bf16" or inputs[i].dtype == "f16" then
            error(('%s: input %d is %s, which Lua does not read; F.cast(tape, x, "f32") converts'):format(
                name_of(op), i, inputs[i].dtype), 3)
        end
    end
end

local function variables(tape, op, ...)
    local inputs, count = {}, select("#", ...)
    for i = 1, count do
        local x = select(i, ...)
        if tensor.is(x) then x = tape:input(x) end
        if getmetatable(x) ~= Variable then
            error(("%s: input %d is a %s, expected a variable or a tensor"):format(name_of(op), i, type(x)), 3)
        end
        inputs[i] = x
    end
    if count == 0 then error(name_of(op) .. ": it has no inputs", 3) end
    return inputs
end

local function values_of(tape, inputs)
    local values = {}
    for i = 1, #inputs do values[i] = tape:value_of(inputs[i]) end
    return values
end

-- Let the tensors in a table, and in tables that are in it, outlive the scope.
local function keep(scope, saved, seen)
    seen[saved] = true
    for _, value in pairs(saved) do
        if tensor.is(value) then
            scope:collect(value)
        elseif type(value) == "table" and not getmetatable(value) and not seen[value] then
            keep(scope, value, seen)
        end
    end
end

-- What the code of an op makes on the way is released when it returns, but for what is in `saved`.
local function run(f, saved, ...)
    local arguments, count = { ... }, select("#", ...)
    tensor.scope(function(scope)
        f(unpack(arguments, 1, count))
        keep(scope, saved, {})
    end)
end

local function custom_backward(tape, node)
    local op, inputs, output = node.op, node.inputs, node.output
    local gradients = {}
    for i = 1, #inputs do
        gradients[i] = tape:gradient_like(inputs[i])
        if gradients[i] then ops.fill(gradients[i], 0) end
    end
    run(op.backward, node.saved, gradients, output.grad, values_of(tape, inputs), output.value, node.saved)
    for i = 1, #inputs do tape:accumulate(inputs[i], gradients[i]) end
end

--- y = what op.forward makes of the inputs.
-- @param op table of
--   forward(y, x, saved): write the tensor y, which starts as zeros, from the list of tensors x;
--   backward(dx, dy, x, y, saved): write the list of tensors dx, which start as zeros, from dy, the gradient of y;
--     dx[i] is nil where input i needs no gradient. Without backward the result has none;
--   name: for messages ("custom");
--   dims(x): list of sizes of y (default: those of the first input);
--   dtype: of y (default: the first input's);
--   on_device: true if both only call ops and methods of tensors, so that they run on every device and in every dtype;
--     else they run on the CPU, and floats are f32.
--   saved is a table of the call's own, from forward to backward; tensors that forward makes live on if they are in it,
--   the others until it returns
-- @param ... variables, or tensors that need no gradient
function M.custom(tape, op, ...)
    check_op(op)
    local inputs = variables(tape, op, ...)
    check_host(op, inputs)
    local values, first, saved = values_of(tape, inputs), inputs[1], {}
    local y = tape:variable(op.dtype or first.dtype, op.dims and op.dims(values) or first.dims)
    ops.fill(y.value, 0)
    run(op.forward, saved, y.value, values, saved)
    local needs_grad = false
    for i = 1, #inputs do
        needs_grad = needs_grad or inputs[i].needs_grad
        inputs[i].disposable = nil
    end
    if not (needs_grad and op.backward) then return y end
    return tape:record(y, true, { backward = custom_backward, op = op, inputs = inputs, saved = saved })
end

return M
