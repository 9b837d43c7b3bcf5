--- Making tensors in a few words: bl.zeros, bl.randn, bl.arange, bl.cat ...
--
-- Each returns a new tensor on the current device, owned by the current scope.
-- The dtype is "f32" unless the last argument names another.

local array = require "bertlua.array"
local ops = require "bertlua.ops"
local tensor = require "bertlua.tensor"
local tensor_math = require "bertlua.tensor_math"

local M = {}

-- Splits "2, 3, 'bf16'" into dims and dtype; a single list of dims is also accepted.
local function dims_of(...)
    local dims = { ... }
    local dtype = type(dims[#dims]) == "string" and table.remove(dims) or nil
    if type(dims[1]) == "table" then dims = dims[1] end
    return dims, dtype or "f32"
end

--- A tensor of zeros: bl.zeros(2, 3) or bl.zeros(2, 3, "bf16").
function M.zeros(...)
    local dims, dtype = dims_of(...)
    local t = tensor.new(dtype, dims, 2)
    return t
end

--- A tensor of ones.
function M.ones(...)
    local dims, dtype = dims_of(...)
    local t = tensor.new(dtype, dims, 2)
    return t:fill(1)
end

--- A tensor with the values of a (nested) list or a number; f32 unless a dtype is given.
function M.from(values, dtype)
    local t = tensor.from(values, dtype, 2)
    return t
end

local seed, draws = 0, 0

--- Seed the random numbers that bl.randn and bl.rand draw.
-- @param value whole number of 0 or more
function M.manual_seed(value)
    if type(value) ~= "number" or value < 0 or value ~= math.floor(value) then
        error(("manual_seed: got %s, expected a whole number of 0 or more"):format(tostring(value)), 2)
    end
    seed, draws = value, 0
end

--- A tensor of values from the normal distribution N(0, 1), f32, bf16 or f16.
function M.randn(...)
    local dims, dtype = dims_of(...)
    local t = tensor.new(dtype, dims, 2)
    draws = draws + 1
    ops.fill_normal(t, 0, 1, seed, draws)
    return t
end

--- A tensor of values from the uniform distribution in [0, 1), f32, bf16 or f16.
function M.rand(...)
    local dims, dtype = dims_of(...)
    local t = tensor.new(dtype, dims, 2)
    draws = draws + 1
    ops.fill_uniform(t, 0, 1, seed, draws)
    return t
end

-- A vector of first, first + step, ...
local function sequence(name, first, step, count, dtype)
    local t = tensor.new(dtype, { count }, 3)
    local exact = dtype == "i64" or dtype == "i32" or dtype == "i8"
    if exact and (first ~= math.floor(first) or step ~= math.floor(step)) then
        error(("%s: numbers from %g at steps of %g are not all whole, but the dtype is %s"):format(name, first, step,
            dtype), 3)
    end
    local values = (exact and array.int64 or array.float)(count)
    for i = 0, count - 1 do values[i] = first + i * step end
    t:set(values)
    return t
end

local function check_numbers(name, expected, ...)
    for i = 1, select("#", ...) do
        local value = select(i, ...)
        if type(value) ~= "number" or value ~= value or math.abs(value) == math.huge then
            error(("%s: got %s, expected %s"):format(name, tostring(value), expected), 3)
        end
    end
end

--- A vector of numbers at equal steps, the end not included, as in numpy: bl.arange(4) is 0 1 2 3, bl.arange(1, 5) is
-- 1 2 3 4, bl.arange(10, 0, -5) is 10 5.
-- @param ... [first = 0,] end [, step = 1 [, dtype]]
function M.arange(...)
    local arguments, dtype = dims_of(...)
    check_numbers("arange", "[first,] end [, step] and a dtype", unpack(arguments))
    if #arguments < 1 or #arguments > 3 then
        error(("arange: got %d numbers, expected [first,] end [, step]"):format(#arguments), 2)
    end
    local first, stop, step = arguments[1], arguments[2], arguments[3] or 1
    if not stop then first, stop = 0, first end
    if step == 0 then error("arange: the step is 0", 2) end
    local t = sequence("arange", first, step, math.max(math.ceil((stop - first) / step), 0), dtype)
    return t
end

--- A vector of `count` numbers from first to last at equal steps, both included.
-- @param dtype "f32" if left out
function M.linspace(first, last, count, dtype)
    check_numbers("linspace", "first, last and count", first, last, count)
    if count < 1 or count ~= math.floor(count) then
        error(("linspace: count is %s, expected a whole number of 1 or more"):format(tostring(count)), 2)
    end
    local step = count > 1 and (last - first) / (count - 1) or 0
    local t = sequence("linspace", first, step, count, dtype or "f32")
    -- Rounding must not miss the end.
    if count > 1 then t:slice(1, count, count):fill(last) end
    return t
end

--- A matrix with ones on its diagonal: bl.eye(3) or bl.eye(2, 3).
-- @param rows, columns sizes; a square if columns is left out
function M.eye(rows, columns, dtype)
    if type(columns) == "string" then columns, dtype = nil, columns end
    columns = columns or rows
    local t = tensor.new(dtype or "f32", { rows, columns }, 2)
    local values = array.float(rows * columns)
    for i = 0, math.min(rows, columns) - 1 do values[i * (columns + 1)] = 1 end
    return t:set(values)
end

local function check_parts(list, dim)
    local first = list[1]
    if dim < 1 or dim > first.ndim or dim ~= math.floor(dim) then
        error(("cat: dimension is %s, the tensors are %s"):format(tostring(dim), first:describe()), 3)
    end
    for i = 2, #list do
        local other = list[i]
        local fits = other.ndim == first.ndim and other.dtype == first.dtype
        for d = 1, fits and first.ndim or 0 do fits = fits and (d == dim or other:size(d) == first:size(d)) end
        if not fits then
            error(("cat: number %d is %s, the first is %s: all but dimension %d must agree"):format(i,
                other:describe(), first:describe(), dim), 3)
        end
    end
end

--- Tensors one after the other along a dimension.
-- @param list tensors of one dtype, whose sizes agree but along the dimension
-- @param dim 1 if left out
function M.cat(list, dim)
    if type(list) ~= "table" or #list == 0 then error("cat: expected a list of tensors", 2) end
    for i = 1, #list do
        if not tensor.is(list[i]) then
            error(("cat: number %d is a %s, expected a tensor"):format(i, type(list[i])), 2)
        end
    end
    dim = dim or 1
    if type(dim) ~= "number" then error(("cat: dimension is a %s, expected a number"):format(type(dim)), 2) end
    check_parts(list, dim)
    local dims, at = list[1]:dims(), 0
    dims[dim] = 0
    for i = 1, #list do dims[dim] = dims[dim] + list[i]:size(dim) end
    local t = tensor.new(list[1]:dtype_name(), dims, 2)
    for i = 1, #list do
        local size = list[i]:size(dim)
        t:slice(dim, at + 1, at + size):copy_from(list[i])
        at = at + size
    end
    return t
end

--- A tensor with the elements of a where the mask is not 0, and of b elsewhere: bl.where(x:gt(0), x, 0).
-- @param mask i8; it, a and b broadcast
-- @param a, b tensors of one dtype, f32, bf16, f16, i32 or i64, or numbers
function M.where(mask, a, b)
    local t = tensor_math.where("where", mask, a, b, 3)
    return t
end

return M
