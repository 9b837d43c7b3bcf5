--- What functions on a tape check of their arguments. `level` is whose line an error names, as for error() in the
-- function that calls.

local Tape = require "bertlua.autograd.tape"

local Variable = Tape.Variable

local M = {}

--- Whether a value can be the size of a dimension.
function M.is_size(value)
    return type(value) == "number" and value >= 0 and value % 1 == 0
end

--- x as a variable: itself, or, for a tensor, one that needs no gradient.
-- @param what name of the function, for messages
function M.variable(tape, x, what, level)
    if getmetatable(x) == Variable then
        -- Its gradient would never get to the nodes of the other tape.
        if x.tape ~= tape and x.needs_grad then
            error(("%s: the variable is on another tape and wants a gradient; pass its value"):format(what), level + 1)
        end
        return x
    end
    if type(x) == "cdata" then return tape:input(x) end
    error(("%s: got %s, expected a variable or a tensor"):format(what, type(x) == "table" and x.is_parameter
        and "a parameter, which F.parameter(tape, w) makes a variable" or type(x)), level + 1)
end

--- "f32 [2,3]", for messages.
function M.describe(x)
    return ("%s [%s]"):format(x.dtype, table.concat(x.dims, ","))
end

--- True if two lists of sizes are equal.
function M.same_dims(a, b)
    if #a ~= #b then return false end
    for i = 1, #a do
        if a[i] ~= b[i] then return false end
    end
    return true
end

--- Sizes that a and b broadcast to.
function M.broadcast(a, b, kind, level)
    local n, dims = math.max(#a.dims, #b.dims), {}
    for i = 1, n do
        local u, v = a.dims[#a.dims - n + i] or 1, b.dims[#b.dims - n + i] or 1
        if u ~= v and u ~= 1 and v ~= 1 then
            error(("%s: a is %s, b is %s: counted from the last dimension, sizes must be equal or 1; reshape one")
                :format(kind, M.describe(a), M.describe(b)), level + 1)
        end
        dims[i] = u == 1 and v or u
    end
    return dims
end

--- Sizes with leading 1s, so that there are n of them.
function M.padded(dims, n)
    local list = {}
    for i = 1, n - #dims do list[i] = 1 end
    for i = 1, #dims do list[#list + 1] = dims[i] end
    return list
end

--- Number of a dimension of x: from 1, or from -1 backwards.
function M.dimension(x, dim, what, level)
    local n = #x.dims
    local from_front = type(dim) == "number" and dim < 0 and n + 1 + dim or dim
    if type(from_front) ~= "number" or from_front < 1 or from_front > n or from_front % 1 ~= 0 then
        error(("%s: dimension is %s, the variable is %s"):format(what, tostring(dim), M.describe(x)), level + 1)
    end
    return from_front
end

return M
