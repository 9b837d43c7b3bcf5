--- Arithmetic, comparisons and reductions of tensors: x + y, x:exp(), x:sum(1), x == y.
--
-- Each makes a new tensor in the current scope and leaves its operands as they
-- are (x[...] = y writes into x). Shapes broadcast as in numpy: compared from
-- the last dimension, a size of 1 or a missing dimension is repeated. Operands
-- have one dtype; x:to(dtype) converts. bf16 and f16 are computed in f32 and
-- rounded once. Variables on a tape have the same names
-- (lua/bertlua/autograd/variable.lua), with gradients.
--
-- The methods are documented where they are defined: tensor_methods.lua. Here is
-- what they share.

local ffi = require "ffi"
local bl = require "bertlua.ffi"
local context = require "bertlua.context"

local DTYPE = bl.DTYPE
local new_tensor = ffi.typeof "bl_tensor"

local M = {}

--- A module whose fields are looked up at the first use: these build on tensors, so they cannot be loaded before them.
function M.later(name)
    return setmetatable({}, {
        __index = function(self, field)
            local value = require(name)[field]
            rawset(self, field, value)
            return value
        end,
    })
end

local ops, tensor = M.later "bertlua.ops", M.later "bertlua.tensor"

-- level, everywhere below: whose line an error names, as for error() in the function that takes it.

local function is_tensor(value)
    return ffi.istype(new_tensor, value)
end

local IS_FLOAT = { [DTYPE.f32] = true, [DTYPE.bf16] = true, [DTYPE.f16] = true }

--- An error unless t is a tensor of the current device.
-- @param expected for the message; "a tensor" if left out
function M.check_tensor(name, t, level, expected)
    if not is_tensor(t) then
        error(("%s: got %s, expected %s"):format(name, type(t), expected or "a tensor"), level)
    end
    if t:device_name() ~= context.device() then
        error(("%s: the tensor is %s, the current device is %s; bl.zeros(x:dims()):copy_from(x) copies it"):format(name,
            t:describe(), context.device()), level)
    end
end

--- An error unless t is a tensor of floats of the current device.
function M.check_float(name, t, level)
    M.check_tensor(name, t, level + 1)
    if not IS_FLOAT[t.dtype] then
        error(("%s: the tensor is %s, expected f32, bf16 or f16; x:float() converts"):format(name, t:describe()),
            level)
    end
end

--- Whether the elements are f32, bf16 or f16.
function M.is_float(t)
    return IS_FLOAT[t.dtype] or false
end

--- A new tensor of t's shape, and of its dtype unless another is named.
function M.like(t, dtype)
    return tensor.new(dtype or t:dtype_name(), t:dims())
end
local like = M.like

local function check_same_dtype(name, a, b, level)
    if a.dtype ~= b.dtype then
        error(("%s: %s and %s differ in dtype; x:to(dtype) converts"):format(name, a:describe(), b:describe()),
            level)
    end
end

--- The shape that the shapes of several tensors broadcast to.
function M.broadcast(name, level, ...)
    local dims = {}
    for i = 1, select("#", ...) do
        local other = (select(i, ...)):dims()
        local n, both = math.max(#dims, #other), {}
        for d = 1, n do
            local p, q = dims[#dims - n + d] or 1, other[#other - n + d] or 1
            if p ~= q and p ~= 1 and q ~= 1 then
                local names = {}
                for k = 1, select("#", ...) do names[k] = (select(k, ...)):describe() end
                error(("%s: the shapes of %s do not broadcast"):format(name, table.concat(names, " and ")), level)
            end
            both[d] = p == 1 and q or p
        end
        dims = both
    end
    return dims
end

--- y = f(x) of each element, where f is a kind of ops.unary_forward.
function M.unary(name, x, kind, a, level)
    M.check_float(name, x, level + 1)
    local y = like(x)
    ops.unary_forward(y, x:contiguous(), kind, a)
    return y
end

local function affine(x, a, b)
    local y = like(x)
    ops.affine(y, x:contiguous(), a, b)
    return y
end

local function unary(x, kind, a)
    local y = like(x)
    ops.unary_forward(y, x:contiguous(), kind, a)
    return y
end

-- A tensor of floats and a number: each is one pass with the number in f32.
local WITH_NUMBER = {
    add = function(x, number) return affine(x, 1, number) end,
    sub = function(x, number) return affine(x, 1, -number) end,
    mul = function(x, number) return affine(x, number, 0) end,
    div = function(x, number)
        if x.dtype ~= DTYPE.f32 then return affine(x, 1 / number, 0) end
        -- A product with the reciprocal is not the quotient rounded once.
        local y = like(x)
        ops.binary(y, x, tensor.from { number }, "div")
        return y
    end,
    pow = function(x, number) return unary(x, "pow", number) end,
    maximum = function(x, number) return unary(x, "clamp_min", number) end,
    minimum = function(x, number) return unary(x, "clamp_max", number) end,
}
-- The number comes first.
local NUMBER_WITH = {
    sub = function(x, number) return affine(x, -1, number) end,
    div = function(x, number) return unary(x, "reciprocal", number) end,
    pow = function(x, number) return unary(x, "exponential", number) end,
}

local LIMIT = { [DTYPE.i32] = 2 ^ 31, [DTYPE.i64] = 2 ^ 53, [DTYPE.i8] = 2 ^ 7 }

-- A number as a tensor of t's integer dtype.
local function whole(name, t, number, level)
    local limit = LIMIT[t.dtype]
    if number ~= math.floor(number) or number < -limit or number >= limit then
        error(("%s: the tensor is %s, the number %s; x:float() converts"):format(name, t:describe(), tostring(number)),
            level)
    end
    return tensor.from({ number }, t:dtype_name())
end

local function check_integers(name, x, level)
    if x.dtype == DTYPE.i8 then
        error(('%s: the tensor is %s; x:to "i32" or x:float() converts'):format(name, x:describe()), level)
    end
    if not IS_FLOAT[x.dtype] and (name == "div" or name == "pow") then
        error(("%s: the tensor is %s; x:float() converts"):format(name, x:describe()), level)
    end
end

local function with_number(name, a, b, level)
    local reversed = type(a) == "number"
    local x, number = reversed and b or a, reversed and a or b
    M.check_tensor(name, x, level + 1)
    if IS_FLOAT[x.dtype] then return (reversed and NUMBER_WITH[name] or WITH_NUMBER[name])(x, number) end
    check_integers(name, x, level + 1)
    local other, y = whole(name, x, number, level + 1), like(x)
    if reversed then ops.binary(y, other, x, name) else ops.binary(y, x, other, name) end
    return y
end

--- a kind b: tensors that broadcast, or a tensor and a number.
-- @param name a kind of ops.binary
function M.arithmetic(name, a, b, level)
    -- A variable decides what becomes of its operands.
    local meta = type(b) == "table" and getmetatable(b)
    local operator = type(meta) == "table" and rawget(meta, "__" .. name)
    if operator then return (operator(a, b)) end
    if type(a) == "number" or type(b) == "number" then return (with_number(name, a, b, level + 1)) end
    M.check_tensor(name, a, level + 1, "a tensor or a number")
    M.check_tensor(name, b, level + 1, "a tensor or a number")
    check_same_dtype(name, a, b, level + 1)
    check_integers(name, a, level + 1)
    local y = tensor.new(a:dtype_name(), M.broadcast(name, level + 1, a, b))
    ops.binary(y, a, b, name)
    return y
end

--- mask i8 = 1 where a kind b, else 0.
-- @param kind of ops.compare
-- @param b tensor or number
function M.compare(kind, a, b, level)
    M.check_tensor(kind, a, level + 1)
    if type(b) == "number" then
        if IS_FLOAT[a.dtype] then
            a, b = a:float(), tensor.from { b }
        else
            b = whole(kind, a, b, level + 1)
        end
    else
        M.check_tensor(kind, b, level + 1, "a tensor or a number")
        check_same_dtype(kind, a, b, level + 1)
    end
    local mask = tensor.new("i8", M.broadcast(kind, level + 1, a, b))
    ops.compare(mask, a, b, kind)
    return mask
end

--- A tensor with the elements of a where the mask is not 0, and of b elsewhere.
-- @param a, b tensors or numbers; the dtype is that of a tensor among them
function M.where(name, mask, a, b, level)
    local model = is_tensor(a) and a or is_tensor(b) and b or nil
    local function operand(value)
        if type(value) ~= "number" then
            M.check_tensor(name, value, level + 2, "a tensor or a number")
            check_same_dtype(name, value, model, level + 2)
            return value
        end
        if model and not IS_FLOAT[model.dtype] then return (whole(name, model, value, level + 2)) end
        return (tensor.from({ value }, model and model:dtype_name() or "f32"))
    end
    M.check_tensor(name, mask, level + 1)
    if mask.dtype ~= DTYPE.i8 then
        error(("%s: the mask is %s, expected i8, as x:gt(0) gives"):format(name, mask:describe()), level)
    end
    if model and model.dtype == DTYPE.i8 then
        error(('%s: the tensor is %s; x:to "i32" converts'):format(name, model:describe()), level)
    end
    a, b = operand(a), operand(b)
    local y = tensor.new(a:dtype_name(), M.broadcast(name, level + 1, mask, a, b))
    ops.where(y, mask, a, b)
    return y
end

-- Dimension `dim` gone, or 1 if it is kept or the only one.
local function reduced(dims, dim, keep)
    local list = {}
    for d = 1, #dims do
        if d ~= dim then
            list[#list + 1] = dims[d]
        elseif keep or #dims == 1 then
            list[#list + 1] = 1
        end
    end
    return list
end

--- A dimension from 1, also for one from -1 backwards; an error for any other, and for an empty tensor.
function M.dimension(name, x, dim, level)
    local from_front = type(dim) == "number" and dim < 0 and x.ndim + 1 + dim or dim
    if type(from_front) ~= "number" or from_front < 1 or from_front > x.ndim or from_front % 1 ~= 0 then
        error(("%s: dimension is %s, the tensor is %s"):format(name, tostring(dim), x:describe()), level)
    end
    if x:numel() == 0 then error(("%s: the tensor is %s, it is empty"):format(name, x:describe()), level) end
    return from_front
end

local function of_whole(x, kind)
    local sum, best, n = 0, nil, x:numel()
    local flat = x:reshape(n):tolist()
    for i = 1, n do
        local value = flat[i]
        sum = sum + value
        if not best or kind == "max" and value > best or kind == "min" and value < best then best = value end
    end
    return kind == "sum" and sum or kind == "mean" and sum / n or best
end

--- Reduction of all elements to a number.
-- @param kind "sum", "mean", "max", "min" or "norm"
function M.reduce(kind, x, level)
    M.check_tensor(kind, x, level + 1)
    if x:numel() == 0 then
        if kind == "sum" or kind == "norm" then return 0 end
        error(("%s: the tensor is %s, it is empty"):format(kind, x:describe()), level)
    end
    if not IS_FLOAT[x.dtype] then
        if kind == "norm" then M.check_float(kind, x, level + 1) end
        return of_whole(x, kind)
    end
    local y = tensor.new("f32", { 1 })
    ops.reduce(y, x:contiguous(), kind)
    return y:item()
end

--- An error unless arguments of norm() are those of the Euclidean norm of all elements.
function M.check_norm(p, dim, level)
    if p ~= nil and p ~= 2 then
        error(("norm: p is %s, expected 2; x:abs():sum() and x:abs():max() are the norms of 1 and infinity"):format(
            tostring(p)), level)
    end
    if dim ~= nil then
        error("norm: it is that of all elements; (x ^ 2):sum(dim):sqrt() is the norm along a dimension", level)
    end
end

--- Reduction along a dimension.
-- @param kind "sum", "mean", "max" or "min"
-- @param keep true: the dimension stays, with size 1
function M.reduce_dim(kind, x, dim, keep, level)
    M.check_tensor(kind, x, level + 1)
    dim = M.dimension(kind, x, dim, level + 1)
    if keep ~= nil and type(keep) ~= "boolean" then
        error(("%s: keep is a %s, expected true or false; one dimension at a time"):format(kind, type(keep)), level)
    end
    if not IS_FLOAT[x.dtype] and x.dtype ~= DTYPE.i8 then
        error(("%s: the tensor is %s; x:float() converts"):format(kind, x:describe()), level)
    end
    local dims = x:dims()
    local y = tensor.new(IS_FLOAT[x.dtype] and x:dtype_name() or "f32", reduced(dims, dim, true))
    ops.reduce_dims(y, x, kind)
    return keep and y or y:view(reduced(dims, dim))
end

--- Index from 1 of the largest element along a dimension, i32.
function M.argmax(x, dim, keep, level)
    M.check_float("argmax", x, level + 1)
    dim = M.dimension("argmax", x, dim, level + 1)
    local dims = x:dims()
    local from_0, y = tensor.new("i32", reduced(dims, dim, true)), tensor.new("i32", reduced(dims, dim, keep))
    ops.argmax(from_0, x, dim)
    ops.binary(y, from_0:view(y:dims()), tensor.from({ 1 }, "i32"), "add")
    return y
end

--- Matrix product over the last two dimensions; those before broadcast.
function M.matmul(a, b, level)
    M.check_float("matmul", a, level + 1)
    M.check_float("matmul", b, level + 1)
    check_same_dtype("matmul", a, b, level + 1)
    -- A vector is a row on the left and a column on the right.
    local x = a.ndim == 1 and a:reshape(1, a:size(1)) or a
    local z = b.ndim == 1 and b:reshape(b:size(1), 1) or b
    local p, q = x:dims(), z:dims()
    if #p < 2 or #q < 2 or p[#p] ~= q[#q - 1] then
        error(("matmul: %s and %s: the last size of the first must be the last but one of the second"):format(
            a:describe(), b:describe()), level)
    end
    local n, dims = math.max(#p, #q), {}
    for d = 1, n - 2 do
        local u, v = p[#p - n + d] or 1, q[#q - n + d] or 1
        if u ~= v and u ~= 1 and v ~= 1 then
            error(("matmul: the shapes of %s and %s do not broadcast"):format(a:describe(), b:describe()), level)
        end
        dims[d] = u == 1 and v or u
    end
    dims[n - 1], dims[n] = p[#p - 1], q[#q]
    local y = tensor.new(a:dtype_name(), dims)
    ops.matmul(y, M.row_or_column(x), M.row_or_column(z))
    if a.ndim == 1 then table.remove(dims, #dims - 1) end
    if b.ndim == 1 then table.remove(dims) end
    return y:view(dims)
end

--- The tensor, or a copy if neither of its last two dimensions has stride 1, which products need.
function M.row_or_column(t)
    local n = t.ndim
    if t.stride[n - 1] == 1 or t.stride[n - 2] == 1 then return t end
    return t:clone()
end

--- Whether two tensors have the same shape.
function M.same_shape(a, b)
    if a.ndim ~= b.ndim then return false end
    for d = 0, a.ndim - 1 do
        if a.shape[d] ~= b.shape[d] then return false end
    end
    return true
end

--- Whether two tensors have the same shape and the same values; NaN equals nothing.
function M.equal(a, b)
    if not (is_tensor(a) and is_tensor(b)) or not M.same_shape(a, b) then return false end
    if a:numel() == 0 then return true end
    if a.dtype ~= b.dtype or a.device ~= b.device or a:device_name() ~= context.device() then
        -- Of different kinds: by their numbers, on the host.
        local x, y = a:reshape(a:numel()):tolist(), b:reshape(b:numel()):tolist()
        for i = 1, #x do
            if x[i] ~= y[i] then return false end
        end
        return true
    end
    local different, count = tensor.new("i8", a:dims()), tensor.new("f32", { 1 })
    ops.compare(different, a, b, "ne")
    ops.reduce_dims(count, different:view(different:numel()), "sum")
    return count:item() == 0
end

return M
