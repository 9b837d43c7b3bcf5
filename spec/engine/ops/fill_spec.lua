local tensor = require "bertlua.tensor"
local ops = require "bertlua.ops"
local support = require "spec.support.ops"
local reference = require "spec.support.reference"

local scoped = support.scoped

describe("fill", function()
    it("sets every element of a view and nothing else", scoped(function()
        for _, dtype in ipairs { "f32", "bf16", "f16", "i32", "i64", "i8" } do
            local t = tensor.new(dtype, { 2, 4 })
            t:slice(2, 2, 3):fill(-3)
            assert.are.same({ { 0, -3, -3, 0 }, { 0, -3, -3, 0 } }, t:tolist())
        end
    end))
end)

describe("random fills", function()
    it("follow the words of the stream", scoped(function()
        local seed, stream, n = 42, 2 ^ 33 + 9, 515
        local uniform, normal = support.poisoned("f32", { n }), support.poisoned("f32", { n })
        ops.fill_uniform(uniform, -1, 3, seed, stream)
        ops.fill_normal(normal, 0.5, 2, seed, stream)
        local words, uniforms, normals = {}, {}, {}
        for i = 0, n do
            words[i] = reference.philox_word(seed, i, 0, stream % 2 ^ 32, math.floor(stream / 2 ^ 32))
        end
        for i = 0, n - 1 do
            uniforms[i + 1] = -1 + 4 * words[i] / 2 ^ 32
            local pair = i - i % 2
            local radius = 2 * math.sqrt(-2 * math.log((words[pair] + 1) / 2 ^ 32))
            local angle = 2 * math.pi * words[pair + 1] / 2 ^ 32
            normals[i + 1] = 0.5 + radius * (i % 2 == 0 and math.cos(angle) or math.sin(angle))
        end
        support.assert_close(uniform, uniforms, 1e-7)
        support.assert_close(normal, normals, 1e-7)
    end))

    it("have the moments asked for", scoped(function()
        local n = 200000
        local t, sum, norm = tensor.new("f32", { n }), tensor.new("f32", { 1 }), tensor.new("f32", { 1 })
        ops.fill_normal(t, 0, 0.02, 7, 1)
        ops.reduce(sum, t, "mean")
        ops.reduce(norm, t, "norm")
        assert.is_near(0, sum:item(), 5 * 0.02 / math.sqrt(n))
        assert.is_near(0.02, norm:item() / math.sqrt(n), 0.02 * 5 / math.sqrt(2 * n))
    end))

    it("never reach the upper end of a uniform range", scoped(function()
        for _, dtype in ipairs { "f32", "bf16" } do
            local t, max = tensor.new(dtype, { 4096 }), tensor.new("f32", { 1 })
            ops.fill_uniform(t, 0, 2 ^ -140, 7, 1) -- rounds to a handful of subnormals
            ops.reduce(max, t, "max")
            assert.is_true(dtype == "bf16" or max:item() < 2 ^ -140)
        end
    end))

    it("do not depend on the thread count, and differ by stream", scoped(function()
        support.assert_threads_agree(function()
            local t = tensor.new("f32", { 5000 })
            ops.fill_normal(t, 0, 1, 7, 1)
            return { t }
        end)
        local a, b = tensor.new("f32", { 8 }), tensor.new("f32", { 8 })
        ops.fill_normal(a, 0, 1, 7, 1)
        ops.fill_normal(b, 0, 1, 7, 2)
        assert.are_not.same(a:tolist(), b:tolist())
    end))
end)
