--- Variables: what flows through a tape, with operators and methods that record themselves.
--
--     local loss = ((a - b) ^ 2):mean()       -- F.mean(tape, F.pow(tape, F.sub(tape, a, b), 2))
--
-- A variable knows its tape. Each operator and method is the function of its
-- name in functional.lua (F), where shapes and gradients are documented; the
-- other operand may be a number, a variable of the same tape, or a tensor that
-- needs no gradient. Tensors have the same names (bertlua.tensor_methods).
--
-- x[1], x[{1, 2}] and x[{{1, 2}, {}}] follow the rules of tensors
-- (bertlua.tensor_index), but are copies on the tape. A variable cannot be
-- written to. x == y asks whether both are the same variable; x:eq(y) compares
-- values.
--
-- Most methods are tail calls on purpose: errors then name the line of the user.

local tensor_math = require "bertlua.tensor_math"

-- F builds on the tape, and the tape on this file.
local F = setmetatable({}, {
    __index = function(self, name)
        local f = require("bertlua.autograd.functional")[name]
        rawset(self, name, f)
        return f
    end,
})

local Variable = {}

local function tape_of(a, b)
    if getmetatable(a) ~= Variable then return b.tape end
    if getmetatable(b) == Variable and b.tape ~= a.tape then
        error("the variables are on different tapes", 3)
    end
    return a.tape
end

function Variable:__tostring()
    if self.epoch ~= self.tape.epoch and not self.is_input then
        return ("variable %s %s; its value is gone: start() has emptied the tape"):format(self.dtype,
            table.concat(self.dims, "x"))
    end
    if self.value then return tostring(self.value) end
    return ("variable %s %s; its value is gone: %s"):format(self.dtype, table.concat(self.dims, "x"),
        self.gone or "it was released")
end

--- The value as a number, for variables with one element.
function Variable:item()
    return self.tape:value_of(self):item()
end

--- The value as nested tables.
function Variable:tolist()
    return self.tape:value_of(self):tolist()
end

--- Size along one dimension, from 1, or from -1 backwards; without one the list of all sizes, as x.dims.
function Variable:size(dim)
    if dim == nil then return { unpack(self.dims) } end
    local at = type(dim) == "number" and dim < 0 and #self.dims + 1 + dim or dim
    if type(at) ~= "number" or not self.dims[at] then
        error(("size: dimension is %s, expected 1 to %d"):format(tostring(dim), #self.dims), 2)
    end
    return self.dims[at]
end

--- Number of elements.
function Variable:numel()
    local n = 1
    for i = 1, #self.dims do n = n * self.dims[i] end
    return n
end

--- "f32 2x3", for messages.
function Variable:describe()
    return ("variable %s %s"):format(self.dtype, table.concat(self.dims, "x"))
end

--- Walk the tape backwards from this variable (Tape:backward).
-- @param seed its gradient; without one it must have one element
function Variable:backward(seed, watcher)
    if not seed and self:numel() ~= 1 then
        error(("backward: expected one element or a gradient, got %s; x:sum():backward()"):format(self:describe()), 2)
    end
    return self.tape:backward(self, seed, watcher)
end

--- The values in another float dtype: F.cast.
function Variable:to(dtype)
    return F.cast(self.tape, self, dtype)
end

--- The values in f32: F.cast.
function Variable:float()
    return F.cast(self.tape, self, "f32")
end

-- ---------------------------------------------------------------- operators

function Variable.__add(a, b) return F.add(tape_of(a, b), a, b) end

function Variable.__sub(a, b) return F.sub(tape_of(a, b), a, b) end

function Variable.__mul(a, b) return F.mul(tape_of(a, b), a, b) end

function Variable.__div(a, b) return F.div(tape_of(a, b), a, b) end

function Variable.__pow(a, b) return F.pow(tape_of(a, b), a, b) end

function Variable.__unm(a) return F.neg(a.tape, a) end

function Variable.__lt()
    error("a variable is neither less nor greater as a whole; x:lt(y), x:gt(y) compare its elements", 2)
end

function Variable.__le()
    error("a variable is neither less nor greater as a whole; x:le(y), x:ge(y) compare its elements", 2)
end

-- ---------------------------------------------------------------- element by element

-- As for tensors (tensor_methods.lua).
local function check_one(name, sign, ...)
    if select("#", ...) > 0 then
        error(("%s: got %d operands, expected one; x %s y * 2 has a factor"):format(name, 1 + select("#", ...), sign),
            3)
    end
end

--- x + y: F.add.
-- @param ... refused: what Torch7 writes as x:add(2, y) is x + y * 2
function Variable:add(y, ...)
    check_one("add", "+", ...)
    return F.add(tape_of(self, y), self, y)
end

--- x - y: F.sub.
-- @param ... refused, as for add
function Variable:sub(y, ...)
    check_one("sub", "-", ...)
    return F.sub(tape_of(self, y), self, y)
end

--- x * y, element by element: F.mul.
function Variable:mul(y) return F.mul(tape_of(self, y), self, y) end

--- x / y: F.div.
function Variable:div(y) return F.div(tape_of(self, y), self, y) end

--- x ^ p: F.pow.
function Variable:pow(p) return F.pow(tape_of(self, p), self, p) end

--- The larger of x and y, element by element: F.maximum.
function Variable:maximum(y) return F.maximum(tape_of(self, y), self, y) end

--- The smaller of x and y, element by element: F.minimum.
function Variable:minimum(y) return F.minimum(tape_of(self, y), self, y) end

--- -x: F.neg.
function Variable:neg() return F.neg(self.tape, self) end

--- e ^ x: F.exp.
function Variable:exp() return F.exp(self.tape, self) end

--- Natural logarithm: F.log.
function Variable:log() return F.log(self.tape, self) end

--- Square root: F.sqrt.
function Variable:sqrt() return F.sqrt(self.tape, self) end

--- |x|: F.abs.
function Variable:abs() return F.abs(self.tape, self) end

--- The larger of x and 0: F.relu.
function Variable:relu() return F.relu(self.tape, self) end

--- x * sigmoid(x): F.silu.
function Variable:silu() return F.silu(self.tape, self) end

--- GELU in its erf form: F.gelu.
function Variable:gelu() return F.gelu(self.tape, self) end

--- GELU in its tanh form: F.gelu_tanh.
function Variable:gelu_tanh() return F.gelu_tanh(self.tape, self) end

--- 1 / (1 + e ^ -x): F.sigmoid.
function Variable:sigmoid() return F.sigmoid(self.tape, self) end

--- Hyperbolic tangent: F.tanh.
function Variable:tanh() return F.tanh(self.tape, self) end

--- Softmax along a dimension, the last one if left out: F.softmax.
function Variable:softmax(dim) return F.softmax(self.tape, self, dim) end

--- Logarithm of the softmax along a dimension, the last one if left out: F.log_softmax.
function Variable:log_softmax(dim) return F.log_softmax(self.tape, self, dim) end

--- Matrix product: F.matmul.
function Variable:matmul(y) return F.matmul(tape_of(self, y), self, y) end

-- ---------------------------------------------------------------- comparisons: masks, without gradients

--- Mask i8: F.eq.
function Variable:eq(y) return F.eq(tape_of(self, y), self, y) end

--- Mask i8: F.ne.
function Variable:ne(y) return F.ne(tape_of(self, y), self, y) end

--- Mask i8: F.lt.
function Variable:lt(y) return F.lt(tape_of(self, y), self, y) end

--- Mask i8: F.le.
function Variable:le(y) return F.le(tape_of(self, y), self, y) end

--- Mask i8: F.gt.
function Variable:gt(y) return F.gt(tape_of(self, y), self, y) end

--- Mask i8: F.ge.
function Variable:ge(y) return F.ge(tape_of(self, y), self, y) end

-- ---------------------------------------------------------------- reductions

--- Sum of all elements, f32 [1], or along a dimension: F.sum.
function Variable:sum(dim, keepdim) return F.sum(self.tape, self, dim, keepdim) end

--- Mean of all elements, f32 [1], or along a dimension: F.mean.
function Variable:mean(dim, keepdim) return F.mean(self.tape, self, dim, keepdim) end

--- Largest of all elements, f32 [1], or along a dimension: F.max.
function Variable:max(dim, keepdim) return F.max(self.tape, self, dim, keepdim) end

--- Smallest of all elements, f32 [1], or along a dimension: F.min.
function Variable:min(dim, keepdim) return F.min(self.tape, self, dim, keepdim) end

--- Index of the largest element along a dimension, from 0 as ids and labels are: F.argmax. That of a tensor is from 1.
function Variable:argmax(dim, keepdim) return F.argmax(self.tape, self, dim, keepdim) end

--- Euclidean norm of all elements, f32 [1]. Its gradient at 0 is NaN.
-- @param p, dim as for tensors: 2 and nothing
function Variable:norm(p, dim)
    tensor_math.check_norm(p, dim, 3)
    local tape = self.tape
    return F.sqrt(tape, F.sum(tape, F.mul(tape, self, self)))
end

-- ---------------------------------------------------------------- shapes: copies on the tape

--- The same elements in another shape: F.reshape.
function Variable:reshape(...)
    local dims = ...
    if type(dims) ~= "table" then dims = { ... } end
    return F.reshape(self.tape, self, dims)
end

--- The same elements in another shape, a copy as reshape: F.reshape.
Variable.view = Variable.reshape

--- With a dimension of size 1 at `dim`: F.reshape.
function Variable:unsqueeze(dim)
    local dims = { unpack(self.dims) }
    if type(dim) ~= "number" or dim < 1 or dim > #dims + 1 or dim % 1 ~= 0 then
        error(("unsqueeze: dimension is %s, expected 1 to %d"):format(tostring(dim), #dims + 1), 2)
    end
    table.insert(dims, dim, 1)
    return F.reshape(self.tape, self, dims)
end

--- Without the dimensions of size 1, or without dimension `dim` if it has size 1: F.reshape.
function Variable:squeeze(dim)
    local dims = {}
    for d, size in ipairs(self.dims) do
        if size ~= 1 or dim and d ~= dim then dims[#dims + 1] = size end
    end
    if #dims == 0 then dims[1] = 1 end
    return F.reshape(self.tape, self, dims)
end

--- Transpose of a matrix: F.transpose.
function Variable:t()
    if #self.dims ~= 2 then
        error(("t: the variable has %d dimensions, expected 2; x:transpose(a, b) swaps any two"):format(#self.dims), 2)
    end
    return F.transpose(self.tape, self, 1, 2)
end

--- Two dimensions swapped: F.transpose.
function Variable:transpose(a, b) return F.transpose(self.tape, self, a, b) end

--- The dimensions in another order: F.permute.
function Variable:permute(...)
    local order = ...
    if type(order) ~= "table" then order = { ... } end
    return F.permute(self.tape, self, order)
end

--- Elements first..last along a dimension: F.slice.
function Variable:slice(dim, first, last) return F.slice(self.tape, self, dim, first, last) end

--- Number i along a dimension, which disappears: F.select. x:select(i) is x:select(1, i).
function Variable:select(dim, i)
    if i == nil then dim, i = 1, dim end
    return F.select(self.tape, self, dim, i)
end

--- Several indices along a dimension: F.index_select.
function Variable:index_select(dim, index) return F.index_select(self.tape, self, dim, index) end

--- Parts along a dimension, as a list: F.split.
function Variable:split(sizes, dim) return F.split(self.tape, self, sizes, dim) end

-- ---------------------------------------------------------------- x[...]

-- An index from 1 for one from the end.
local function from_start(x, dim, i)
    local size = x.dims[dim]
    local at = i < 0 and size + 1 + i or i
    if at < 1 or at > size or at ~= math.floor(at) then
        error(("index %s along dimension %d, expected 1 to %d: the variable is %s %s"):format(tostring(i), dim, size,
            x.dtype, table.concat(x.dims, "x")), 4)
    end
    return at
end

local function at(x, key)
    if type(key) == "number" then key = { key } end
    if #key > #x.dims or #key == 0 and next(key) ~= nil then
        error(("index has %d entries, the variable is %s %s"):format(#key, x.dtype, table.concat(x.dims, "x")), 3)
    end
    local y, tape = x, x.tape
    -- From the last one, so that a dimension that disappears does not move those still to come.
    for dim = #key, 1, -1 do
        local entry = key[dim]
        if type(entry) == "number" then
            y = F.select(tape, y, dim, from_start(x, dim, entry))
        elseif type(entry) == "table" and #entry > 0 and #entry <= 2 then
            local first = from_start(x, dim, entry[1])
            y = F.slice(tape, y, dim, first, entry[2] == nil and first or from_start(x, dim, entry[2]))
        elseif type(entry) ~= "table" or #entry > 2 then
            error(("index of dimension %d: expected a number, {}, {i} or {first, last}"):format(dim), 3)
        end
    end
    return y
end

-- Fields that are not set, and indices.
function Variable.__index(x, key)
    local kind = type(key)
    if kind == "number" or kind == "table" then
        local y = at(x, key)
        return y
    end
    return Variable[key]
end

--- For completion and help at the prompt.
Variable.__methods = Variable

function Variable.__newindex(x, key, value)
    if type(key) ~= "string" then error("a variable cannot be written to; F.where makes a changed copy", 2) end
    rawset(x, key, value)
end

return Variable
