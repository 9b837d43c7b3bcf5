local tensor = require "bertlua.tensor"
local optim = require "bertlua.optim"
local support = require "spec.support.ops"
local reference = require "spec.support.reference"
local shared = require "spec.support.optim"

local scoped = support.scoped

describe("grad_norm", function()
    it("unscales, averages and clips", scoped(function()
        for _, n in ipairs { 1, 7, 20000, 40003 } do
            local grad, values = support.random("f32", { n }, 4, 3)
            local norm = math.sqrt(reference.dot(values, values)) / (64 * 3)
            for _, limit in ipairs { 0, norm / 4, norm * 4 } do
                local s = shared.scalars { loss_scale = 64, overflow = 1, grad_norm = -1 }
                optim.grad_norm(s, grad, 3, limit)
                local clip = limit > 0 and norm > limit and shared.held(limit) / norm or 1
                assert.is_near(norm, shared.scalar(s, "grad_norm"), 1e-6 * norm)
                assert.is_near(clip / (64 * 3), shared.scalar(s, "grad_factor"), 1e-6 * clip / (64 * 3))
                assert.are.equal(0, shared.scalar(s, "overflow"))
            end
        end
    end))

    it("flags inf and NaN anywhere, and not merely large values", scoped(function()
        local n = 40003
        for _, bad in ipairs { math.huge, -math.huge, 0 / 0 } do
            for _, at in ipairs { 1, 17000, n } do
                local grad = support.random("f32", { n }, 5)
                grad:slice(1, at, at):fill(bad)
                local s = shared.scalars()
                optim.grad_norm(s, grad, 1, 1)
                assert.are.equal(1, shared.scalar(s, "overflow"))
            end
        end
        local s = shared.scalars()
        optim.grad_norm(s, tensor.new("f32", { n }):fill(1e30), 1, 1)
        assert.are.equal(0, shared.scalar(s, "overflow"))
        assert.is_near(1e30 * math.sqrt(n), shared.scalar(s, "grad_norm"), 1e27)
    end))

    it("does not depend on the thread count", scoped(function()
        local grad = support.random("f32", { 200003 }, 6)
        support.assert_threads_agree(function()
            local s = shared.scalars()
            optim.grad_norm(s, grad, 1, 1)
            return { s }
        end)
    end))

    it("names op, argument, got and expected, and changes nothing", scoped(function()
        local s = shared.scalars()
        support.assert_rejects("grad_norm: accumulation is 0, expected 1 or more", {}, function()
            optim.grad_norm(s, tensor.new("f32", { 4 }), 0, 1)
        end)
        support.assert_rejects("grad_norm: scalars is f32 [4], expected f32 [8]", {}, function()
            optim.grad_norm(tensor.new("f32", { 4 }), tensor.new("f32", { 4 }), 1, 1)
        end)
    end))
end)
