--- Sums, means and extremes along a dimension or of all elements, on a tape.
--
-- Part of F (functional.lua). A result of all elements is f32 [1], one along a
-- dimension has x's dtype. Sums are taken in f64, in a fixed order.

local operand = require "bertlua.autograd.operand"
local ops = require "bertlua.ops"

local R = {}

local dimension, variable_of = operand.dimension, operand.variable

-- Sizes of x with 1 at dim, and without it (unless it is the only one or is to be kept).
local function reduced_dims(x, dim, keepdim)
    local ones, short = {}, {}
    for i = 1, #x.dims do
        ones[i] = (i == dim or not dim) and 1 or x.dims[i]
        if i ~= dim then short[#short + 1] = x.dims[i] end
    end
    if keepdim then return ones, ones end
    return ones, #short > 0 and dim and short or { 1 }
end

local function reduce_backward(tape, node)
    local x, y, kind = node.x, node.output, node.kind
    local dx = tape:gradient_like(x)
    local extreme = kind == "max" or kind == "min"
    ops.reduce_dims_backward(dx, y.grad:view(node.ones), extreme and x.value or nil,
        extreme and y.value:view(node.ones) or nil, kind)
    tape:accumulate(x, dx)
end

local function reduce(tape, x, dim, keepdim, kind, dtype)
    x = variable_of(tape, x, kind, 3)
    local input = tape:value_of(x)
    if dim then dim = dimension(x, dim, kind, 3) end
    if keepdim ~= nil and type(keepdim) ~= "boolean" then
        error(("%s: keepdim is a %s, expected true or false; one dimension at a time"):format(kind, type(keepdim)), 3)
    end
    local ones, dims = reduced_dims(x, dim, keepdim)
    local y = tape:variable(dtype or (not dim or x.dtype == "i8") and "f32" or x.dtype, dims)
    ops.reduce_dims(y.value:view(ones), input, kind)
    return tape:record(y, x, { backward = reduce_backward, x = x, kind = kind, ones = ones })
end

--- Sum along a dimension, in x's dtype; or of all elements, f32 [1].
-- @param dim from 1, or from -1 backwards; nil: all
-- @param keepdim true: the dimension stays, with size 1
function R.sum(tape, x, dim, keepdim)
    local y = reduce(tape, x, dim, keepdim, "sum")
    return y
end

--- Mean along a dimension or of all elements, as sum.
function R.mean(tape, x, dim, keepdim)
    local y = reduce(tape, x, dim, keepdim, "mean")
    return y
end

--- Largest element along a dimension or of all, as sum. NaN if one is. Equal ones share the gradient.
function R.max(tape, x, dim, keepdim)
    local y = reduce(tape, x, dim, keepdim, "max")
    return y
end

--- Smallest element; as max.
function R.min(tape, x, dim, keepdim)
    local y = reduce(tape, x, dim, keepdim, "min")
    return y
end

--- Number of the largest element along a dimension, i32, counted from 0 as ids and labels are; the first of equal ones.
-- No gradient.
-- @param dim, keepdim as for sum; without a dimension elements are counted in row-major order, and the result is [1]
function R.argmax(tape, x, dim, keepdim)
    x = variable_of(tape, x, "argmax", 2)
    local input = tape:value_of(x)
    if dim then
        dim = dimension(x, dim, "argmax", 2)
    else
        input, dim = input:view(-1), 1
        x = { dims = { input:size(1) } }
    end
    local ones, dims = reduced_dims(x, dim, keepdim)
    local index = tape:variable("i32", dims)
    ops.argmax(index.value:view(ones), input, dim)
    return index
end

return R
