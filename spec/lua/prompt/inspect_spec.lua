--- Values as the prompt prints them.

local Optimizer = require "bertlua.train.optimizer"
local Tape = require "bertlua.autograd.tape"
local inspect = require "bertlua.prompt.inspect"
local memory = require "bertlua.memory"
local nn = require "bertlua.nn"
local tiny = require "spec.support.tiny_bert"
local BertForPretraining = require("bertlua.models.bert").BertForPretraining

describe("inspect", function()
    it("sorts keys, quotes strings inside tables and leaves them bare outside", function()
        assert.are.equal("a\nb", inspect.inspect "a\nb")
        assert.are.equal('{ "a\\nb", 2, [10] = true, alpha = 1, beta = "q\\"", ["x y"] = {} }',
            inspect.inspect { "a\nb", 2, [10] = true, ["x y"] = {}, beta = 'q"', alpha = 1 })
    end)

    it("breaks long tables into lines and cuts very long ones", function()
        local wide = {}
        for i = 1, 30 do wide["key" .. i] = i end
        assert.is_truthy(inspect.inspect(wide):find "^{\n  key1 = 1,\n  key10 = 10,")
        local long = {}
        for i = 1, 1000 do long[i] = i end
        assert.is_truthy(inspect.inspect(long):find("^{\n  1, 2, 3, .*, 40,%s+%.%.%. 960 more\n}$"))
        for _, line in ipairs { inspect.inspect(long):match "(.-)\n(.-)\n" } do assert.is_true(#line <= 80) end
    end)

    it("shows a screen of a table at most", function()
        local deep = {}
        for i = 1, 30 do deep["key" .. i] = { name = ("x"):rep(60), list = { 1, 2, 3 }, number = i } end
        local text = inspect.inspect(deep)
        local _, breaks = text:gsub("\n", "")
        assert.is_true(breaks < 24)
        assert.is_truthy(text:find "\n%.%.%. %d+ more lines$", text)
        -- Lines that are wider than the terminal take several of it.
        local wide = {}
        for i = 1, 30 do wide["key" .. i] = ("x"):rep(170) end
        _, breaks = inspect.inspect(wide):gsub("\n", "")
        assert.is_true(breaks <= 8)
    end)

    it("survives cycles and depth", function()
        local t = { name = "t" }
        t.self = t
        assert.are.equal('{ name = "t", self = { cycle } }', inspect.inspect(t))
        local shared = { 1 }
        assert.are.equal("{ { 1 }, { 1 } }", inspect.inspect { shared, shared })
        assert.are.equal("{ { { { { ... } } } } }", (inspect.inspect { { { { { 1 } } } } }))
    end)

    it("shows tensors inside tables by their shape, and objects by their own text", function()
        local tensor = require "bertlua.tensor"
        tensor.scope(function()
            assert.are.equal("{ x = [f32 2x3 cpu] }", inspect.inspect { x = tensor.new("f32", { 2, 3 }) })
            local x, y = tensor.new("f32", { 2, 3 }), tensor.new("f32", { 2, 3 })
            assert.are.equal("{ 2, 3 } int64_t[4]", inspect.inspect(x.shape, x))
            assert.are.equal("{ 3, 1 } int64_t[4]", inspect.inspect(x.stride, x))
            -- Of which tensor it is is not known, or it is of another one.
            for _, owner in ipairs { false, y, "x" } do
                assert.are.equal("{ 2, 3, 1, 1 } int64_t[4]", inspect.inspect(x.shape, owner))
            end
        end)
        local object = setmetatable({}, { __tostring = function() return "an object" end })
        assert.are.equal("{ an object }", inspect.inspect { object })
    end)
end)

local function on_a_screen(value)
    local text = inspect.inspect(value)
    assert.are.equal(text, tostring(value), "print shows the same")
    local lines = 0
    for line in (text .. "\n"):gmatch "(.-)\n" do
        lines = lines + 1
        assert.is_true(#line <= 80, line)
    end
    assert.is_true(lines <= 23, text)
    return text
end

describe("what the prompt prints for the objects of a session, a screen at most:", function()
    local model
    setup(function() model = BertForPretraining.new(tiny.config { num_hidden_layers = 24 }) end)
    teardown(function() model.store:free() end)

    it("of a model shows layers that are alike once", function()
        local text = on_a_screen(model)
        assert.is_truthy(text:find("\n      layer1 to layer24: EncoderLayer\n        attention: ", 1, true), text)
        assert.is_truthy(text:find "\n%[829,453 parameters%]$", text)
        assert.are.equal("Linear (3 -> 4)", tostring(nn.create(nn.Linear, 3, 4)))
        local wide = model.bert
        for i = 1, 30 do wide:add("extra" .. i, nn.create(nn.Linear, 3, 3 + i)) end
        assert.is_truthy(on_a_screen(model):find "\n  %.%.%. %d+ more lines\n%[")
    end)

    it("of a store shows its memory and the ends of its list", function()
        local text = on_a_screen(model.store)
        local first = "ParameterStore: 398 parameters, 829,778 values, no memory yet: allocate()\n"
        assert.are.equal(first, text:sub(1, #first))
        model.store:allocate { precision = "bf16" }
        text = on_a_screen(model.store)
        assert.is_truthy(text:find("values, bf16\n  values 3.2 MiB, gradients 3.2 MiB, bf16 copy 1.6 MiB\n", 1, true))
        assert.is_truthy(text:find("\n  ... 384 more\n", 1, true), text)
        assert.is_truthy(text:find("\n  cls.seq_relationship.bias  2$"), text)
    end)

    it("of an optimizer has its settings and its progress", function()
        local store = nn.create(nn.Linear, 3, 4).store
        if not store.grad then
            store = require("spec.support.parameters").store_of { { "weight", { 4, 3 } } }
        end
        local optimizer = Optimizer.new { store = store, kind = "AdamW" }
        optimizer:step(0.25)
        assert.are.equal("AdamW: beta1 0.9, beta2 0.999, epsilon 1e-06, weight decay 0.01\n"
            .. "  gradients clipped to 1, loss scale 1\n"
            .. ("  1 updates, learning rate 0.25; moments take %d bytes"):format(optimizer:bytes()),
            on_a_screen(optimizer))
        optimizer:free()
        assert.are.equal("AdamW: its memory was freed", tostring(optimizer))
    end)

    it("of a tape, a buffer and an arena is a line", function()
        local tape = Tape.new()
        assert.are.equal("Tape: inference, 0 nodes, 0 bytes in use, peak 0 bytes", on_a_screen(tape))
        tape:start(0, 0, true)
        local _ = tape:input(require("bertlua.tensor").from { 1 }, true) * 2
        assert.are.equal("Tape: recording, 1 node, 64 bytes in use, peak 64 bytes", on_a_screen(tape))
        tape:close()
        assert.are.equal("Tape: closed", on_a_screen(tape))
        local buffer, arena = memory.buffer(4096), memory.arena(2 ^ 20)
        assert.are.equal("Buffer: 4.0 KiB", on_a_screen(buffer))
        assert.are.equal("Arena: 0 bytes in use, peak 0 bytes, at most 1.0 MiB", on_a_screen(arena))
        buffer:free()
        arena:free()
        assert.are.equal("Buffer: freed", on_a_screen(buffer))
        assert.are.equal("Arena: freed", on_a_screen(arena))
    end)
end)
