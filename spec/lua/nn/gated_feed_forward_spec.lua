local Tape = require "bertlua.autograd.tape"
local differences = require "spec.support.differences"
local nn = require "bertlua.nn"
local parameters = require "spec.support.parameters"
local tensor = require "bertlua.tensor"

describe("GatedFeedForward", function()
    it("multiplies the value by the activated gate", function()
        local block = nn.create(nn.GatedFeedForward, 2, 1, { activation = "relu" })
        block.up.weight.value:copy_from(tensor.from { { 1, 0 }, { 0, 1 } }) -- value, gate
        block.down.weight.value:copy_from(tensor.from { { 1 }, { 2 } })
        assert.are.same({ { 15, 30 }, { 0, 0 } }, block(tensor.from { { 3, 5 }, { 3, -5 } }):tolist())
        assert.is_truthy(tostring(block):find("^GatedFeedForward %(relu%)\n"))
    end)

    it("names its parameters as a layer of BERT does, the joint one twice as tall", function()
        local block = nn.create(nn.GatedFeedForward, 4, 6)
        local names = {}
        for _, entry in ipairs(block:parameters()) do
            names[#names + 1] = entry.name .. " " .. table.concat(entry.dims, "x")
        end
        assert.are.same({ "intermediate.dense.weight 12x4", "intermediate.dense.bias 12", "output.dense.weight 4x6",
            "output.dense.bias 4" }, names)
    end)

    it("has the right gradients, with dropout", differences.agree(function()
        local block = nn.create(nn.GatedFeedForward, 6, 5, { activation = "gelu", dropout = 0.2, std = 0.5 })
        return {
            store = block.store, inputs = { parameters.random({ 4, 6 }, 1) },
            forward = function(tape, x) return block:forward(tape, x) end,
        }
    end))

    it("frees what it makes in inference", function()
        local block, tape = nn.create(nn.GatedFeedForward, 8, 12, { dropout = 0.1 }), Tape.new {}
        tape:start(0, 0, false)
        tape:free(block:forward(tape, tape:input(parameters.random({ 4, 8 }, 1))))
        assert.are.equal(0, (tape:memory()))
        tape:close()
    end)
end)
