--- Arithmetic, functions of one number and comparisons as differentiable functions on a tape.
--
-- Part of F (functional.lua), as reductions.lua and losses.lua are. Where two operands are named, either may be a
-- number, and a tensor may stand for a variable that needs no gradient.
-- Shapes broadcast: compared from the last dimension, a size of 1 or a missing
-- dimension is repeated, and the gradient of what was repeated is summed.
-- Operands have one dtype (F.cast converts). bf16 and f16 are computed in f32
-- and rounded once per op.
--
-- None of these works in the memory of its input, and none sets y.disposable:
-- what a program has named stays readable.

local operand = require "bertlua.autograd.operand"
local ops = require "bertlua.ops"

local E = {}

local broadcast, describe, padded = operand.broadcast, operand.describe, operand.padded
local same_dims, variable_of = operand.same_dims, operand.variable

-- ---------------------------------------------------------------- one operand

-- Kinds whose backward pass reads the output; the others read the input, but neg neither.
local READS_OUTPUT = { exp = true, sqrt = true, relu = true, sigmoid = true, exponential = true }

local function unary_backward(tape, node)
    local x, y, kind = node.x, node.output, node.kind
    local reads_output = READS_OUTPUT[kind]
    local saved_x = not reads_output and kind ~= "neg" and x.value or nil
    -- dy is not needed afterwards, so dx takes its memory.
    ops.unary_backward(y.grad, y.grad, saved_x, reads_output and y.value or nil, kind, node.a)
    tape:pass_gradient(y, x)
end

local function unary(tape, x, kind, a)
    x = variable_of(tape, x, kind, 3)
    local input = tape:value_of(x)
    local y = tape:variable_like(x)
    ops.unary_forward(y.value, input, kind, a)
    return tape:record(y, x, { backward = unary_backward, x = x, kind = kind, a = a })
end

--- y = -x.
function E.neg(tape, x)
    local y = unary(tape, x, "neg")
    return y
end

--- y = e^x.
function E.exp(tape, x)
    local y = unary(tape, x, "exp")
    return y
end

--- y = ln(x): -inf at 0, NaN below.
function E.log(tape, x)
    local y = unary(tape, x, "log")
    return y
end

--- y = the square root of x: NaN below 0; the gradient at 0 is infinite.
function E.sqrt(tape, x)
    local y = unary(tape, x, "sqrt")
    return y
end

--- y = |x|; the gradient at 0 is 0.
function E.abs(tape, x)
    local y = unary(tape, x, "abs")
    return y
end

--- y = max(x, 0); the gradient at 0 is 0.
function E.relu(tape, x)
    local y = unary(tape, x, "relu")
    return y
end

--- y = x * sigmoid(x) (arXiv 1702.03118), also called swish.
function E.silu(tape, x)
    local y = unary(tape, x, "silu")
    return y
end

--- y = gelu(x) in its tanh form (arXiv 1606.08415); F.gelu is the erf form.
function E.gelu_tanh(tape, x)
    local y = unary(tape, x, "gelu_tanh")
    return y
end

--- y = 1 / (1 + e^-x).
function E.sigmoid(tape, x)
    local y = unary(tape, x, "sigmoid")
    return y
end

local function affine_backward(tape, node)
    local dy = node.output.grad
    ops.affine(dy, dy, node.a, 0)
    tape:pass_gradient(node.output, node.x)
end

local function affine(tape, x, a, b, what)
    x = variable_of(tape, x, what, 3)
    local input = tape:value_of(x)
    local y = tape:variable_like(x)
    ops.affine(y.value, input, a, b)
    return tape:record(y, x, { backward = affine_backward, x = x, a = a })
end

--- y = a * x + b with numbers a and b.
function E.affine(tape, x, a, b)
    if type(a) ~= "number" or type(b) ~= "number" then
        error(("affine: a is %s, b is %s, expected numbers"):format(tostring(a), tostring(b)), 2)
    end
    local y = affine(tape, x, a, b, "affine")
    return y
end

local function cast_backward(tape, node)
    local dx = tape:gradient_like(node.x)
    ops.copy(dx, node.output.grad)
    tape:accumulate(node.x, dx)
end

--- x in another float dtype; x itself if it has that dtype.
-- @param dtype "f32", "bf16" or "f16"
function E.cast(tape, x, dtype)
    x = variable_of(tape, x, "cast", 2)
    if dtype ~= "f32" and dtype ~= "bf16" and dtype ~= "f16" then
        error(("cast: dtype is %s, expected f32, bf16 or f16"):format(tostring(dtype)), 2)
    end
    if x.dtype == dtype then return x end
    local input = tape:value_of(x)
    local y = tape:variable(dtype, x.dims)
    ops.copy(y.value, input)
    return tape:record(y, x, { backward = cast_backward, x = x })
end

-- ---------------------------------------------------------------- two operands

-- Hand dx, a tensor of the shape that x was repeated to, to x.
local function give(tape, x, dx)
    local dims = dx:dims()
    if same_dims(dims, x.dims) then
        tape:accumulate(x, dx)
        return
    end
    local sum = tape:tensor(x.dtype, x.dims)
    ops.reduce_dims(sum:view(padded(x.dims, #dims)), dx, "sum")
    tape.arena:release(dx)
    tape:accumulate(x, sum)
end

-- Memory for the gradient by x of an output of `dims`. What is summed later is not rounded before.
local function full_gradient(tape, x, dims)
    if not x.needs_grad then return nil end
    return tape:tensor(same_dims(x.dims, dims) and x.dtype or "f32", dims)
end

-- da = dy, db = factor * dy: the last of them takes dy's memory.
local function add_backward(tape, node)
    local y, a, b = node.output, node.a, node.b
    local dy = y.grad
    y.grad = nil
    if a.needs_grad then
        local da = dy
        if b.needs_grad then
            da = tape:tensor(y.dtype, y.dims)
            ops.copy(da, dy)
        end
        give(tape, a, da)
    end
    if b.needs_grad then
        if node.factor ~= 1 then ops.affine(dy, dy, node.factor, 0) end
        give(tape, b, dy)
    end
end

local function binary_backward(tape, node)
    local y, a, b = node.output, node.a, node.b
    local da, db = full_gradient(tape, a, y.dims), full_gradient(tape, b, y.dims)
    ops.binary_backward(da, db, y.grad, a.value, b.value, node.kind)
    if da then give(tape, a, da) end
    if db then give(tape, b, db) end
end

-- Operands of an op that reads both in its backward pass: no later op may take their memory.
local function pair(tape, a, b, kind, level)
    a, b = variable_of(tape, a, kind, level + 1), variable_of(tape, b, kind, level + 1)
    if a.dtype ~= b.dtype then
        error(("%s: a is %s, b is %s, expected one dtype; convert with F.cast"):format(kind, describe(a), describe(b)),
            level + 1)
    end
    local u, v = tape:value_of(a), tape:value_of(b)
    a.disposable, b.disposable = nil, nil
    return a, b, u, v
end

local function binary(tape, a, b, kind, out)
    local u, v
    a, b, u, v = pair(tape, a, b, kind, 3)
    local y = out and tape:input(out) or tape:variable(a.dtype, broadcast(a, b, kind, 3))
    ops.binary(y.value, u, v, kind)
    local node
    if kind == "add" or kind == "sub" then
        node = { backward = add_backward, a = a, b = b, factor = kind == "sub" and -1 or 1 }
    else
        node = { backward = binary_backward, a = a, b = b, kind = kind }
    end
    return tape:record(y, a.needs_grad and a or b, node)
end

--- y = a + b.
-- @param a, b variables or numbers, at most one of them a number
-- @param out tensor for the sum of two variables (default: in the arena)
function E.add(tape, a, b, out)
    if out and (type(a) == "number" or type(b) == "number") then
        error("add: got a number and a tensor for the result, expected two variables", 2)
    end
    local y
    if type(b) == "number" then
        y = affine(tape, a, 1, b, "add")
    elseif type(a) == "number" then
        y = affine(tape, b, 1, a, "add")
    else
        y = binary(tape, a, b, "add", out)
    end
    return y
end

--- y = a - b. Operands as for add.
function E.sub(tape, a, b)
    local y
    if type(b) == "number" then
        y = affine(tape, a, 1, -b, "sub")
    elseif type(a) == "number" then
        y = affine(tape, b, -1, a, "sub")
    else
        y = binary(tape, a, b, "sub")
    end
    return y
end

--- y = a * b. Operands as for add.
function E.mul(tape, a, b)
    local y
    if type(b) == "number" then
        y = affine(tape, a, b, 0, "mul")
    elseif type(a) == "number" then
        y = affine(tape, b, a, 0, "mul")
    else
        y = binary(tape, a, b, "mul")
    end
    return y
end

--- y = a / b. Operands as for add.
function E.div(tape, a, b)
    local y
    if type(b) == "number" then
        y = affine(tape, a, 1 / b, 0, "div")
    elseif type(a) == "number" then
        y = unary(tape, b, "reciprocal", a)
    else
        y = binary(tape, a, b, "div")
    end
    return y
end

--- y = x ^ p. Operands as for add. NaN where x is below 0 and p is not whole; there is no gradient by p there either.
function E.pow(tape, x, p)
    local y
    if type(p) == "number" then
        y = unary(tape, x, "pow", p)
    elseif type(x) == "number" then
        y = unary(tape, p, "exponential", x)
    else
        y = binary(tape, x, p, "pow")
    end
    return y
end

--- y = the larger of a and b, NaN where one of them is. Operands as for add. Where variables are equal, each gets half
-- the gradient; a variable that equals a number gets all of it.
function E.maximum(tape, a, b)
    local y
    if type(b) == "number" then
        y = unary(tape, a, "clamp_min", b)
    elseif type(a) == "number" then
        y = unary(tape, b, "clamp_min", a)
    else
        y = binary(tape, a, b, "maximum")
    end
    return y
end

--- y = the smaller of a and b; as maximum.
function E.minimum(tape, a, b)
    local y
    if type(b) == "number" then
        y = unary(tape, a, "clamp_max", b)
    elseif type(a) == "number" then
        y = unary(tape, b, "clamp_max", a)
    else
        y = binary(tape, a, b, "minimum")
    end
    return y
end

-- ---------------------------------------------------------------- masks

-- A number as a tensor of one element, which the caller releases; else nil.
local function constant(tape, x, dtype)
    if type(x) ~= "number" then return nil end
    local t = tape:tensor(dtype, { 1 })
    ops.fill(t, x)
    return t
end

local function compare(tape, a, b, kind)
    if type(a) == "number" and type(b) == "number" then
        error(kind .. ": got two numbers, expected a variable or a tensor", 3)
    end
    local dtype = variable_of(tape, type(a) == "number" and b or a, kind, 3).dtype
    local filled = constant(tape, a, dtype) or constant(tape, b, dtype)
    local u = type(a) == "number" and tape:input(filled) or variable_of(tape, a, kind, 3)
    local v = type(b) == "number" and tape:input(filled) or variable_of(tape, b, kind, 3)
    local mask = tape:variable("i8", broadcast(u, v, kind, 3))
    ops.compare(mask.value, tape:value_of(u), tape:value_of(v), kind)
    if filled then tape.arena:release(filled) end
    return mask
end

--- Masks, i8: 1 where a = b, else 0, for where(). Operands of one dtype, either may be a number; they broadcast.
-- Comparisons have no gradient. Nothing but ne is true of NaN.
function E.eq(tape, a, b)
    local mask = compare(tape, a, b, "eq")
    return mask
end

--- 1 where a and b differ.
function E.ne(tape, a, b)
    local mask = compare(tape, a, b, "ne")
    return mask
end

--- 1 where a < b.
function E.lt(tape, a, b)
    local mask = compare(tape, a, b, "lt")
    return mask
end

--- 1 where a <= b.
function E.le(tape, a, b)
    local mask = compare(tape, a, b, "le")
    return mask
end

--- 1 where a > b.
function E.gt(tape, a, b)
    local mask = compare(tape, a, b, "gt")
    return mask
end

--- 1 where a >= b.
function E.ge(tape, a, b)
    local mask = compare(tape, a, b, "ge")
    return mask
end

local function where_backward(tape, node)
    local y, a, b, mask = node.output, node.a, node.b, node.mask.value
    local zero = constant(tape, 0, y.dtype)
    if a and a.needs_grad then
        local da = tape:tensor(y.dtype, y.dims)
        ops.where(da, mask, y.grad, zero)
        give(tape, a, da)
    end
    if b and b.needs_grad then
        local db = tape:tensor(y.dtype, y.dims)
        ops.where(db, mask, zero, y.grad)
        give(tape, b, db)
    end
    tape.arena:release(zero)
end

--- y = a where mask is not 0, else b. The three broadcast.
-- @param mask i8: what a comparison returned, or a tensor
-- @param a, b variables or numbers, at most one of them a number
function E.where(tape, mask, a, b)
    mask = variable_of(tape, mask, "where", 2)
    if type(a) == "number" and type(b) == "number" then
        error("where: a and b are numbers, expected a variable or a tensor as one of them", 2)
    end
    local dtype = variable_of(tape, type(a) == "number" and b or a, "where", 2).dtype
    local filled = constant(tape, a, dtype) or constant(tape, b, dtype)
    local u, v, first, second
    u, v, first, second = pair(tape, type(a) == "number" and filled or a, type(b) == "number" and filled or b, "where",
        2)
    local chosen = { dtype = dtype, dims = broadcast(u, v, "where", 2) }
    local y = tape:variable(dtype, broadcast(chosen, mask, "where", 2))
    ops.where(y.value, tape:value_of(mask), first, second)
    if filled then tape.arena:release(filled) end
    mask.disposable = nil
    return tape:record(y, u.needs_grad and u or v, {
        backward = where_backward, mask = mask, a = type(a) ~= "number" and u, b = type(b) ~= "number" and v,
    })
end

return E
