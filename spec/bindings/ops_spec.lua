--- Where op errors point. What ops compute: spec/engine/ops.

local ops = require "bertlua.ops"
local optim = require "bertlua.optim"
local tensor = require "bertlua.tensor"

local fails_here = require("spec.support.errors").fails_here

describe("op errors", function()
    it("carry the engine's message to the caller's line", function()
        tensor.scope(function()
            local x, w, y = tensor.new("f32", { 2, 8 }), tensor.new("f32", { 4, 5 }), tensor.new("f32", { 2, 4 })
            fails_here("linear", function() ops.linear_forward(y, nil, x, w, nil) end)
            fails_here("activation is relu, expected none, gelu, gelu_tanh or tanh",
                function() ops.linear_forward(y, nil, x, w, nil, "relu") end)
            fails_here("reduction is median", function() ops.reduce(y, x, "median") end)
            fails_here("copy: dst is f32 %[2,4%]", function() ops.copy(y, x) end)
            fails_here("optim.prepare: param is missing", function() optim.prepare {} end)
        end)
    end)
end)
