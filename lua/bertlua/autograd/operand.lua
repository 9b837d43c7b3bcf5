--- What functions on a tape check of their arguments. `level` is whose line an error names, as for error() in the
-- function that calls.

local Tape = require "bertlua.autograd.tape"

local Variable = Tape.Variable

local M = {}

--- x as a variable: itself, or, for a tensor, one that needs no gradient.
-- @param what name of the function, for messages
function M.variable(tape, x, what, level)
    if getmetatable(x) == Variable then return x end
    if type(x) == "cdata" then return tape:input(x) end
    error(("%s: got %s, expected a variable or a tensor"):format(what, type(x)), level + 1)
end

--- "f32 [2,3]", for messages.
function M.describe(x)
    return ("%s [%s]"):format(x.dtype, table.concat(x.dims, ","))
end

--- A dimension of x, counted from 1.
function M.dimension(x, dim, what, level)
    if type(dim) ~= "number" or dim < 1 or dim > #x.dims or dim % 1 ~= 0 then
        error(("%s: dimension is %s, the variable is %s"):format(what, tostring(dim), M.describe(x)), level + 1)
    end
    return dim
end

return M
