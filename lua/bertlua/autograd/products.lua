--- Matrix products, softmax, and what models beside BERT are made of, as differentiable functions on a tape: RMSNorm,
-- gated linear units, rotary embeddings; and parameters as variables.
--
-- Part of F (functional.lua). Formulas and shapes are in engine/api/ops.h. A
-- tensor may stand for a variable that needs no gradient. A variable may be
-- used any number of times; its gradients are added.
--
-- Only rotary works in the memory of its input, and none sets y.disposable:
-- what a program has named stays readable. T rows, H hidden, I intermediate.

local operand = require "bertlua.autograd.operand"
local ops = require "bertlua.ops"
local shapes = require "bertlua.autograd.shapes"

local P = {}

local variable_of, describe, padded = operand.variable, operand.describe, operand.padded

-- ---------------------------------------------------------------- matrix products

--- View with the last two dimensions swapped.
local function turned(t)
    local n = t.ndim
    return t:transpose(n - 1, n)
end

--- Part i of a tensor along dimension dim of n; all of it where it has one for all.
local function part(t, n, dim, i)
    local own = dim - (n - t.ndim)
    if own < 1 or t:size(own) == 1 then return t end
    return t:slice(own, i, i)
end

--- sum += left right, added up over the batch dimensions that sum has one of and dims has more.
local function add_products(sum, left, right, dims, dim)
    local n = #dims
    if dim > n - 2 then
        ops.matmul(sum, left, right, true)
    elseif sum:size(dim) == dims[dim] then
        add_products(sum, left, right, dims, dim + 1)
    else
        for i = 1, dims[dim] do add_products(sum, part(left, n, dim, i), part(right, n, dim, i), dims, dim + 1) end
    end
end

--- Hand x its gradient left right, added up where x was repeated for a result of `dims`.
local function give_product(tape, x, left, right, dims)
    local n = #dims
    local own, repeated = padded(x.dims, n), false
    for i = 1, n - 2 do repeated = repeated or own[i] ~= dims[i] end
    local dx = tape:gradient_like(x)
    if not repeated then
        ops.matmul(dx:view(own), left, right)
    else
        -- In f32, and rounded once.
        local sum = x.dtype == "f32" and dx or tape:tensor("f32", x.dims)
        ops.fill(sum, 0)
        add_products(sum:view(own), left, right, dims, 1)
        if sum ~= dx then
            ops.copy(dx, sum)
            tape.arena:release(sum)
        end
    end
    tape:accumulate(x, dx)
end

local function count(dims)
    local n = 1
    for i = 1, #dims do n = n * dims[i] end
    return n
end

--- True if b is one matrix for all of a's, which lie one behind the other: they are one tall matrix then.
local function is_tall(node)
    local a, b, dims = node.a, node.b, node.output.dims
    local n = #a.dims
    return n > 2 and a.dims[n] > 0 and not node.turn_a and count(b.dims) == b.dims[#b.dims - 1] * b.dims[#b.dims]
        and count(a.dims) == count(dims) / dims[#dims] * a.dims[n] and a.value:is_contiguous()
end

local function matmul_backward(tape, node)
    local a, b, dy, dims = node.a, node.b, node.output.grad, node.output.dims
    local left, right = a.value, b.value
    if a.needs_grad then
        local by = node.turn_b and right or turned(right)
        if node.turn_a then
            give_product(tape, a, turned(by), turned(dy), dims)
        else
            give_product(tape, a, dy, by, dims)
        end
    end
    if not b.needs_grad then return end
    if is_tall(node) then
        left, dy = left:view(-1, a.dims[#a.dims]), dy:view(-1, dims[#dims])
        local db = tape:gradient_like(b)
        local flat = db:view(b.dims[#b.dims - 1], b.dims[#b.dims])
        if node.turn_b then ops.matmul(flat, turned(dy), left) else ops.matmul(flat, turned(left), dy) end
        tape:accumulate(b, db)
        return
    end
    local by = node.turn_a and left or turned(left)
    if node.turn_b then
        give_product(tape, b, turned(dy), turned(by), dims)
    else
        give_product(tape, b, by, dy, dims)
    end
end

--- Sizes of the product; an error at the line of matmul's caller.
local function product_dims(a, b, turn_a, turn_b)
    local na, nb = #a.dims, #b.dims
    local function fail(reason)
        error(("matmul: a is %s%s, b is %s%s: %s"):format(describe(a), turn_a and " transposed" or "", describe(b),
            turn_b and " transposed" or "", reason), 4)
    end
    if na < 2 or nb < 2 then fail "expected 2 to 4 dimensions each; reshape a vector to [1,N] or [N,1]" end
    local rows, depth = a.dims[turn_a and na or na - 1], a.dims[turn_a and na - 1 or na]
    local depth_b, columns = b.dims[turn_b and nb or nb - 1], b.dims[turn_b and nb - 1 or nb]
    if depth ~= depth_b then
        fail(("a has %d columns and b %d rows, expected the same; transpose one"):format(depth, depth_b))
    end
    if a.dtype ~= b.dtype then fail "expected one dtype; F.cast converts" end
    local n = math.max(na, nb)
    local from_a, from_b, dims = padded(a.dims, n), padded(b.dims, n), {}
    for i = 1, n - 2 do
        if from_a[i] ~= from_b[i] and from_a[i] ~= 1 and from_b[i] ~= 1 then
            fail "expected equal sizes, or 1, before the last two"
        end
        dims[i] = from_a[i] == 1 and from_b[i] or from_a[i]
    end
    dims[n - 1], dims[n] = rows, columns
    return dims
end

--- y = a b, for each matrix of a batch.
-- @param a [...,M,K], or [...,K,M] with turn_a; 2 to 4 dimensions
-- @param b [...,K,N], or [...,N,K] with turn_b, of a's dtype; dimensions before the last two are equal, 1 or absent,
--   and what is 1 or absent is repeated
-- @param turn_a, turn_b true multiplies by the transposed matrices, without a copy
-- @return [...,M,N]
function P.matmul(tape, a, b, turn_a, turn_b)
    a, b = variable_of(tape, a, "matmul", 2), variable_of(tape, b, "matmul", 2)
    local left, right = tape:value_of(a), tape:value_of(b)
    local dims = product_dims(a, b, turn_a, turn_b)
    local y = tape:variable(a.dtype, dims)
    ops.matmul(y.value, turn_a and turned(left) or left, turn_b and turned(right) or right)
    tape:record(y, tape:learns(a, b), {
        backward = matmul_backward, a = a, b = b, turn_a = turn_a, turn_b = turn_b,
    })
    a.disposable, b.disposable = nil, nil
    return y
end

-- ---------------------------------------------------------------- softmax

-- The gradient of an op whose backward may work in dy's memory: nothing else reads dy.
local function softmax_backward(tape, node)
    local y = node.output
    ops.softmax_backward(y.grad, y.grad, y.value)
    tape:pass_gradient(y, node.x)
end

-- f(tape, x) over the last dimension, along another one.
local function along(f, tape, x, dim)
    local y = f(tape, shapes.transpose(tape, x, dim, #x.dims))
    return shapes.transpose(tape, y, dim, #x.dims)
end

--- y = softmax(x) along a dimension.
-- @param x any shape
-- @param dim from 1, or from -1 backwards; the last one if left out, which is the fastest
function P.softmax(tape, x, dim)
    x = variable_of(tape, x, "softmax", 2)
    dim = dim and operand.dimension(x, dim, "softmax", 2) or #x.dims
    if dim ~= #x.dims then return (along(P.softmax, tape, x, dim)) end
    local input = tape:value_of(x)
    local y = tape:variable_like(x)
    ops.softmax(y.value, input)
    return tape:record(y, x, { backward = softmax_backward, x = x })
end

local function log_softmax_backward(tape, node)
    local y = node.output
    ops.log_softmax_backward(y.grad, y.grad, y.value)
    tape:pass_gradient(y, node.x)
end

--- y = log(softmax(x)) along a dimension, without the overflow and the loss of digits of the two in a row.
-- @param x any shape
-- @param dim as for softmax
function P.log_softmax(tape, x, dim)
    x = variable_of(tape, x, "log_softmax", 2)
    dim = dim and operand.dimension(x, dim, "log_softmax", 2) or #x.dims
    if dim ~= #x.dims then return (along(P.log_softmax, tape, x, dim)) end
    local input = tape:value_of(x)
    local y = tape:variable_like(x)
    ops.log_softmax_forward(y.value, input)
    return tape:record(y, x, { backward = log_softmax_backward, x = x })
end

-- ---------------------------------------------------------------- parts of models

local function rmsnorm_backward(tape, node)
    local x, y, gamma = node.x, node.output, node.gamma
    ops.rmsnorm_backward(x.needs_grad and y.grad or nil, gamma.grad, y.grad, x.value, node[1], gamma.value)
    if x.needs_grad then tape:pass_gradient(y, x) end
end

--- y = x / sqrt(mean(x^2) + eps) * gamma over rows (arXiv 1910.07467).
-- @param x [T,H]
-- @param gamma parameter [H]
-- @param eps added to the mean square
-- @return [T,H]
function P.rmsnorm(tape, x, gamma, eps)
    x = variable_of(tape, x, "rmsnorm", 2)
    local input = tape:value_of(x)
    local y = tape:variable_like(x)
    local learns = tape:learns(x, gamma)
    local rstd = learns and tape:tensor("f32", { x.dims[1] }) or nil
    ops.rmsnorm_forward(y.value, rstd, input, gamma.value, eps)
    tape:record(y, learns, { backward = rmsnorm_backward, x = x, gamma = gamma, rstd })
    x.disposable = nil
    return y
end

local function glu_backward(tape, node)
    local x = node.x
    local dx = tape:gradient_like(x)
    ops.glu_backward(dx, node.output.grad, x.value, node.activation)
    tape:accumulate(x, dx)
end

--- y = value * activation(gate), the two halves of each row (arXiv 2002.05202).
-- @param x [T,2I]: value | gate
-- @param activation "sigmoid" (GLU), "gelu" (GEGLU, erf form), "gelu_tanh", "silu" (SwiGLU) or "relu" (ReGLU)
-- @return [T,I]
function P.glu(tape, x, activation)
    x = variable_of(tape, x, "glu", 2)
    local input = tape:value_of(x)
    local columns = x.dims[2]
    if #x.dims ~= 2 or columns % 2 ~= 0 then
        error(("glu: x is %s, expected [T,2I], value | gate"):format(describe(x)), 2)
    end
    local y = tape:variable(x.dtype, { x.dims[1], columns / 2 })
    ops.glu_forward(y.value, input, activation)
    return tape:record(y, x, { backward = glu_backward, x = x, activation = activation })
end

local function rotary_backward(tape, node)
    local y = node.output
    ops.rotary(y.grad, y.grad, node.positions, node.heads, node.base, true)
    tape:pass_gradient(y, node.x)
end

--- Rotary position embedding of queries and keys (arXiv 2104.09864), in the layout of GPT-NeoX and transformers.
-- Where qkv was only made for this, as a linear layer makes it, the result takes its memory.
-- @param qkv [T,3H]: queries, keys and values side by side, as for attention
-- @param positions i32 tensor [T], from 0: `batch.positions`
-- @param heads number of heads; H / heads is even
-- @param base of the angles, position * base^(-2i/D) (default 10000)
-- @return [T,3H]
function P.rotary(tape, qkv, positions, heads, base)
    qkv, base = variable_of(tape, qkv, "rotary", 2), base or 10000
    local input = tape:value_of(qkv)
    local taken = tape:take(qkv, "rotary")
    local y = taken and tape:input(taken) or tape:variable_like(qkv)
    y.external = nil -- the memory, taken or new, is the result's
    ops.rotary(y.value, input, positions, heads, base)
    return tape:record(y, qkv, {
        backward = rotary_backward, x = qkv, positions = positions, heads = heads, base = base,
    })
end

-- ---------------------------------------------------------------- parameters

local function parameter_backward(tape, node)
    local grad, parameter = node.output.grad, node.parameter
    if grad:dtype_name() == "f32" then
        ops.axpby(parameter.grad, grad, 1, 1)
        return
    end
    local wide = tape:tensor("f32", parameter.dims)
    ops.copy(wide, grad)
    ops.axpby(parameter.grad, wide, 1, 1)
    tape.arena:release(wide)
end

--- A parameter as a variable; its gradient is added to parameter.grad.
-- @param parameter entry of a ParameterStore
-- @param dtype of the variable (default: the parameter's own `compute`). With amp, biases and the parameters of
--   normalisations are f32: name the dtype of what they are to be combined with, and they are rounded to it
-- @return variable of the parameter's shape
function P.parameter(tape, parameter, dtype)
    if type(parameter) ~= "table" or not parameter.compute then
        error(("parameter: got %s, expected a parameter of a store that was allocated"):format(type(parameter)), 2)
    end
    local value = parameter.compute
    local converted = dtype and dtype ~= value:dtype_name()
    local y = converted and tape:variable(dtype, parameter.dims) or tape:input(value)
    if converted then ops.copy(y.value, parameter.value or value) end
    -- In a later step it would be a constant: the node that trains it is gone.
    y.is_input = nil
    -- A frozen parameter is a constant.
    return tape:record(y, tape:learns(parameter), { backward = parameter_backward, parameter = parameter })
end

return P
