local Tape = require "bertlua.autograd.tape"
local differences = require "spec.support.differences"
local nn = require "bertlua.nn"
local parameters = require "spec.support.parameters"
local tensor = require "bertlua.tensor"

describe("RMSNorm", function()
    it("divides rows by their root mean square and multiplies by its weight", function()
        local layer = nn.create(nn.RMSNorm, 2, { eps = 0 })
        layer.gamma.value:copy_from(tensor.from { 1, 10 })
        local y = layer(tensor.from { { 1, 7 }, { -3, -3 } }):tolist()
        assert.is_true(math.abs(y[1][1] - 0.2) < 1e-6 and math.abs(y[1][2] - 14) < 1e-5)
        assert.are.same({ -1, -10 }, y[2])
        assert.are.equal("RMSNorm (2)", tostring(layer))
    end)

    it("has one parameter, without weight decay, that begins with ones", function()
        local layer = nn.create(nn.RMSNorm, 3)
        local list = layer:parameters()
        assert.are.equal(1, #list)
        assert.are.equal("weight", list[1].name)
        assert.is_false(list[1].decay)
        assert.are.same({ 1, 1, 1 }, list[1].value:tolist())
    end)

    it("has the right gradients", differences.agree(function()
        local layer = nn.create(nn.RMSNorm, 8)
        layer.gamma.value:copy_from(parameters.random({ 8 }, 3))
        return {
            store = layer.store, inputs = { parameters.random({ 5, 8 }, 1) },
            forward = function(tape, x) return layer:forward(tape, x) end,
        }
    end))

    it("makes nothing but its result in inference", function()
        local layer, tape = nn.create(nn.RMSNorm, 16), Tape.new {}
        tape:start(0, 0, false)
        tape:free(layer:forward(tape, tape:input(parameters.random({ 4, 16 }, 1))))
        assert.are.equal(0, (tape:memory()))
        tape:close()
    end)
end)
