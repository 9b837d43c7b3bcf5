--- The autograd tape: what the forward pass did, and how to walk back through it.
--
-- A node of the tape is one fused op. It is a plain table
--
--     { backward = function(tape, node) ... end, output = variable,
--       x = ..., weight = ...,       -- whatever the backward needs by name
--       saved1, saved2, ... }        -- tensors that only this node owns
--
-- and never a closure. A new op needs one forward and one backward function; this
-- is all of GELU:
--
--     local function gelu_backward(tape, node)
--         local dx = tape:gradient_like(node.x)
--         ops.gelu_backward(dx, node.output.grad, node.x.value)
--         tape:accumulate(node.x, dx)
--     end
--
--     function F.gelu(tape, x)
--         local y = tape:variable_like(x)
--         ops.gelu_forward(y.value, x.value)
--         return tape:record(y, x, { backward = gelu_backward, x = x })
--     end
--
-- Memory. Activations and their gradients come from a step arena. Every arena
-- tensor has exactly one owner: a variable (`value`, `grad`) or the array part
-- of a node. backward() releases the output's value and gradient and the
-- node's own tensors as soon as the node has been walked, so after a backward
-- pass the arena is empty, and its peak is the same in every step. An op that
-- reuses memory in place moves the ownership: see Tape:take() and
-- Tape:pass_gradient().
--
-- In inference (start(step, micro, false)) nothing is recorded. Modules call
-- tape:free(x) on values that the forward pass will not read again; with recording
-- on, that call does nothing, since the backward pass still needs the value.
--
-- Frozen parameters. An op is recorded only if a gradient is wanted behind it: of a
-- parameter that is trained (it has a `grad`) or of a variable that depends on one;
-- see Tape:learns(). What a frozen part of a model computes below the first trained
-- parameter is freed as in inference, unless a recorded op reads it; then it lives
-- until that op's backward pass. Dropout stays as it is in training.

local Variable = require "bertlua.autograd.variable"
local fresh_gradients = require "bertlua.autograd.fresh_gradients"
local memory = require "bertlua.memory"
local ops = require "bertlua.ops"
local summary = require "bertlua.summary"
local tensor = require "bertlua.tensor"

local Tape = {}
Tape.__index = Tape

--- Address space reserved for an arena that the caller did not size. Only what is used is touched.
local DEFAULT_CAPACITY = 32 * 2 ^ 30
--- What will do where the system allows no more: enough for a small model; a larger one is told when it runs out.
local LEAST_CAPACITY = 64 * 2 ^ 20

--- Create a tape.
-- @param options table of
--   arena: where activations live (default: one of its own);
--   capacity: bytes of its own arena; least: bytes that will do where the system allows no more (capacity; 64 MiB where
--   that is left out, too); planned: bytes that will be used at most, if that is known; seed: dropout seed (0);
--   accumulation: micro-steps per step (1), so that each has its own dropout masks
function Tape.new(options)
    options = options or {}
    local self = setmetatable({
        own_arena = not options.arena,
        arena = options.arena or memory.arena(options.capacity or DEFAULT_CAPACITY,
            options.least or not options.capacity and LEAST_CAPACITY or nil, options.planned),
        seed = options.seed or 0,
        accumulation = options.accumulation or 1,
        nodes = {},
        count = 0,
        recording = false,
        training = false,
        dropout_ops = 0,
        -- Counts resets, so that a variable of an earlier one is known.
        epoch = 0,
    }, Tape)
    self.state_buffer = memory.buffer(64)
    self.state = self.state_buffer:tensor(0, "i64", { 2 })
    self.state:set({ self.seed, 0 })
    self.state_step = self.state:slice(1, 2, 2)
    return self
end

--- Begin a micro-step: empty the arena and the tape, and set the dropout stream.
-- @param step together with micro it keys the dropout masks: step * accumulation + micro
-- @param micro micro-step within the step, from 0 (default 0)
-- @param training true: record for backward() and apply dropout; false: inference
function Tape:start(step, micro, training)
    if not self.arena then error("tape: it was closed", 2) end
    -- While a recipe's function runs, which `computes` names: what it has recorded would be lost, gradients and all.
    if self.computes then
        error(("start: training has started the tape that %s is given: leave it out"):format(self.computes), 2)
    end
    self:set_step(step, micro)
    return self:reset(training)
end

--- Set the dropout stream, in device memory, where the replay of a recorded micro-step reads it.
function Tape:set_step(step, micro)
    -- A fill reads no host memory, so it does not wait for the device.
    ops.fill(self.state_step, (step or 0) * self.accumulation + (micro or 0))
end

--- Empty the arena and the tape, without touching the device.
function Tape:reset(training)
    self.arena:reset()
    self.epoch = self.epoch + 1
    for i = 1, self.count do self.nodes[i] = nil end
    self.count = 0
    self.dropout_ops = 0
    self.training = training and true or false
    self.recording = self.training
    return self
end

--- A tensor in the step arena. Its contents are undefined.
function Tape:tensor(dtype, dims)
    return self.arena:tensor(dtype, dims)
end

local function variable(tape, value, dtype, dims)
    return setmetatable({ tape = tape, value = value, dtype = dtype, dims = dims, needs_grad = false,
        epoch = tape.epoch }, Variable)
end

--- A new variable: value uninitialised, from the arena.
function Tape:variable(dtype, dims)
    return variable(self, self.arena:tensor(dtype, dims), dtype, dims)
end

--- A new variable of x's shape and dtype.
function Tape:variable_like(x)
    return variable(self, self.arena:tensor(x.dtype, x.dims), x.dtype, x.dims)
end

-- What messages call a value.
local function kind_of(value)
    if getmetatable(value) == Variable then return "a variable" end
    return tensor.is(value) and "a tensor" or value == nil and "nil" or "a " .. type(value)
end

--- Wrap a tensor owned by the caller. The tape never releases it, so the variable can be used again after start().
-- @param needs_grad true: backward() leaves a gradient in `.grad`, in the arena until the next start()
function Tape:input(value, needs_grad)
    if not tensor.is(value) then error(("tape:input: got %s, expected a tensor"):format(kind_of(value)), 2) end
    local x = variable(self, value, value:dtype_name(), value:dims())
    x.external, x.needs_grad, x.is_input = true, needs_grad or false, true
    return x
end

-- A variable of an earlier step: of an input only the gradient is gone, of all others the memory is another's now.
local function renew(self, x, level)
    if not self.arena then error("tape: it was closed", level + 1) end
    if not x.is_input then
        error("tape: the variable is of an earlier step, start() has emptied the tape; compute it again, "
            .. "or copy its value before", level + 1)
    end
    x.epoch, x.grad = self.epoch, nil
end

--- The value of a variable; an error if an op has already reused its memory, or if start() has emptied the tape since.
function Tape:value_of(x)
    local value = type(x) == "table" and x.value
    if value and x.epoch ~= self.epoch and x.epoch and x.tape == self then renew(self, x, 3) end
    if not value then
        if getmetatable(x) ~= Variable then
            error(("tape: got %s, expected a variable; tape:input(x) makes one of a tensor"):format(kind_of(x)), 3)
        end
        error("tape: the value is gone: " .. (x.gone or "it was released") .. "; read it earlier or copy it", 3)
    end
    return value
end

--- Whether an op is to be recorded: any of its inputs needs a gradient, or any of its parameters is trained.
-- @param a, b, c, d, e variables and parameters, nil for one that is not there
-- @return true or false; false in inference
function Tape:learns(a, b, c, d, e)
    if not self.recording then return false end
    return (a and (a.needs_grad or a.is_parameter and a.grad) or b and (b.needs_grad or b.is_parameter and b.grad)
        or c and (c.needs_grad or c.is_parameter and c.grad) or d and (d.needs_grad or d.is_parameter and d.grad)
        or e and (e.needs_grad or e.is_parameter and e.grad)) and true or false
end

--- Add a node. Returns y. The node is kept only while recording, and only if an input (or parameter) needs a gradient.
-- @param y the output variable
-- @param x an input variable; or, of an op with parameters or several inputs, what learns() said of them
-- @param node {backward=, ..., owned tensors in the array part}
function Tape:record(y, x, node)
    local wanted = x
    if type(x) == "table" then
        x.disposable = nil
        wanted = x.needs_grad
    end
    if self.recording and wanted then
        y.needs_grad = true
        node.output = y
        local count = self.count + 1
        self.count = count
        self.nodes[count] = node
    end
    return y
end

--- Take the memory of x's value for an op that works in place, if it may be overwritten.
-- It may if its producer marked it `disposable` (the producer's backward does not read it) and no
-- recorded op has read it. Returns nil otherwise; a later read raises an error that names the op.
function Tape.take(_, x, op)
    if not x.disposable then return nil end
    local value = x.value
    x.value, x.gone, x.disposable = nil, op .. " reused its memory", nil
    return value
end

--- A dropout for the next op, or nil in inference and at p = 0.
function Tape:dropout(p)
    if not self.training or p == 0 or not p then return nil end
    local op = self.dropout_ops
    self.dropout_ops = op + 1
    return ops.dropout(self.state, p, op)
end

--- Run work(...) as in inference: nothing is recorded, dropout is off, and its results are constants for what follows.
-- For parts of a loss that are not to be trained, such as a teacher's scores.
-- @return the first value that it returns
function Tape:untracked(work, ...)
    local recording, training = self.recording, self.training
    self.recording, self.training = false, false
    local result = work(...)
    self.recording, self.training = recording, training
    return result
end

--- Whether a recorded node has x, or its value, among its fields or in a list that is one of them.
local function reads(node, x)
    local function is(field) return rawequal(field, x) or rawequal(field, x.value) end
    for _, field in pairs(node) do
        if is(field) then return true end
        if type(field) == "table" and not getmetatable(field) then
            for _, item in ipairs(field) do
                if is(item) then return true end
            end
        end
    end
    return false
end

local function release(arena, x, why)
    arena:release(x.value)
    x.value, x.gone = nil, why
end

--- Declare that the forward pass will not read x again. Releases it in inference. While recording, x stays if its
-- gradient is wanted; if not, because all before it is frozen or untracked, it is released now, or with the last node
-- that reads it.
function Tape:free(x)
    if not x.value or x.external or x.needs_grad then return end
    -- The backward pass comes to the first node last. Within untracked() there may be nodes, too.
    for i = 1, self.count do
        local node = self.nodes[i]
        if reads(node, x) then
            node.frees = node.frees or {}
            table.insert(node.frees, x)
            return
        end
    end
    release(self.arena, x, "it was freed after its last use")
end

local function drop_sums(arena, x)
    if x.grad_sums then arena:release(x.grad_sums) end
    x.grad_sums = nil
end

--- A tensor for the gradient of x, with the same shape and dtype; nil if x needs none.
function Tape:gradient_like(x)
    if not x.needs_grad then return nil end
    return self.arena:tensor(x.dtype, x.dims)
end

--- A tensor for the sums of x's gradient over its rows, f32 [columns], which the producer of x needs for its bias; for
-- an op that has them while it computes the gradient, and hands both to accumulate().
-- @param by_pre the gradient will be that by x.pre
-- @return nil if nobody needs them, or if they would not be those of the whole gradient
function Tape:sums_like(x, by_pre)
    if not x.sums_wanted or x.grad or (x.pre and not by_pre) then return nil end
    return self.arena:tensor("f32", { x.dims[2] })
end

--- The gradient that x has already, for an op that adds its own to it while it computes that, and then has nothing to
-- hand to accumulate(). Sums over its rows would not be those of the whole: they are dropped.
-- @return nil if x has none yet, or needs none
function Tape:gradient_to_extend(x)
    if not x.needs_grad or not x.grad or x.grad_by_pre then return nil end
    drop_sums(self.arena, x)
    return x.grad
end

--- Hand a gradient to x: the first one becomes x.grad, later ones are added and released.
-- dx belongs to x from here on; nil is ignored.
-- @param sums what sums_like() gave, written; they belong to x, too
-- @param by_pre true: dx is the gradient by x.pre, of which x is gelu_tanh, and x had no gradient
function Tape:accumulate(x, dx, sums, by_pre)
    if not dx then return end
    if not x.grad then
        x.grad, x.grad_sums, x.grad_by_pre = dx, sums, by_pre
        return
    end
    if x.grad_by_pre then ops.unary_backward(dx, dx, x.pre, nil, "gelu_tanh") end
    drop_sums(self.arena, x)
    ops.axpby(x.grad, dx, 1, 1)
    self.arena:release(dx)
end

local function release_owned(arena, node)
    for i = 1, #node do arena:release(node[i]) end
end

--- Release a node's tensors and its output's value.
local function release_node(arena, node)
    release_owned(arena, node)
    local output = node.output
    if output.value and not output.external then release(arena, output, "backward() has passed it") end
    if node.frees then
        for _, x in ipairs(node.frees) do release(arena, x, "backward() has passed it") end
    end
end

--- Walk the nodes recorded since number `first` backwards and drop them.
-- @param watcher as in backward(), or nil
local function walk_back(self, first, watcher)
    local arena, nodes = self.arena, self.nodes
    for i = self.count, first, -1 do
        local node = nodes[i]
        local output = node.output
        -- What the node records when it is recomputed is added after it.
        self.count = i
        if output.grad then
            node.backward(self, node)
        elseif node.fresh then
            fresh_gradients.skip(node)
        end
        if output.grad then
            arena:release(output.grad)
            output.grad = nil
        end
        drop_sums(arena, output)
        release_node(arena, node)
        nodes[i] = nil
        if watcher then watcher:passed(i) end
    end
    self.count = first - 1
end

local function checkpoint_backward(self, node)
    local x, output = node.x, node.output
    local first, dropout_ops = self.count + 1, self.dropout_ops
    self.dropout_ops = node.dropout_ops
    local input = self:input(x.value, x.needs_grad)
    local y = node.run(node.module, self, input, node.argument)
    self:accumulate(y, output.grad)
    output.grad = nil
    walk_back(self, first)
    self.dropout_ops = dropout_ops
    self:accumulate(x, input.grad)
end

--- Parameters that the nodes from number `first` read, wherever their module has them from: what a watcher must know of
-- a node that stands for all of these.
local function parameters_of(self, first)
    local list, seen = {}, {}
    local function add(parameter)
        if not seen[parameter] then list[#list + 1], seen[parameter] = parameter, true end
    end
    for i = first, self.count do
        for field, value in pairs(self.nodes[i]) do
            if type(value) == "table" and value.is_parameter then
                add(value)
            elseif field == "parameters" then
                for _, parameter in ipairs(value) do add(parameter) end
            end
        end
    end
    return list
end

--- y = module:forward(tape, x, argument), keeping only x and y for the backward pass, which recomputes everything in
-- between (arXiv 1604.06174). The gradients are the same to the last bit, since dropout masks depend only on op
-- numbers. In inference just the call.
-- @param module its forward reads x (others may too), parameters and argument, and returns one variable
function Tape:checkpoint(module, x, argument)
    if not self.recording then return module:forward(self, x, argument) end
    local first, dropout_ops = self.count + 1, self.dropout_ops
    local result = module:forward(self, self:input(self:value_of(x), x.needs_grad), argument)
    -- All of it is frozen: nothing was kept.
    if not result.needs_grad then return result end
    local parameters = parameters_of(self, first)
    local y = variable(self, result.value, result.dtype, result.dims)
    y.disposable = result.disposable
    -- A module may return what it was given: that has another owner.
    y.external = true
    for i = self.count, first, -1 do
        local node = self.nodes[i]
        if node.output == result then y.external, result.external = nil, true end
        release_node(self.arena, node)
        self.nodes[i] = nil
    end
    self.count = first - 1
    if y.external then y.disposable = nil end
    x.disposable = nil
    return self:record(y, true, { backward = checkpoint_backward, run = module.forward, module = module, x = x,
        argument = argument, dropout_ops = dropout_ops, parameters = parameters })
end

--- Walk the tape backwards from y.
-- @param y the variable to differentiate
-- @param seed gradient of y: nothing (1), an f32 [1] tensor such as the loss scale, or a tensor of y's shape
-- @param watcher nil, or an object that follows the progress: begin(nodes, count) is called first, passed(i) once node
--   i is done. A node has its parameters directly in its fields, or in the list `parameters`.
-- @param fresh nil: gradients of parameters are added to what they hold; or a ParameterStore whose gradients are to be
--   those of this pass alone, whatever they hold
function Tape:backward(y, seed, watcher, fresh)
    if y.epoch ~= self.epoch then renew(self, y, 2) end
    -- The walk behind the recipe's function would add the gradients once more.
    if self.computes then
        error(("backward: training calls it with what %s returns: leave it out"):format(self.computes), 2)
    end
    if not self.recording then error("tape: backward after an inference forward, start(step, micro, true) first", 2) end
    if not y.needs_grad then
        error("tape: the value to differentiate does not depend on any parameter that is trained", 2)
    end
    if not y.value then error("tape: no second backward(), " .. (y.gone or "the value was released"), 2) end
    y.grad = self.arena:tensor(y.dtype, y.dims)
    if seed then
        ops.copy(y.grad, seed)
    else
        ops.fill(y.grad, 1)
    end
    if fresh then fresh_gradients.prepare(fresh, self.nodes, self.count) end
    if watcher then watcher:begin(self.nodes, self.count) end
    walk_back(self, 1, watcher)
end

--- Move the gradient of a node's output to another variable, without copying.
-- For ops whose backward passes the gradient through unchanged or in place.
function Tape:pass_gradient(output, x)
    local grad = output.grad
    output.grad = nil
    if x.needs_grad then
        self:accumulate(x, grad)
    else
        self.arena:release(grad)
    end
end

--- Bytes in use now, and the maximum that any step has used so far.
function Tape:memory()
    return self.arena:used(), self.arena:peak()
end

--- Free the arena, if the tape created it. The tape must not be used afterwards.
function Tape:close()
    if self.own_arena then self.arena:free() end
    self.state_buffer:free()
    self.arena, self.state, self.state_step = nil, nil, nil
    -- Its variables are of the past.
    self.epoch = self.epoch + 1
end

--- One line: what is recorded, and the memory of its arena.
function Tape:__tostring()
    if not self.arena then return "Tape: closed" end
    local used, peak = self:memory()
    return ("Tape: %s, %d node%s, %s in use, peak %s"):format(self.recording and "recording" or "inference",
        self.count, self.count == 1 and "" or "s", summary.bytes(used), summary.bytes(peak))
end

Tape.Variable = Variable

return Tape
