--- Modules on their own, as one would try them at the prompt.

local Tape = require "bertlua.autograd.tape"
local errors = require "spec.support.errors"
local nn = require "bertlua.nn"
local tensor = require "bertlua.tensor"

describe("nn", function()
    it("creates a single layer that runs", function()
        local layer = nn.create(nn.Linear, 3, 2)
        layer.weight.value:copy_from(tensor.from({ { 1, 0, 2 }, { 0, -1, 0 } }, "f32"))
        layer.bias.value:copy_from(tensor.from({ 10, 20 }, "f32"))
        local y = layer(tensor.from({ { 1, 2, 3 } }, "f32"))
        assert.are.same({ { 17, 18 } }, y:tolist())
        assert.are.same({ { 10, 20 } }, layer(tensor.from({ { 0, 0, 0 } }, "f32")):tolist())
        assert.are.same({ { 17, 18 } }, y:tolist())
    end)

    it("walks children with their paths and counts values", function()
        local block = nn.create(nn.FeedForward, 4, 6)
        local paths = {}
        block:walk(function(module, path) paths[#paths + 1] = module.class_name .. ":" .. path end)
        assert.are.same({ "FeedForward:", "Linear:up", "Linear:down" }, paths)
        assert.are.equal(4 * 6 + 6 + 6 * 4 + 4, block:size())
        local names = {}
        for _, entry in ipairs(block:parameters()) do names[#names + 1] = entry.name end
        assert.are.same({ "intermediate.dense.weight", "intermediate.dense.bias", "output.dense.weight",
            "output.dense.bias" }, names)
    end)

    it("calls a layer with a variable on the variable's tape", function()
        local layer = nn.create(nn.Linear, 3, 2)
        local tape = Tape.new()
        tape:start(0, 0, true)
        local x = tape:input(tensor.from { { 1, 2, 3 } }, true)
        local y = layer(x)
        assert.are.equal(tape, y.tape)
        y:sum():backward()
        local weight = layer.weight.value
        for i = 1, 3 do
            assert.is_true(math.abs(x.grad[{ 1, i }] - weight[{ 1, i }] - weight[{ 2, i }]) < 1e-6)
        end
        tape:close()
    end)

    it("says what a call expects", function()
        local layer = nn.create(nn.Linear, 3, 2)
        errors.all_fail_here {
            { "Linear: got a number, expected a tensor or a variable", function() layer(3) end },
            { "Linear: got nil, expected a tensor or a variable", function() layer() end },
            { 'nn.create: got "Linear", expected a class such as bl.nn.Linear', function() nn.create "Linear" end },
            { "nn.create: got a nil, expected a class", function() nn.create(nil, 3) end },
        }
        assert.has_error(function() nn.create(nn.Linear, 1, 2, { activation = "gelo" }) end,
            "Linear: activation is gelo, expected none, gelu, gelu_tanh or tanh")
        assert.has_error(function() nn.create(nn.Linear, 1, 2, { activaton = "gelu" }) end,
            "Linear: unknown option activaton, expected activation or std")
        assert.has_error(function() nn.create(nn.Linear) end,
            "parameters: the shape of weight is no list of sizes of 1 or more")
    end)

    it("says what a constructor expects", function()
        assert.has_error(function() nn.Linear.new(4, "x", 1, 1) end,
            "Linear: expected a ParameterStore as first argument, got number")
    end)
end)
