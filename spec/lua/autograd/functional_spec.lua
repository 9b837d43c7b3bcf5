--- Every op of the tape against finite differences.

local F = require "bertlua.autograd.functional"
local gradcheck = require "bertlua.autograd.gradcheck"
local parameters = require "spec.support.parameters"
local tensor = require "bertlua.tensor"

local TOLERANCE = 0.01

local random, store_of = parameters.random, parameters.store_of

describe("gradients agree with finite differences:", function()
    local function check(name, options)
        it(name, function()
            local worst, checks = gradcheck(options())
            local lines = {}
            for _, c in ipairs(checks) do
                lines[#lines + 1] = ("%s: error %.2g at scale %.2g"):format(c.name, c.error, c.scale)
            end
            assert.is_true(worst < TOLERANCE, table.concat(lines, "; "))
            for _, c in ipairs(checks) do assert.is_true(c.scale > 0, c.name .. " has no gradient") end
        end)
    end

    for _, activation in ipairs { "none", "gelu", "gelu_tanh", "tanh" } do
        check("linear, " .. activation, function()
            local store = store_of { { "weight", { 5, 7 } }, { "bias", { 5 } } }
            return {
                store = store, inputs = { random({ 3, 7 }, 1) },
                forward = function(tape, x)
                    return F.linear(tape, x, store:get "weight", store:get "bias", activation)
                end,
            }
        end)
    end

    check("attention with dropout, two lengths and a pad row", function()
        local segments = tensor.from({ { 0, 3 }, { 4, 2 } }, "i32")
        return {
            inputs = { random({ 6, 24 }, 2) }, samples = 60,
            forward = function(tape, qkv) return F.attention(tape, qkv, segments, 2, 4, 0.3) end,
        }
    end)

    check("layernorm with residual and dropout", function()
        local store = store_of { { "gamma", { 8 } }, { "beta", { 8 } } }
        return {
            store = store, inputs = { random({ 3, 8 }, 1), random({ 3, 8 }, 2) },
            forward = function(tape, x, residual)
                return F.layernorm(tape, x, residual, store:get "gamma", store:get "beta", 1e-6, 0.3)
            end,
        }
    end)

    check("layernorm of the same variable twice", function()
        local store = store_of { { "weight", { 8, 8 } }, { "gamma", { 8 } }, { "beta", { 8 } } }
        return {
            store = store, inputs = { random({ 3, 8 }, 1) },
            forward = function(tape, x)
                local h = F.linear(tape, x, store:get "weight")
                return F.layernorm(tape, h, h, store:get "gamma", store:get "beta", 1e-6, 0.3)
            end,
        }
    end)

    -- What computes the gradient of a linear layer's output sums it for the bias, unless there is more of it: from an
    -- op that the backward pass comes to before or after that.
    local OTHERS = {
        ["alone"] = function() end,
        ["and its square"] = function(tape, h) return F.mul(tape, h, h) end,
        ["and a row"] = function(tape, h) return F.slice(tape, h, 1, 2, 2) end,
    }
    for name, other in pairs(OTHERS) do
        local function join(tape, h, earlier, last)
            local o = earlier and other(tape, h)
            local y = last()
            o = o or other(tape, h)
            return o and F.add(tape, y, o) or y
        end
        for _, earlier in ipairs(name == "alone" and { true } or { true, false }) do
            local what = name .. (earlier and "" or " later")

            -- Nobody may read its input later: it works in its memory.
            if earlier then
                check("layernorm with dropout of a linear layer with bias, " .. what, function()
                    local store = store_of { { "weight", { 8, 8 } }, { "bias", { 8 } }, { "gamma", { 8 } },
                        { "beta", { 8 } } }
                    return {
                        store = store, inputs = { random({ 3, 8 }, 1) },
                        forward = function(tape, x)
                            local h = F.linear(tape, x, store:get "weight", store:get "bias")
                            return join(tape, h, earlier, function()
                                return F.layernorm(tape, h, x, store:get "gamma", store:get "beta", 1e-6, 0.3)
                            end)
                        end,
                    }
                end)
            end

            for _, activation in ipairs { "gelu_tanh", "gelu" } do
                check(("a linear layer of one with %s, %s"):format(activation, what), function()
                    local store = store_of { { "up", { 8, 6 } }, { "up_bias", { 8 } }, { "down", { 8, 8 } },
                        { "down_bias", { 8 } } }
                    return {
                        store = store, inputs = { random({ 3, 6 }, 1) },
                        forward = function(tape, x)
                            local h = F.linear(tape, x, store:get "up", store:get "up_bias", activation)
                            return join(tape, h, earlier, function()
                                return F.linear(tape, h, store:get "down", store:get "down_bias")
                            end)
                        end,
                    }
                end)
            end
        end
    end

    check("layernorm of GELU in its tanh form of a linear layer", function()
        local store = store_of { { "weight", { 8, 8 } }, { "bias", { 8 } }, { "gamma", { 8 } }, { "beta", { 8 } } }
        return {
            store = store, inputs = { random({ 3, 8 }, 1) },
            forward = function(tape, x)
                local h = F.linear(tape, x, store:get "weight", store:get "bias", "gelu_tanh")
                return F.layernorm(tape, h, nil, store:get "gamma", store:get "beta", 1e-6, 0)
            end,
        }
    end)

    check("attention of a linear layer with bias", function()
        local store = store_of { { "weight", { 24, 8 } }, { "bias", { 24 } } }
        local segments = tensor.from({ { 0, 3 }, { 4, 2 } }, "i32")
        return {
            store = store, inputs = { random({ 6, 8 }, 2) },
            forward = function(tape, x)
                local qkv = F.linear(tape, x, store:get "weight", store:get "bias")
                return F.attention(tape, qkv, segments, 2, 4, 0.3)
            end,
        }
    end)

    check("embedding with dropout", function()
        local store = store_of {
            { "word", { 6, 8 } }, { "position", { 4, 8 } }, { "type", { 2, 8 } }, { "gamma", { 8 } }, { "beta", { 8 } },
        }
        local batch = {
            ids = tensor.from({ 1, 5, 1, 0 }, "i32"), positions = tensor.from({ 0, 1, 2, 0 }, "i32"),
            types = tensor.from({ 0, 1, 1, 0 }, "i32"),
        }
        local tables = {}
        for _, name in ipairs { "word", "position", "type", "gamma", "beta" } do tables[name] = store:get(name) end
        return {
            store = store, samples = 48,
            forward = function(tape) return F.embedding(tape, batch, tables, 1e-6, 0.3) end,
        }
    end)

    check("gather of repeated rows", function()
        local index = tensor.from({ 2, 0, 2 }, "i32")
        return {
            inputs = { random({ 4, 3 }, 1) },
            forward = function(tape, x) return F.gather(tape, x, index) end,
        }
    end)

    check("segment_mean with an empty segment and rows of none", function()
        local segments = tensor.from({ { 1, 3 }, { 0, 0 }, { 5, 1 } }, "i32")
        return {
            inputs = { random({ 7, 3 }, 1) },
            forward = function(tape, x) return F.segment_mean(tape, x, segments) end,
        }
    end)

    check("cross_entropy with an ignored row and padded classes", function()
        local labels = tensor.from({ 2, -1, 0 }, "i32")
        return {
            inputs = { random({ 3, 6 }, 1) },
            forward = function(tape, x) return F.cross_entropy(tape, x, labels, 4) end,
        }
    end)

    check("cross_entropy whose gradient takes the logits' memory", function()
        local store = store_of { { "weight", { 6, 5 } } }
        local labels = tensor.from({ 2, -1, 0 }, "i32")
        return {
            store = store, inputs = { random({ 3, 5 }, 1) },
            forward = function(tape, x)
                return F.cross_entropy(tape, F.linear(tape, x, store:get "weight"), labels, 4)
            end,
        }
    end)

    check("span_loss", function()
        local segments = tensor.from({ { 0, 3 }, { 3, 2 } }, "i32")
        local starts, ends = tensor.from({ 1, 0 }, "i32"), tensor.from({ 2, 1 }, "i32")
        return {
            inputs = { random({ 5, 2 }, 1) },
            forward = function(tape, x) return F.span_loss(tape, x, segments, starts, ends) end,
        }
    end)

    check("gelu, tanh, dropout and add in a chain", function()
        return {
            inputs = { random({ 3, 5 }, 1), random({ 3, 5 }, 2) },
            forward = function(tape, a, b)
                return F.add(tape, F.dropout(tape, F.gelu(tape, a), 0.3), F.tanh(tape, F.add(tape, a, b)))
            end,
        }
    end)
end)
