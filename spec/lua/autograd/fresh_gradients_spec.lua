--- The gradients of a pass that writes them, from buffers full of NaN, are those of one that adds to zeros, to the last
-- bit.

local F = require "bertlua.autograd.functional"
local Tape = require "bertlua.autograd.tape"
local device = require "bertlua.device"
local nn = require "bertlua.nn"
local ops = require "bertlua.ops"
local storage = require "bertlua.storage"
local tensor = require "bertlua.tensor"
local tiny = require "spec.support.tiny_bert"

local function checksum(store)
    return storage.crc32c(store.grad)
end

--- Checksums of all gradients: added to zeros, and written over NaN.
-- @param pass function(tape) -> what to differentiate
-- @return both, and how many of the store's values the second pass set to 0 beforehand
local function both(store, pass)
    local tape, sums, zeroed = Tape.new { seed = 3 }, {}, 0
    for i, fresh in ipairs { false, store } do
        if fresh then
            for _, entry in ipairs(store.order) do ops.fill(entry.grad, 0 / 0) end
        else
            store:zero_grad()
        end
        tape:start(1, 0, true)
        local y = pass(tape)
        local fill = ops.fill
        if fresh then
            ops.fill = function(t, value)
                if value == 0 then zeroed = zeroed + t:numel() end
                return fill(t, value)
            end
        end
        local ok, message = pcall(tape.backward, tape, y, nil, nil, fresh or nil)
        ops.fill = fill
        assert.is_true(ok, tostring(message))
        sums[i] = checksum(store)
    end
    tape:close()
    return sums[1], sums[2], zeroed
end

local function input(tape, rows, width)
    local x = tensor.new("f32", { rows, width })
    ops.fill_normal(x, 0, 1, 5, 1)
    return tape:input(x)
end

describe("gradients that are written", function()
    local samples = tiny.samples(tiny.open "bert_tiny")

    for _, precision in ipairs { "fp32", "bf16" } do
        for _, packed in ipairs { false, true } do
            it(("are those of BERT in %s, %s"):format(precision, packed and "packed" or "padded"), function()
                local model = tiny.model(precision)
                local batch = tiny.batch(samples, { max_length = 32, packed = packed })
                local added, written, zeroed = both(model.store, function(tape)
                    return model:forward(tape, batch).loss
                end)
                assert.are.equal(added, written)
                -- Positions, types, and gamma and beta of six LayerNorms, and on a GPU the gaps behind these.
                assert.are.equal(64 * (64 + 2) + 2 * 64 * 6 + (device.is_host() and 0 or 384), zeroed)
            end)
        end
    end

    it("are those of a model with frozen parts, and with layers that are recomputed", function()
        for _, case in ipairs { "frozen", "recomputed" } do
            local model = tiny.unallocated()
            if case == "frozen" then
                model.store:freeze(function(name) return name:find("layer.0.", 1, true) ~= nil end)
            end
            model.store:allocate { seed = 1 }
            model.bert.encoder.activation_checkpointing = case == "recomputed"
            local batch = tiny.batch(samples, { max_length = 32 })
            local added, written = both(model.store, function(tape) return model:forward(tape, batch).loss end)
            assert.are.equal(added, written, case)
        end
    end)

    it("are 0 of a layer that the result does not depend on, and of one that was not used", function()
        local store = nn.ParameterStore.new()
        local first, second = nn.Linear.new(store, "first", 6, 5), nn.Linear.new(store, "second", 6, 5)
        nn.Linear.new(store, "third", 6, 5)
        store:allocate { seed = 2 }
        local added, written = both(store, function(tape)
            local x = input(tape, 4, 6)
            local y = first:forward(tape, x)
            second:forward(tape, x)
            return F.sum(tape, y)
        end)
        assert.are.equal(added, written)
        assert.are.equal(0, second.weight.grad:select(1):tolist()[1])
        assert.are.equal(0, (store:get "third.weight").grad:select(1):tolist()[1])
    end)

    it("are sums where parameters are shared, whoever comes first", function()
        local store = nn.ParameterStore.new()
        local layer = nn.Linear.new(store, "one", 6, 6)
        local joint = store:register_joint({ "q.weight", "k.weight" }, { 6, 6 }, { init = "normal", low = true })
        store:allocate { seed = 2 }
        local q, k = store:get "q.weight", store:get "k.weight"
        for case, pass in pairs {
            twice = function(tape, x) return layer:forward(tape, layer:forward(tape, x)) end,
            product_last = function(tape, x)
                local y = layer:forward(tape, x)
                return F.matmul(tape, y, F.parameter(tape, layer.weight))
            end,
            product_first = function(tape, x)
                return layer:forward(tape, F.matmul(tape, x, F.parameter(tape, layer.weight)))
            end,
            joint_first = function(tape, x) return F.linear(tape, F.linear(tape, F.linear(tape, x, q), k), joint) end,
            joint_last = function(tape, x)
                local y = F.linear(tape, x, joint)
                return F.linear(tape, F.linear(tape, F.slice(tape, y, 2, 1, 6), q), k)
            end,
        } do
            local added, written = both(store, function(tape)
                return F.sum(tape, pass(tape, input(tape, 4, 6)))
            end)
            assert.are.equal(added, written, case)
        end
    end)
end)
