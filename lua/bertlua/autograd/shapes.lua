--- Other shapes, parts and unions of variables, as differentiable functions on a tape.
--
-- Part of F (functional.lua). Any dtype of activations, any shape of 1 to 4
-- dimensions. Every result is a copy with memory of its own, since each tensor
-- of the arena has one owner; tensors have views of the same names. A tensor
-- may stand for a variable that needs no gradient. Dims and places count from
-- 1, dims also from -1 backwards; the elements of an index tensor count from 0,
-- as ids and labels do.

local operand = require "bertlua.autograd.operand"
local ops = require "bertlua.ops"
local tensor = require "bertlua.tensor"

local S = {}

local variable_of, describe, dimension = operand.variable, operand.describe, operand.dimension
local is_size = operand.is_size

local function count(dims)
    local n = 1
    for i = 1, #dims do n = n * dims[i] end
    return n
end

-- ---------------------------------------------------------------- the same elements, otherwise arranged

--- The gradient keeps its memory and gets x's shape.
local function reshape_backward(tape, node)
    local x, y = node.x, node.output
    y.grad = y.grad:view(x.dims)
    tape:pass_gradient(y, x)
end

--- Sizes that a reshape is given, one of which may be -1; an error at the line of reshape's caller.
local function full_dims(x, ...)
    local given, dims, missing = ..., {}, nil
    if type(given) ~= "table" then given = { ... } end
    local known, total = 1, count(x.dims)
    for i = 1, #given do
        local size = given[i]
        if size == -1 and not missing then
            missing = i
        elseif is_size(size) then
            known = known * size
        else
            error(("reshape: size %d is %s, expected a whole number of 0 or more, or one -1"):format(i, tostring(size)),
                3)
        end
        dims[i] = size
    end
    if missing then
        local fits = known > 0 and total % known == 0
        dims[missing], known = fits and total / known, fits and total or nil
    end
    if known ~= total or #dims > 4 then
        error(("reshape: the variable is %s, expected %d elements in at most 4 dimensions, got [%s]"):format(
            describe(x), total, table.concat(given, ",")), 3)
    end
    return dims
end

--- The same elements in another shape.
-- @param ... sizes, or one list of sizes; one of them may be -1, to be derived
function S.reshape(tape, x, ...)
    x = variable_of(tape, x, "reshape", 2)
    local input = tape:value_of(x)
    local y = tape:variable(x.dtype, full_dims(x, ...))
    ops.copy(y.value:view(x.dims), input)
    return tape:record(y, x, { backward = reshape_backward, x = x })
end

local function transpose_backward(tape, node)
    local dx = tape:gradient_like(node.x)
    ops.copy(dx, node.output.grad:transpose(node.first, node.second))
    tape:accumulate(node.x, dx)
end

--- Two dimensions swapped.
-- @param first, second dimensions; the last two if left out
function S.transpose(tape, x, first, second)
    x = variable_of(tape, x, "transpose", 2)
    local input, n = tape:value_of(x), #x.dims
    first = dimension(x, first or n - 1, "transpose", 2)
    second = dimension(x, second or n, "transpose", 2)
    local dims = { unpack(x.dims) }
    dims[first], dims[second] = dims[second], dims[first]
    local y = tape:variable(x.dtype, dims)
    ops.copy(y.value, input:transpose(first, second))
    return tape:record(y, x, { backward = transpose_backward, x = x, first = first, second = second })
end

--- View whose dimension i is dimension order[i] of t, by swaps.
local function permuted(t, order)
    local at = {}
    for i = 1, #order do at[i] = i end
    for i = 1, #order do
        local from = i
        while at[from] ~= order[i] do from = from + 1 end
        if from ~= i then
            t = t:transpose(i, from)
            at[i], at[from] = at[from], at[i]
        end
    end
    return t
end

local function inverse_of(order)
    local inverse = {}
    for i = 1, #order do inverse[order[i]] = i end
    return inverse
end

local function permute_backward(tape, node)
    local dx = tape:gradient_like(node.x)
    ops.copy(dx, permuted(node.output.grad, node.inverse))
    tape:accumulate(node.x, dx)
end

--- Dimensions in another order: dimension i of the result is dimension order[i] of x.
-- @param ... the order, as numbers or one list: permute(x, 2, 1, 3) swaps the first two
function S.permute(tape, x, ...)
    x = variable_of(tape, x, "permute", 2)
    local input, order, n = tape:value_of(x), ..., #x.dims
    if type(order) ~= "table" then order = { ... } end
    local seen, dims = {}, {}
    for i = 1, n do
        local dim = order[i]
        if #order ~= n or type(dim) ~= "number" or not x.dims[dim] or seen[dim] then
            error(("permute: order is [%s], the variable is %s; expected 1 to %d, each once"):format(
                table.concat(order, ","), describe(x), n), 2)
        end
        seen[dim], dims[i] = true, x.dims[dim]
    end
    local y = tape:variable(x.dtype, dims)
    ops.copy(y.value, permuted(input, order))
    return tape:record(y, x, { backward = permute_backward, x = x, inverse = inverse_of(order) })
end

-- ---------------------------------------------------------------- parts

--- Add dy, which may be clobbered, to the part of x's gradient that it belongs to.
local function add_part(tape, x, dy, dim, first, last)
    -- What is more than a gradient by x alone, only accumulate() adds to.
    if not x.grad or x.grad_sums or x.grad_by_pre then
        local dx = tape:gradient_like(x)
        ops.fill(dx, 0)
        ops.copy(dx:slice(dim, first, last), dy)
        tape:accumulate(x, dx)
        return
    end
    local place = x.grad:slice(dim, first, last)
    if place:is_contiguous() then
        ops.axpby(place, dy, 1, 1)
        return
    end
    local before = tape:tensor(x.dtype, place:dims())
    ops.copy(before, place)
    ops.axpby(dy, before, 1, 1)
    ops.copy(place, dy)
    tape.arena:release(before)
end

local function slice_backward(tape, node)
    local x, dy = node.x, node.output.grad
    if node.selected then dy = dy:view(node.selected) end
    add_part(tape, x, dy, node.dim, node.first, node.last)
end

--- x's elements first to last along a dimension, as a result of `dims`.
local function slice(tape, x, dim, first, last, dims)
    local part = { unpack(x.dims) }
    part[dim] = last - first + 1
    local y = tape:variable(x.dtype, dims or part)
    ops.copy(dims and y.value:view(part) or y.value, tape:value_of(x):slice(dim, first, last))
    return tape:record(y, x, {
        backward = slice_backward, x = x, dim = dim, first = first, last = last, selected = dims and part,
    })
end

--- Elements first to last, both included, along a dimension.
function S.slice(tape, x, dim, first, last)
    x = variable_of(tape, x, "slice", 2)
    dim = dimension(x, dim, "slice", 2)
    local size = x.dims[dim]
    if not (is_size(first) and is_size(last)) or first < 1 or last < first - 1 or last > size then
        error(("slice: range is %s to %s, the size along dimension %d is %d"):format(tostring(first), tostring(last),
            dim, size), 2)
    end
    local y = slice(tape, x, dim, first, last)
    return y
end

--- Number i along a dimension: the result has one dimension less.
function S.select(tape, x, dim, i)
    x = variable_of(tape, x, "select", 2)
    dim = dimension(x, dim, "select", 2)
    if not is_size(i) or i < 1 or i > x.dims[dim] then
        error(("select: index is %s, the size along dimension %d is %d"):format(tostring(i), dim, x.dims[dim]), 2)
    end
    local dims = { unpack(x.dims) }
    table.remove(dims, dim)
    local y = slice(tape, x, dim, i, i, dims)
    return y
end

--- Parts that follow each other along a dimension.
-- @param sizes list of their sizes, which add up to x's; or one number: parts of that size, the last with what is left
-- @param dim dimension (default 1)
-- @return list of variables
function S.split(tape, x, sizes, dim)
    x = variable_of(tape, x, "split", 2)
    dim = dimension(x, dim or 1, "split", 2)
    local size, list, sum = x.dims[dim], {}, 0
    if is_size(sizes) and sizes >= 1 then
        for first = 1, size, sizes do list[#list + 1] = math.min(sizes, size - first + 1) end
        sum = size
    elseif type(sizes) == "table" then
        for i = 1, #sizes do
            list[i] = sizes[i]
            sum = is_size(sizes[i]) and sum + sizes[i] or math.huge
        end
    end
    if sum ~= size or sum == 0 and #list == 0 then
        error(("split: sizes are %s, the size along dimension %d is %d"):format(
            type(sizes) == "table" and table.concat(sizes, ", ") or tostring(sizes), dim, size), 2)
    end
    local parts, first = {}, 1
    for i = 1, #list do
        parts[i] = slice(tape, x, dim, first, first + list[i] - 1)
        first = first + list[i]
    end
    return parts
end

local function cat_backward(tape, node)
    local dy, dim, first = node.output.grad, node.dim, 1
    for i = 1, #node.list do
        local x = node.list[i]
        local last = first + x.dims[dim] - 1
        local dx = tape:gradient_like(x)
        if dx then
            ops.copy(dx, dy:slice(dim, first, last))
            tape:accumulate(x, dx)
        end
        first = last + 1
    end
end

--- Variables one behind the other along a dimension.
-- @param list variables of one dtype, of equal sizes but along dim
-- @param dim dimension (default 1)
function S.cat(tape, list, dim)
    if type(list) ~= "table" or #list == 0 then
        error(("cat: got %s, expected a list of variables"):format(type(list) == "table" and "an empty list"
            or type(list)), 2)
    end
    local inputs, dims, needs = {}, nil, nil
    for i = 1, #list do
        local x = variable_of(tape, list[i], "cat", 2)
        inputs[i] = x
        if i == 1 then
            dim = dimension(x, dim or 1, "cat", 2)
            dims = { unpack(x.dims) }
        else
            local fits = x.dtype == inputs[1].dtype and #x.dims == #dims
            for d = 1, #dims do fits = fits and (d == dim or x.dims[d] == dims[d]) end
            if not fits then
                error(("cat: variable %d is %s, the first is %s; expected one dtype and equal sizes but along "
                    .. "dimension %d"):format(i, describe(x), describe(inputs[1]), dim), 2)
            end
            dims[dim] = dims[dim] + x.dims[dim]
        end
        if x.needs_grad then needs = x end
    end
    local y, first = tape:variable(inputs[1].dtype, dims), 1
    for i = 1, #inputs do
        local last = first + inputs[i].dims[dim] - 1
        ops.copy(y.value:slice(dim, first, last), tape:value_of(inputs[i]))
        first = last + 1
    end
    return tape:record(y, needs or inputs[1], { backward = cat_backward, list = inputs, dim = dim })
end

-- ---------------------------------------------------------------- parts by index

--- A contiguous [n, width] tensor of t's dimension dim and of all others; a copy in the arena unless that is its form.
local function by_rows(tape, t, dtype, dim, n, width)
    if dim == 1 and t:is_contiguous() then return t:view(n, width), nil end
    local turned = t:transpose(1, dim)
    local copy = tape:tensor(dtype, turned:dims())
    ops.copy(copy, turned)
    return copy:view(n, width), copy
end

local function rows_of(x, dim, n)
    local dims = { unpack(x.dims) }
    dims[1], dims[dim] = n, dims[1]
    return dims
end

local function index_select_backward(tape, node)
    local x, dim, arena = node.x, node.dim, tape.arena
    local n = x.dims[dim]
    local width = count(x.dims) / n
    local rows, copy = by_rows(tape, node.output.grad, x.dtype, dim, node.output.dims[dim], width)
    local dx = tape:gradient_like(x)
    if dim == 1 then
        ops.gather_backward(dx:view(n, width), rows, node.index)
    else
        local turned = tape:tensor(x.dtype, rows_of(x, dim, n))
        ops.gather_backward(turned:view(n, width), rows, node.index)
        ops.copy(dx, turned:transpose(1, dim))
        arena:release(turned)
    end
    if copy then arena:release(copy) end
    tape:accumulate(x, dx)
end

--- Parts of x along a dimension, by number; a number may occur several times, and its gradients are added.
-- @param dim dimension
-- @param index i32 tensor [M], each from 0 to the size along dim, less 1
-- @return variable of x's sizes, M along dim
function S.index_select(tape, x, dim, index)
    x = variable_of(tape, x, "index_select", 2)
    dim = dimension(x, dim, "index_select", 2)
    local input, n = tape:value_of(x), x.dims[dim]
    local is_list = tensor.is(index) and index.ndim == 1 and index:dtype_name() == "i32"
    if not is_list or count(x.dims) == 0 then
        error(("index_select: index is %s, the variable is %s; expected an i32 tensor [M], and elements to take from")
            :format(tensor.is(index) and index:describe() or type(index), describe(x)), 2)
    end
    local picks = index:size(1)
    local dims = { unpack(x.dims) }
    dims[dim] = picks
    local y = tape:variable(x.dtype, dims)
    local width = count(x.dims) / n
    local rows, copy = by_rows(tape, input, x.dtype, dim, n, width)
    if dim == 1 then
        ops.gather_forward(y.value:view(picks, width), rows, index)
    else
        local turned = tape:tensor(x.dtype, rows_of(x, dim, picks))
        ops.gather_forward(turned:view(picks, width), rows, index)
        ops.copy(y.value, turned:transpose(1, dim))
        tape.arena:release(turned)
    end
    if copy then tape.arena:release(copy) end
    return tape:record(y, x, { backward = index_select_backward, x = x, dim = dim, index = index })
end

return S
