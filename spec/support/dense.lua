--- Helpers of the op specs: random tensors, poison, comparison of nested lists.

local assert = require "luassert"
local tensor = require "bertlua.tensor"

local M = {}

--- Relative rounding error of one operation in a dtype.
M.EPSILON = { f32 = 2 ^ -24, bf16 = 2 ^ -8, f16 = 2 ^ -11 }

--- A tensor of random values around 0, and the same values, rounded to the dtype, as nested lists.
function M.random(rng, dtype, dims, scale)
    local values, n = {}, 1
    for i = 1, #dims do n = n * dims[i] end
    for i = 1, n do values[i] = (rng:double() + rng:double() + rng:double() - 1.5) * 2 * (scale or 1) end
    local t = tensor.new(dtype, dims):set(values)
    return t, t:tolist()
end

--- A tensor full of NaN, so that unwritten elements show.
function M.poisoned(dtype, dims)
    return tensor.new(dtype, dims):fill(0 / 0)
end

--- The largest absolute value in nested lists.
function M.largest(list)
    if type(list) ~= "table" then return math.abs(list) end
    local top = 0
    for i = 1, #list do top = math.max(top, M.largest(list[i])) end
    return top
end

local function difference(actual, expected, path)
    if type(expected) ~= "table" then
        local d = math.abs(actual - expected)
        return d == d and d or math.huge, path
    end
    assert.are.equal(#expected, #actual, "size at " .. path)
    local top, where = -1, path
    for i = 1, #expected do
        local d, at = difference(actual[i], expected[i], path .. "[" .. i .. "]")
        if d > top then top, where = d, at end
    end
    return top, where
end

--- Every element of the tensor within tolerance * largest expected value of the reference; NaN never is.
function M.assert_close(expected, actual, tolerance, name)
    local d, where = difference(actual:tolist(), expected, name or "value")
    local limit = tolerance * math.max(M.largest(expected), 1e-3)
    if d > limit then
        error(("%s differs by %g, allowed %g"):format(where, d, limit), 2)
    end
end

--- The call must fail with a message that contains the text.
function M.assert_fails(text, fn, ...)
    local ok, message = pcall(fn, ...)
    assert.is_false(ok, "expected an error with: " .. text)
    assert.is_truthy(tostring(message):find(text, 1, true), ("got %q, expected %q"):format(tostring(message), text))
end

return M
