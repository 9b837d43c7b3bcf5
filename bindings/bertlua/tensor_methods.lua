--- The methods and operators that every tensor has for arithmetic; what they share is in tensor_math.lua.

local bl = require "bertlua.ffi"
local tensor_math = require "bertlua.tensor_math"

local DTYPE = bl.DTYPE
local ops, tensor = tensor_math.later "bertlua.ops", tensor_math.later "bertlua.tensor"

local M = {}

--- The methods, by name.
local Tensor = {}
M.methods = Tensor

-- ---------------------------------------------------------------- copies and shapes

--- A copy in memory of its own, contiguous.
function Tensor:clone()
    return tensor_math.like(self):copy_from(self)
end

--- The tensor itself if it is contiguous, else a copy.
function Tensor:contiguous()
    if self:is_contiguous() then return self end
    return self:clone()
end

--- The values in another dtype: a copy, or the tensor itself if it has that dtype.
-- @param dtype "f32", "bf16", "f16", "i32", "i64" or "i8"; rounded to nearest even, towards 0 for integers
function Tensor:to(dtype)
    if DTYPE[dtype] == self.dtype then return self end
    local copy = tensor.new(dtype, self:dims(), 2)
    return copy:copy_from(self)
end

--- The values in f32.
function Tensor:float()
    return self:to "f32"
end

--- Transpose of a matrix, as a view.
function Tensor:t()
    if self.ndim ~= 2 then
        error("t: the tensor is " .. self:describe() .. ", expected 2 dimensions; x:transpose(a, b) swaps any two", 2)
    end
    return self:transpose(1, 2)
end

--- The dimensions in another order, as a view: x:permute(3, 1, 2) has x's third dimension first.
function Tensor:permute(...)
    local order = ...
    if type(order) ~= "table" then order = { ... } end
    local n, seen = self.ndim, {}
    for i = 1, math.max(#order, n) do
        local dim = order[i]
        if type(dim) ~= "number" or dim < 1 or dim > n or dim ~= math.floor(dim) or seen[dim] then
            error(("permute: the tensor is %s, expected each of its dimensions once"):format(self:describe()), 2)
        end
        seen[dim] = true
    end
    -- Swaps until each dimension is at its place.
    local view, at = self:slice(1, 1, self:size(1)), {}
    for i = 1, n do at[i] = i end
    for i = 1, n do
        for j = i + 1, n do
            if at[j] == order[i] then
                view = view:transpose(i, j)
                at[i], at[j] = at[j], at[i]
            end
        end
    end
    return view
end

--- A view with a dimension of size 1 at `dim`.
function Tensor:unsqueeze(dim)
    local dims = self:dims()
    if type(dim) ~= "number" or dim < 1 or dim > #dims + 1 then
        error(("unsqueeze: dimension is %s, the tensor is %s"):format(tostring(dim), self:describe()), 2)
    end
    table.insert(dims, dim, 1)
    local view = self:reshape(dims)
    return view
end

--- A view without the dimensions of size 1, or without dimension `dim` if it has size 1.
function Tensor:squeeze(dim)
    local dims = {}
    for d, size in ipairs(self:dims()) do
        if size ~= 1 or dim and d ~= dim then dims[#dims + 1] = size end
    end
    local view = self:reshape(dims)
    return view
end

-- ---------------------------------------------------------------- arithmetic

-- Torch7's x:add(2, y) and PyTorch's x.add(y, alpha=2) have a factor; left out silently it would be a wrong result.
local function check_one(name, sign, ...)
    if select("#", ...) > 0 then
        error(("%s: got %d operands, expected one; x %s y * 2 has a factor"):format(name, 1 + select("#", ...), sign),
            3)
    end
end

--- x + y; y is a tensor or a number, here and below.
-- @param ... refused: what Torch7 writes as x:add(2, y) is x + y * 2
function Tensor:add(y, ...)
    check_one("add", "+", ...)
    local z = tensor_math.arithmetic("add", self, y, 3)
    return z
end

--- x - y.
-- @param ... refused, as for add
function Tensor:sub(y, ...)
    check_one("sub", "-", ...)
    local z = tensor_math.arithmetic("sub", self, y, 3)
    return z
end

--- x * y, element by element; x:matmul(y) is the product of matrices.
function Tensor:mul(y)
    local z = tensor_math.arithmetic("mul", self, y, 3)
    return z
end

--- x / y of floats.
function Tensor:div(y)
    local z = tensor_math.arithmetic("div", self, y, 3)
    return z
end

--- x ^ y of floats.
function Tensor:pow(y)
    local z = tensor_math.arithmetic("pow", self, y, 3)
    return z
end

--- The larger of x and y, element by element.
function Tensor:maximum(y)
    local z = tensor_math.arithmetic("maximum", self, y, 3)
    return z
end

--- The smaller of x and y, element by element.
function Tensor:minimum(y)
    local z = tensor_math.arithmetic("minimum", self, y, 3)
    return z
end

--- -x.
function Tensor:neg()
    if not tensor_math.is_float(self) then
        local z = tensor_math.arithmetic("sub", 0, self, 3)
        return z
    end
    local z = tensor_math.unary("neg", self, "neg", nil, 3)
    return z
end

--- |x|.
function Tensor:abs()
    if not tensor_math.is_float(self) then
        local z = tensor_math.arithmetic("maximum", self, tensor_math.arithmetic("sub", 0, self, 3), 3)
        return z
    end
    local z = tensor_math.unary("abs", self, "abs", nil, 3)
    return z
end

--- e ^ x.
function Tensor:exp()
    local z = tensor_math.unary("exp", self, "exp", nil, 3)
    return z
end

--- Natural logarithm.
function Tensor:log()
    local z = tensor_math.unary("log", self, "log", nil, 3)
    return z
end

--- Square root.
function Tensor:sqrt()
    local z = tensor_math.unary("sqrt", self, "sqrt", nil, 3)
    return z
end

--- The larger of x and 0.
function Tensor:relu()
    local z = tensor_math.unary("relu", self, "relu", nil, 3)
    return z
end

--- x * sigmoid(x).
function Tensor:silu()
    local z = tensor_math.unary("silu", self, "silu", nil, 3)
    return z
end

--- GELU in its tanh form (arXiv 1606.08415).
function Tensor:gelu_tanh()
    local z = tensor_math.unary("gelu_tanh", self, "gelu_tanh", nil, 3)
    return z
end

--- 1 / (1 + e ^ -x).
function Tensor:sigmoid()
    local z = tensor_math.unary("sigmoid", self, "sigmoid", nil, 3)
    return z
end

-- An op (y, x) on a contiguous tensor of floats.
local function simple(name, op, x, level)
    tensor_math.check_float(name, x, level + 1)
    local y = tensor_math.like(x)
    ops[op](y, x:contiguous())
    return y
end

--- GELU in its erf form, that of BERT.
function Tensor:gelu()
    local z = simple("gelu", "gelu_forward", self, 3)
    return z
end

--- Hyperbolic tangent.
function Tensor:tanh()
    local z = simple("tanh", "tanh_forward", self, 3)
    return z
end

-- An op over the last dimension, along another one.
local function along(name, op, x, dim, level)
    tensor_math.check_float(name, x, level + 1)
    dim = dim and tensor_math.dimension(name, x, dim, level + 1) or x.ndim
    if dim == x.ndim then return (simple(name, op, x, level + 1)) end
    local y = simple(name, op, x:transpose(dim, x.ndim), level + 1)
    return y:transpose(dim, x.ndim):contiguous()
end

--- Softmax along a dimension.
-- @param dim from 1, or from -1 backwards; the last one if left out
function Tensor:softmax(dim)
    local z = along("softmax", "softmax", self, dim, 3)
    return z
end

--- Logarithm of the softmax along a dimension.
-- @param dim as for softmax
function Tensor:log_softmax(dim)
    local z = along("log_softmax", "log_softmax_forward", self, dim, 3)
    return z
end

--- Matrix product over the last two dimensions, [...,M,K] x [...,K,N]; those before them broadcast. A vector counts as
-- a row on the left and as a column on the right, and that dimension is dropped: two vectors give their inner product,
-- as a tensor without dimensions.
function Tensor:matmul(y)
    local z = tensor_math.matmul(self, y, 3)
    return z
end

-- ---------------------------------------------------------------- comparisons

--- i8, 1 where x equals y, else 0; y is a tensor or a number, here and below.
function Tensor:eq(y)
    local z = tensor_math.compare("eq", self, y, 3)
    return z
end

--- i8, 1 where x differs from y.
function Tensor:ne(y)
    local z = tensor_math.compare("ne", self, y, 3)
    return z
end

--- i8, 1 where x is less than y.
function Tensor:lt(y)
    local z = tensor_math.compare("lt", self, y, 3)
    return z
end

--- i8, 1 where x is at most y.
function Tensor:le(y)
    local z = tensor_math.compare("le", self, y, 3)
    return z
end

--- i8, 1 where x is greater than y.
function Tensor:gt(y)
    local z = tensor_math.compare("gt", self, y, 3)
    return z
end

--- i8, 1 where x is at least y.
function Tensor:ge(y)
    local z = tensor_math.compare("ge", self, y, 3)
    return z
end

--- True if y is a tensor of the same shape with the same values, in whatever dtype; NaN equals nothing. x == y is this.
function Tensor:equal(y)
    local same = tensor_math.equal(self, y)
    return same
end

--- Set the elements where the mask is not 0. x[mask] = value is this.
-- @param mask i8 of a shape that broadcasts to x's
-- @param value number, or tensor of a shape that broadcasts to x's
-- @param level as in tensor.new
function Tensor:masked_fill(mask, value, level)
    -- Not in place: a result of another shape is refused before anything is written.
    local result = tensor_math.where("masked_fill", mask, value, self, (level or 1) + 2)
    if not tensor_math.same_shape(result, self) then
        error(("masked_fill: the mask is %s, the tensor %s"):format(mask:describe(), self:describe()),
            (level or 1) + 1)
    end
    return self:copy_from(result)
end

-- ---------------------------------------------------------------- reductions

--- Sum of all elements, a number; or along a dimension, a tensor without that dimension.
-- @param dim from 1, or from -1 backwards; nothing: all
-- @param keep true: the dimension stays, with size 1
function Tensor:sum(dim, keep)
    if dim == nil then
        local number = tensor_math.reduce("sum", self, 3)
        return number
    end
    local z = tensor_math.reduce_dim("sum", self, dim, keep, 3)
    return z
end

--- Mean of all elements, or along a dimension, as for sum.
function Tensor:mean(dim, keep)
    if dim == nil then
        local number = tensor_math.reduce("mean", self, 3)
        return number
    end
    local z = tensor_math.reduce_dim("mean", self, dim, keep, 3)
    return z
end

--- Largest of all elements, or along a dimension, as for sum.
function Tensor:max(dim, keep)
    if dim == nil then
        local number = tensor_math.reduce("max", self, 3)
        return number
    end
    local z = tensor_math.reduce_dim("max", self, dim, keep, 3)
    return z
end

--- Smallest of all elements, or along a dimension, as for sum.
function Tensor:min(dim, keep)
    if dim == nil then
        local number = tensor_math.reduce("min", self, 3)
        return number
    end
    local z = tensor_math.reduce_dim("min", self, dim, keep, 3)
    return z
end

--- Index from 1 of the largest element along a dimension, i32; without one, a number: the index in x:view(-1).
function Tensor:argmax(dim, keep)
    if dim == nil then
        local z = tensor_math.argmax(self:reshape(self:numel()), 1, false, 3)
        return z:item()
    end
    local z = tensor_math.argmax(self, dim, keep, 3)
    return z
end

--- Euclidean norm of all elements, a number.
-- @param p 2 or left out; x:abs():sum() and x:abs():max() are the norms of 1 and infinity
-- @param dim refused: (x ^ 2):sum(dim):sqrt() is the norm along a dimension
function Tensor:norm(p, dim)
    tensor_math.check_norm(p, dim, 3)
    local number = tensor_math.reduce("norm", self, 3)
    return number
end

-- ---------------------------------------------------------------- operators

--- What +, -, ... and == of tensors mean, by metamethod.
M.operators = {
    __add = function(a, b)
        local z = tensor_math.arithmetic("add", a, b, 3)
        return z
    end,
    __sub = function(a, b)
        local z = tensor_math.arithmetic("sub", a, b, 3)
        return z
    end,
    __mul = function(a, b)
        local z = tensor_math.arithmetic("mul", a, b, 3)
        return z
    end,
    __div = function(a, b)
        local z = tensor_math.arithmetic("div", a, b, 3)
        return z
    end,
    __pow = function(a, b)
        local z = tensor_math.arithmetic("pow", a, b, 3)
        return z
    end,
    __unm = function(a)
        if not tensor_math.is_float(a) then
            local z = tensor_math.arithmetic("sub", 0, a, 3)
            return z
        end
        local z = tensor_math.unary("neg", a, "neg", nil, 3)
        return z
    end,
    -- Also asked for x == nil, which is false.
    __eq = tensor_math.equal,
    __lt = function()
        error("a tensor is neither less nor greater as a whole; x:lt(y), x:gt(y) compare its elements", 2)
    end,
    __le = function()
        error("a tensor is neither less nor greater as a whole; x:le(y), x:ge(y) compare its elements", 2)
    end,
}

return M
