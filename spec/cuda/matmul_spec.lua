--- Which algorithm a matrix product takes on a GPU: the library's first suggestion, or what a file of choices says.

local context = require "bertlua.context"
local dense = require "spec.support.dense"
local fs = require "bertlua.util.fs"
local ops = require "bertlua.ops"
local reference = require "spec.support.reference_linear"
local rng = require "bertlua.rng"
local tensor = require "bertlua.tensor"

if context.device() ~= "cuda" then return end

-- Records of algorithms can be made up only for the emulated library.
local emulated = context.describe():find("mulat", 1, true) ~= nil

-- A separate context each time, by its number of threads, which means nothing on a GPU.
local fresh = 40
local function open(path, folder)
    fresh = fresh + 1
    context.open { device = "cuda", threads = fresh }
    context.matmul_choices(path, folder)
end

--- A layer forward and backward, in bf16; lists of all results.
local function train()
    local random = rng.new(31)
    return tensor.scope(function()
        local x, x_list = dense.random(random, "bf16", { 24, 64 })
        local w, w_list = dense.random(random, "bf16", { 32, 64 }, 0.1)
        local bias, bias_list = dense.random(random, "f32", { 32 })
        local dy, dy_list = dense.random(random, "bf16", { 24, 32 })
        local y, dx = dense.poisoned("bf16", { 24, 32 }), dense.poisoned("bf16", { 24, 64 })
        local dw, dbias = tensor.new("f32", { 32, 64 }):fill(0.5), tensor.new("f32", { 32 }):fill(-2)
        ops.linear_forward(y, nil, x, w, bias, "none")
        ops.linear_backward(dx, dw, dbias, dy, x, w, nil, "none")
        local y_list, pre_list = reference.forward(x_list, w_list, bias_list)
        local dx_list, dw_list, dbias_list = reference.backward(dy_list, x_list, w_list, pre_list)
        for n = 1, 32 do
            dbias_list[n] = dbias_list[n] - 2
            for k = 1, 64 do dw_list[n][k] = dw_list[n][k] + 0.5 end
        end
        dense.assert_close(y_list, y, 0.01, "y")
        dense.assert_close(dx_list, dx, 0.01, "dx")
        dense.assert_close(dw_list, dw, 1e-5, "dw")
        dense.assert_close(dbias_list, dbias, 1e-5, "dbias")
        return { y:tolist(), dx:tolist(), dw:tolist(), dbias:tolist() }
    end)
end

-- The part of a line that says whether to use an epilogue: 2 (sum of dy), of a product that adds, or another one.
local function set_use(text, use, epilogue)
    local changed, n = text:gsub((epilogue and " 0 " .. epilogue or " 1 2") .. " 0 %d+ %d+ %d+ %d+ : %d+ [%d.]+ ",
        "%0\1")
    assert.are.equal(1, n)
    return (changed:gsub("\1%-?%d :", use .. " :"))
end

--- Two layers with GELU in its tanh form between them, forward and backward; lists of all results, in the order of
-- their names.
local GELU_RESULTS = { "y", "pre", "inference", "dpre", "sums" }
local function train_gelu(dtype)
    local random = rng.new(37)
    return tensor.scope(function()
        local x, x_list = dense.random(random, dtype, { 24, 64 })
        local w, w_list = dense.random(random, dtype, { 32, 64 }, 0.1)
        local bias, bias_list = dense.random(random, dtype, { 32 })
        local down, down_list = dense.random(random, dtype, { 16, 32 }, 0.2)
        local dy, dy_list = dense.random(random, dtype, { 24, 16 })
        local y, pre = dense.poisoned(dtype, { 24, 32 }), dense.poisoned(dtype, { 24, 32 })
        local inference = dense.poisoned(dtype, { 24, 32 })
        local dpre, sums = dense.poisoned(dtype, { 24, 32 }), dense.poisoned("f32", { 32 })
        ops.linear_forward(y, pre, x, w, bias, "gelu_tanh")
        ops.linear_forward(inference, nil, x, w, bias, "gelu_tanh")
        ops.linear_backward(dpre, nil, nil, dy, y, down, nil, "none", false, nil, pre, sums)
        local y_list, pre_list = reference.forward(x_list, w_list, bias_list, "gelu_tanh")
        -- The algorithm that was the fastest sums in an order of its own, which shows where nothing is rounded later.
        local limit = dtype == "f32" and 1e-5 or 4 * dense.EPSILON[dtype]
        dense.assert_close(y_list, y, limit, "y")
        dense.assert_close(y_list, inference, limit, "inference")
        dense.assert_close(pre_list, pre, limit, "pre")
        local dx_list = reference.backward(dy_list, y_list, down_list, dy_list)
        local dpre_list, sums_list = reference.through(dx_list, pre_list, "gelu_tanh"), {}
        for _, row in ipairs(dpre_list) do
            for i, value in ipairs(row) do sums_list[i] = (sums_list[i] or 0) + value end
        end
        dense.assert_close(dpre_list, dpre, limit, "dpre")
        dense.assert_close(sums_list, sums, limit, "sums")
        return { y:tolist(), pre:tolist(), inference:tolist(), dpre:tolist(), sums:tolist() }
    end)
end

local function lines_of(text)
    return select(2, text:gsub("\n", ""))
end

-- A real library may lack what the emulated one has: then there is nothing to choose.
local function sums_in_products(text)
    return text:find("\n64 32 24 [%d ]+ 1 2 0 ") ~= nil
end

--- Skips the spec, with a word, unless what it needs is there; the emulated library has everything.
-- @return true if it goes on
local function needs(found, what)
    if emulated then assert.is_true(found, what) end
    if not found then pending("cuBLASLt " .. what) end
    return found
end

describe("matrix products on a GPU", function()
    local path
    before_each(function() path = os.tmpname() os.remove(path) end)
    after_each(function()
        os.remove(path)
        context.open { device = "cuda" }
    end)

    it("write the timed choice of each product once, and read it afterwards", function()
        open(path)
        local first = train()
        local text = fs.read(path)
        -- Title, device, columns; y, dx, dw, and dw with the sums of dy where the library offers that.
        assert.are.equal(sums_in_products(text) and 7 or 6, lines_of(text))
        assert.is_truthy(text:find(" use : algorithm [: batch", 1, true))
        assert.is_truthy(text:find(" 256 256 256 0 :", 1, true), "tensors lie as well as any kernel can ask for")
        assert.are.same(first, train())
        open(path)
        assert.are.same(first, train())
        assert.are.equal(text, fs.read(path))
    end)

    it("take the first suggestion without a file, the same each time", function()
        open(nil)
        local first = train()
        open(nil)
        assert.are.same(first, train())
    end)

    it("sum dy in the product of dw where that is the choice, and separately where not", function()
        open(path)
        train()
        local text = fs.read(path)
        if not needs(sums_in_products(text), "has no product in bf16 with sums in f32 of this shape") then return end
        for _, use in ipairs { 0, 1 } do
            assert(fs.write(path, set_use(text, use)))
            open(path)
            train()
            assert.are.equal(set_use(text, use), fs.read(path))
        end
    end)

    for _, dtype in ipairs { "bf16", "f16" } do
        it("have GELU's tanh form in their epilogues where that is the choice, in " .. dtype, function()
            open(path)
            train_gelu(dtype)
            local text = fs.read(path)
            local function offered(epilogue)
                return needs(text:find(" 0 " .. epilogue .. " 0 %d+ %d+ %d+ %d+ : ") ~= nil,
                    "has no such product in " .. dtype .. " with epilogue " .. epilogue)
            end
            if not (offered(3) and offered(4) and offered(5)) then return end
            local results = {}
            for use = 0, 1 do
                -- One order of sums for all.
                local changed = emulated and text:gsub(": b1a5 %d", ": b1a5 1") or text
                for epilogue = 3, 5 do changed = set_use(changed, use, epilogue) end
                assert(fs.write(path, changed))
                open(path)
                results[use] = train_gelu(dtype)
                assert.are.equal(changed, fs.read(path))
            end
            if emulated then
                -- Only passes of our own round what GELU is applied to and differentiated at, and have sums in f32.
                for i, name in ipairs(GELU_RESULTS) do
                    local same = pcall(assert.are.same, results[0][i], results[1][i])
                    assert.are.equal(name == "pre", same, name)
                end
            end
            open(nil)
            local untimed = train_gelu(dtype)
            if emulated then assert.are.same(results[0], untimed, "passes of our own") end
        end)
    end

    it("have no GELU in f32", function()
        open(path)
        train_gelu "f32"
        assert.is_nil(fs.read(path):find " [01] [345] 0 %d+ %d+ %d+ %d+ : ")
    end)

    it("keep the choice for a batch with its size and steps, and add to y only once while it is timed", function()
        local function multiply()
            return tensor.scope(function()
                local a, b = tensor.new("f32", { 3, 16, 32 }):fill(0.5), tensor.new("f32", { 32, 16 }):fill(2)
                -- Turned matrices do not stack into one tall one.
                local y = tensor.new("f32", { 3, 16, 16 }):fill(1)
                ops.matmul(y, a:transpose(2, 3):slice(2, 1, 16), b:slice(1, 1, 16):view(1, 16, 16), false)
                ops.matmul(y, tensor.new("f32", { 3, 16, 16 }):fill(1), tensor.new("f32", { 3, 16, 16 }):fill(1), true)
                return y:tolist()
            end)
        end
        open(path)
        local first = multiply()
        assert.are.equal(32, first[3][16][16])
        local text = fs.read(path)
        assert.matches(" : 3 256 256 256\n", text)
        open(path)
        assert.are.same(first, multiply())
        assert.are.equal(text, fs.read(path))
    end)

    describe("whose choices runs share", function()
        local folder
        before_each(function() folder = assert(fs.temporary_folder "bertlua-choices") end)
        after_each(function() assert(fs.remove(folder)) end)

        local function shared()
            local names = assert(fs.list(folder))
            assert.are.equal(1, #names)
            assert.matches("^matmul%-.+%-driver%-for%-CUDA%-[%d.]+%-cuBLASLt%-%d+%-workspace%-%d+%.txt$", names[1])
            return fs.join(folder, names[1])
        end

        it("are kept in a file for the device, driver and library, and read by the next run", function()
            open(nil, folder)
            local first = train()
            local text = fs.read(shared())
            assert.are.equal(sums_in_products(text) and 7 or 6, lines_of(text))
            open(nil, folder)
            assert.are.same(first, train())
            assert.are.equal(text, fs.read(shared()))
        end)

        it("are copied to the run's own file, which then has the last word", function()
            open(nil, folder)
            local first = train()
            open(path, folder)
            assert.are.same(first, train())
            assert.are.equal(fs.read(shared()), fs.read(path))
            assert(fs.write(shared(), "damaged"))
            open(path, folder)
            assert.are.same(first, train())
            assert.are.equal("damaged", fs.read(shared()), "nothing new, nothing to share")
        end)

        it("are added to both files, a damaged one being replaced", function()
            open(path, folder)
            train()
            local before = lines_of(fs.read(path))
            assert(fs.write(shared(), "damaged"))
            tensor.scope(function()
                local x = tensor.new("f32", { 16, 16 }):fill(1)
                ops.matmul(tensor.new("f32", { 16, 16 }), x, x, false)
            end)
            assert.are.equal(4, lines_of(fs.read(shared())))
            assert.are.equal(before + 1, lines_of(fs.read(path)))
        end)

        it("are done without where the folder cannot be written", function()
            open(path, "/nowhere")
            train()
            assert.is_true(lines_of(fs.read(path)) >= 6)
            open(nil, "/nowhere")
            train()
        end)
    end)

    it("start over a file of another device or library", function()
        assert(fs.write(path, "bertlua matmul choices 1\nsome other GPU\nnonsense\n"))
        open(path)
        train()
        assert.is_nil(fs.read(path):find("some other GPU", 1, true))
        assert.is_nil(fs.read(path):find("nonsense", 1, true))
    end)

    it("name the line of a damaged file, and files that are something else", function()
        open(path)
        train()
        local text = fs.read(path)
        assert(fs.write(path, text .. "64 24 what\n"))
        open(path)
        dense.assert_fails(("%s: line %d: not a choice of an algorithm"):format(path, lines_of(text) + 1), train)
        assert(fs.write(path, "shopping list\n"))
        open(path)
        dense.assert_fails(path .. ": not a file of matmul choices", train)
        open("/nowhere/choices.txt")
        dense.assert_fails("/nowhere/choices.txt.tmp: No such file or directory", train)
    end)

    it("may round f32 operands to TF32 where that is allowed", function()
        tensor.scope(function()
            local random = rng.new(32)
            local x, x_list = dense.random(random, "f32", { 64, 64 })
            local w, w_list = dense.random(random, "f32", { 64, 64 })
            local y = dense.poisoned("f32", { 64, 64 })
            local expected = reference.forward(x_list, w_list)
            ops.linear_forward(y, nil, x, w, nil, "none")
            dense.assert_close(expected, y, 2e-6, "f32")
            context.allow_tf32(true)
            ops.linear_forward(y, nil, x, w, nil, "none")
            context.allow_tf32(false)
            dense.assert_close(expected, y, 2e-3, "TF32")
            needs(not pcall(dense.assert_close, expected, y, 1e-5, "TF32"), "computes products this small in f32")
        end)
    end)

    if emulated then
        it("run the algorithm that the file names", function()
            open(path)
            local first = train()
            local text = fs.read(path)
            -- b1a5 1: in order; b1a5 3: from the last to the first.
            assert(fs.write(path, (text:gsub(": b1a5 %d", ": b1a5 1"))))
            open(path)
            local forwards = train()
            assert(fs.write(path, (text:gsub(": b1a5 %d", ": b1a5 3"))))
            open(path)
            local backwards = train()
            assert.are_not.same(forwards[3], backwards[3])
            assert.are.same(first[4], forwards[4])
            assert(fs.write(path, set_use(text:gsub(": b1a5 %d", ": b1a5 9"), 1)))
            open(path)
            dense.assert_fails("invalid value", train)
        end)
    end
end)
