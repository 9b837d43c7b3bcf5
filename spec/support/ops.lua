--- Helpers of the op specs: random and poisoned tensors, comparison, and
-- checks of validation and of independence from the thread count.

local ffi = require "ffi"
local tensor = require "bertlua.tensor"
local context = require "bertlua.context"
local ops = require "bertlua.ops"
local rng = require "bertlua.rng"

local M = {}

--- Activation dtypes and the relative error of one rounding.
M.ROUNDING = { f32 = 2 ^ -24, bf16 = 2 ^ -8, f16 = 2 ^ -11 }

--- A test body whose tensors are released at its end.
function M.scoped(body)
    return function() tensor.scope(body) end
end

--- True on the emulation of a GPU, which is about a thousand times slower: for specs to do less there.
function M.emulated()
    return context.describe():find "^emulated" ~= nil
end

--- Run body(dtype, tolerance) for each activation dtype. The tolerance is that of an output computed in f32 and
-- rounded once.
function M.each_dtype(body)
    for _, dtype in ipairs { "f32", "bf16", "f16" } do body(dtype, M.ROUNDING[dtype] * 1.1 + 4e-6) end
end

--- How many f32 elements the view `t` starts behind the first of `whole`, on any device.
function M.offset_in(t, whole)
    return tonumber(ffi.cast("float *", t.data) - ffi.cast("float *", whole.data))
end

--- Elements as a flat list.
function M.flat(t)
    local list = t:view(t:numel()):tolist()
    return list
end

--- A tensor of uniform values in [-scale, scale], and the values as the dtype holds them.
function M.random(dtype, dims, seed, scale, shift)
    local source, n = rng.new(seed), 1
    for i = 1, #dims do n = n * dims[i] end
    local values = {}
    for i = 1, n do values[i] = (source:double() * 2 - 1) * (scale or 1) + (shift or 0) end
    local t = tensor.new(dtype, dims)
    t:set(values)
    return t, M.flat(t)
end

--- An i32 tensor of n integers in [0, below), and the list.
function M.integers(n, below, seed)
    local source, list = rng.new(seed), {}
    for i = 1, n do list[i] = source:integer(0, below - 1) end
    return tensor.from(list, "i32"), list
end

--- An output full of NaN (or -99), so that unwritten elements show.
function M.poisoned(dtype, dims)
    local t = tensor.new(dtype, dims)
    local whole = dtype == "i32" or dtype == "i64" or dtype == "i8"
    t:fill(whole and -99 or 0 / 0)
    return t
end

--- True if every element is still poison.
function M.is_poisoned(t)
    for _, value in ipairs(M.flat(t)) do
        if value == value and value ~= -99 then return false end
    end
    return true
end

--- Fail unless |actual - expected| <= tolerance * (|expected| + mean |expected|) for every element.
function M.assert_close(actual, expected, tolerance, what)
    local got = M.flat(actual)
    what = what or "value"
    if #got ~= #expected then
        error(("%s: %d elements, expected %d"):format(what, #got, #expected), 2)
    end
    local mean = 0
    for i = 1, #expected do mean = mean + math.abs(expected[i]) / #expected end
    for i = 1, #expected do
        local limit = tolerance * (math.abs(expected[i]) + mean) + 1e-30
        local within = math.abs(got[i] - expected[i]) <= limit -- false for NaN
        if not within and got[i] ~= expected[i] then
            error(("%s[%d] is %.9g, expected %.9g within %.3g"):format(what, i, got[i], expected[i], limit), 2)
        end
    end
end

--- Fail unless |actual - expected| <= tolerance * |expected| + 1e-36 for every element; NaN and infinities as expected.
function M.assert_each(actual, expected, tolerance, what)
    local got = M.flat(actual)
    assert(#got == #expected, "as many elements as expected")
    for i, want in ipairs(expected) do
        local same = got[i] == want or got[i] ~= got[i] and want ~= want
        local within = math.abs(got[i] - want) <= tolerance * math.abs(want) + 1e-36 -- false for NaN
        if not same and not within then
            error(("%s[%d] is %.9g, expected %.9g"):format(what or "value", i, got[i], want), 2)
        end
    end
end

--- Fail unless two tensors hold the same values, bit for bit (NaN aside).
function M.assert_same(actual, expected, what)
    local a, b = M.flat(actual), M.flat(expected)
    for i = 1, #b do
        if a[i] ~= b[i] then
            error(("%s[%d] is %.17g, expected exactly %.17g"):format(what or "value", i, a[i], b[i]), 2)
        end
    end
end

--- Fail unless fn raises an error that contains `message` literally and leaves the outputs poisoned.
-- What is wrong with an element, "(from 0)", only the CPU can see before the op runs: elsewhere fn is not called.
function M.assert_rejects(message, outputs, fn)
    if message:find("(from 0)", 1, true) and context.device() ~= "cpu" then return end
    local ok, err = pcall(fn)
    if ok then error("no error, expected: " .. message, 2) end
    if type(err) ~= "string" then error(err, 0) end -- the device lacks the op: the spec is pending
    if not err:find(message, 1, true) then error(("error is %q, expected %q"):format(err, message), 2) end
    for i, t in ipairs(outputs) do
        if not M.is_poisoned(t) then error(("output %d was written although validation failed"):format(i), 2) end
    end
end

--- Run body() with 1, 2 and 5 threads; the tensors it returns must agree bit for bit.
function M.assert_threads_agree(body)
    local first
    for _, threads in ipairs { 1, 2, 5 } do
        context.open { threads = threads }
        local ok, result = pcall(body)
        context.open {}
        if not ok then error(result, 2) end
        first = first or result
        for i = 1, #result do M.assert_same(result[i], first[i], ("output %d, %d threads"):format(i, threads)) end
    end
end

-- A bl_dropout only points at its state.
local states = setmetatable({}, { __mode = "k" })

--- Dropout of an op call with its reference parameters: p as f32 holds it.
function M.dropout(seed, step, op, p)
    local state = tensor.from({ seed, step }, "i64")
    local held = tensor.from({ p }, "f32"):tolist()[1]
    local dropout = ops.dropout(state, p, op)
    states[dropout] = state
    return dropout, { seed = seed, step = step, op = op, p = held }
end

--- Fail unless reference gradients agree with central differences of the reference loss.
function M.assert_gradient(found, gradient, tolerance)
    for _, pair in ipairs(found) do
        local i, derivative = pair[1], pair[2]
        local within = math.abs(derivative - gradient[i]) <= tolerance * (1 + math.abs(derivative)) -- false for NaN
        if not within then
            error(("gradient[%d] is %.9g, differences give %.9g"):format(i, gradient[i], derivative), 2)
        end
    end
end

return M
