--- The methods of tensors, one by one.

local bl = require "bertlua"
local context = require "bertlua.context"
local errors = require "spec.support.errors"
local methods = require "bertlua.tensor_methods"
local tensor = require "bertlua.tensor"

local function scoped(fn)
    return function() tensor.scope(fn) end
end

-- A message of a tensor, on the device that runs the spec.
local function here(message)
    return (message:gsub(" cpu", " " .. context.device()))
end

local function near(expected, got, tolerance)
    assert.are.equal(#expected, #got)
    for i = 1, #expected do
        local difference = math.abs(expected[i] - got[i])
        assert.is_true(difference <= (tolerance or 1e-6), ("%g, expected %g"):format(got[i], expected[i]))
    end
end

describe("methods of tensors", function()
    it("are methods of every tensor", function()
        for name, f in pairs(methods.methods) do assert.are.equal(f, tensor.methods[name], name) end
    end)

    it("copy and convert", scoped(function()
        local x = bl.from { { 1, 2 }, { 3, 4 } }
        local copy = x:t():clone()
        assert.is_true(copy:is_contiguous())
        copy:fill(0)
        assert.are.same({ { 1, 2 }, { 3, 4 } }, x:tolist())
        assert.are.equal(x.data, x:contiguous().data)
        assert.are.same({ { 1, 3 }, { 2, 4 } }, x:t():contiguous():tolist())
        assert.are.equal("bf16", x:to "bf16":dtype_name())
        assert.are.equal(x.data, x:to "f32".data)
        assert.are.same({ 1, -1 }, bl.from({ 1.9, -1.9 }):to "i32":tolist())
        assert.are.equal("f32", x:to "i8":float():dtype_name())
        assert.has_error(function() x:to "f99" end)
    end))

    it("rearrange dimensions", scoped(function()
        local x = bl.arange(24):view(2, 3, 4)
        local y = x:permute(3, 1, 2)
        assert.are.same({ 4, 2, 3 }, y:dims())
        assert.are.equal(x[{ 2, 3, 4 }], y[{ 4, 2, 3 }])
        assert.are.equal(x[{ 1, 2, 3 }], y[{ 3, 1, 2 }])
        assert.are.same({ 3, 4, 2 }, x:permute { 2, 3, 1 }:dims())
        assert.are.equal(x.data, y.data)
        assert.are.same({ 3, 2 }, x:select(3, 1):t():dims())
        assert.are.same({ { 0, 12 }, { 4, 16 }, { 8, 20 } }, x:select(3, 1):t():tolist())
        assert.are.same({ 0, 4, 8, 12, 16, 20 }, x:select(3, 1):reshape(6):tolist())
        assert.are.same({ 2, 1, 3, 4 }, x:unsqueeze(2):dims())
        assert.are.same({ 2, 3, 4, 1 }, x:unsqueeze(4):dims())
        assert.are.same({ 3, 2 }, bl.zeros(1, 3, 1, 2):squeeze():dims())
        assert.are.same({ 3, 1, 2 }, bl.zeros(1, 3, 1, 2):squeeze(1):dims())
        assert.are.same({ 1, 3, 1, 2 }, bl.zeros(1, 3, 1, 2):squeeze(2):dims())
        local sizes = #x
        assert.are.same({ 2, 3, 4 }, sizes)
        for _, wrong in ipairs { { 1, 2 }, { 1, 2, 2 }, { 1, 2, 4 }, { 1, 2, 3, 1 } } do
            assert.has_error(function() x:permute(wrong) end,
                here "permute: the tensor is f32 2x3x4 cpu, expected each of its dimensions once")
        end
        assert.has_error(function() x:t() end,
            here "t: the tensor is f32 2x3x4 cpu, expected 2 dimensions; x:transpose(a, b) swaps any two")
        assert.has_error(function() x:unsqueeze(5) end, here "unsqueeze: dimension is 5, the tensor is f32 2x3x4 cpu")
    end))

    it("compute each element", scoped(function()
        local values = { -2, -0.5, 0, 0.5, 3 }
        local x = bl.from(values)
        local function each(f)
            local list = {}
            for i, v in ipairs(values) do list[i] = f(v) end
            return list
        end
        local function sigmoid(v) return 1 / (1 + math.exp(-v)) end
        near(each(math.exp), x:exp():tolist(), 1e-5)
        near(each(math.abs), x:abs():tolist())
        near(each(function(v) return -v end), x:neg():tolist())
        near(each(function(v) return math.max(v, 0) end), x:relu():tolist())
        near(each(sigmoid), x:sigmoid():tolist())
        near(each(function(v) return v * sigmoid(v) end), x:silu():tolist())
        near(each(math.tanh), x:tanh():tolist())
        near({ -0.0455003, -0.1542688, 0, 0.3457312, 2.9959502 }, x:gelu():tolist(), 1e-5)
        near({ -0.0454023, -0.1542860, 0, 0.3457140, 2.9963627 }, x:gelu_tanh():tolist(), 1e-5)
        near({ 0, math.log(2), 1 }, bl.from({ 1, 2, math.exp(1) }):log():tolist())
        near({ 1, 1.5, 2 }, bl.from({ 1, 2.25, 4 }):sqrt():tolist())
        near({ 4, 0.25, 0, 0.25, 9 }, x:pow(2):tolist())
        near({ -1, -0.5, 0, 0.5, 3 }, x:maximum(-1):tolist())
        near({ -2, -0.5, 0, 0.5, 1 }, x:minimum(1):tolist())
        near({ 0, 0, 0, 0, 3 }, x:maximum(bl.from { 0 }):mul(x:gt(1):float()):tolist())
        near({ -1, 0.5, 1, 1.5, 4 }, x:add(1):tolist())
        near({ -3, -1.5, -1, -0.5, 2 }, x:sub(1):tolist())
        near({ -1, -0.25, 0, 0.25, 1.5 }, x:div(2):tolist())
        near({ 0.0900306, 0.2447285, 0.6652410 }, bl.from({ 1, 2, 3 }):softmax():tolist())
        near({ -2.4076060, -1.4076060, -0.4076060 }, bl.from({ 1, 2, 3 }):log_softmax():tolist())
        assert.are.same({ 2, 1 }, bl.from({ -2, 1 }, "i32"):abs():tolist())
        assert.are.same({ 2, -1 }, bl.from({ -2, 1 }, "i32"):neg():tolist())
    end))

    it("compare each element", scoped(function()
        local x, y = bl.from { 1, 2, 3 }, bl.from { 3, 2, 1 }
        for name, expected in pairs {
            eq = { 0, 1, 0 }, ne = { 1, 0, 1 }, lt = { 1, 0, 0 }, le = { 1, 1, 0 }, gt = { 0, 0, 1 }, ge = { 0, 1, 1 },
        } do
            assert.are.same(expected, x[name](x, y):tolist(), name)
            assert.are.same(expected, x[name](x, 2):tolist(), name)
            assert.are.equal("i8", x[name](x, y):dtype_name())
            assert.are.same(expected, x[name](x:to "i32", 2):tolist(), name)
        end
        assert.is_true(x:equal(bl.from { 1, 2, 3 }))
        assert.is_false(x:equal(y))
        assert.are.equal(2, x:gt(1):sum())
    end))

    it("fill where a mask says so", scoped(function()
        local x = bl.from { { 1, 2 }, { 3, 4 } }
        x:masked_fill(x:gt(2), 0)
        assert.are.same({ { 1, 2 }, { 0, 0 } }, x:tolist())
    end))

    it("reduce to a number, or along a dimension", scoped(function()
        local x = bl.from { { 3, 1, 2 }, { 4, 6, 5 } }
        assert.are.equal(21, x:sum())
        assert.are.equal(3.5, x:mean())
        assert.are.equal(6, x:max())
        assert.are.equal(1, x:min())
        assert.are.equal(5, x:argmax())
        near({ math.sqrt(91) }, { x:norm() })
        assert.are.same({ 7, 7, 7 }, x:sum(1):tolist())
        assert.are.same({ 6, 15 }, x:sum(2):tolist())
        assert.are.same({ 6, 15 }, x:sum(-1):tolist())
        assert.are.same({ { 6 }, { 15 } }, x:sum(2, true):tolist())
        assert.are.same({ { 7, 7, 7 } }, x:sum(1, true):tolist())
        assert.are.same({ 2, 5 }, x:mean(2):tolist())
        assert.are.same({ 4, 6, 5 }, x:max(1):tolist())
        assert.are.same({ 1, 4 }, x:min(2):tolist())
        assert.are.same({ 1, 2 }, x:argmax(2):tolist())
        assert.are.same({ { 2, 2, 2 } }, x:argmax(1, true):tolist())
        assert.are.same({ 1, 1, 1 }, x:t():argmax(2):add(-1):tolist())
        assert.are.same({ 6 }, x[1]:sum(1):tolist(), "the last dimension stays")
        assert.are.equal(6, x:t():max())
        assert.are.equal(0, bl.zeros(0):sum())
        local whole = bl.from({ 2 ^ 40, 1 }, "i64")
        assert.are.equal(2 ^ 40 + 1, whole:sum())
        assert.are.equal(2 ^ 40, whole:max())
        assert.are.equal(1, whole:min())
    end))

    it("take a softmax along any dimension", scoped(function()
        local x = bl.from { { 1, 2, 3 }, { 4, 5, 6 } }
        for _, name in ipairs { "softmax", "log_softmax" } do
            near(x:t()[name](x:t()):t():tolist()[1], x[name](x, 1):tolist()[1])
            near(x:t()[name](x:t()):t():tolist()[2], x[name](x, 1):tolist()[2])
            assert.are.same(x[name](x):tolist(), x[name](x, 2):tolist())
            assert.are.same(x[name](x):tolist(), x[name](x, -1):tolist())
        end
    end))

    it("refuse arguments that mean something elsewhere", scoped(function()
        local x = bl.from { { 1, 2, 3 }, { 4, 5, 6 } }
        errors.all_fail_here {
            { "softmax: dimension is 3, the tensor is f32 2x3 cpu", function() x:softmax(3) end },
            { "norm: p is 1, expected 2; x:abs():sum()", function() x:norm(1) end },
            { "norm: it is that of all elements; (x ^ 2):sum(dim):sqrt()", function() x:norm(2, 1) end },
            { "sum: keep is a number, expected true or false; one dimension at a time", function() x:sum(1, 2) end },
            { "add: got 2 operands, expected one; x + y * 2 has a factor", function() x:add(2, x) end },
            { "sub: got 2 operands, expected one; x - y * 2 has a factor", function() x:sub(x, 2) end },
        }
        near({ math.sqrt(91) }, { x:norm(2) })
    end))

    it("multiply matrices", scoped(function()
        local x = bl.from { { 1, 2, 3 }, { 4, 5, 6 } }
        assert.are.same({ { 14, 32 }, { 32, 77 } }, x:matmul(x:t()):tolist())
        local v = bl.from { 1, 0, -1 }
        assert.are.same({ -2, -2 }, x:matmul(v):tolist())
        assert.are.same({ -2, -2 }, v:matmul(x:t()):tolist())
        assert.are.equal(2, v:matmul(v):item())
        local batch = bl.cat { x, x + 1 }:view(2, 2, 3)
        local product = batch:matmul(x:t())
        assert.are.same({ 2, 2, 2 }, product:dims())
        assert.are.same({ { 20, 47 }, { 38, 92 } }, product[2]:tolist())
        -- Neither of the last two dimensions lies in a row.
        local scattered = bl.arange(24):view(2, 3, 4):permute(3, 2, 1)[{ {}, {}, 1 }]
        assert.are.same(scattered:clone():matmul(v):tolist(), scattered:matmul(v):tolist())
        assert.are.equal("bf16", x:to "bf16":matmul(x:t():to "bf16"):dtype_name())
    end))
end)
