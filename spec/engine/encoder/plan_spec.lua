--- The plan that the C encoder runs is that of the model in Lua.

local fs = require "bertlua.util.fs"
local pretraining = require "spec.support.pretraining"

describe("the encoder's plan", function()
    it("is what the model in Lua computes", function()
        local code, output = pretraining.shell(pretraining.BINARY .. " scripts/export_plan.lua")
        assert.are.equal(0, code, output)
        assert.is_true(output == assert(fs.read "engine/encoder/plan_table.c"), "engine/encoder/plan_table.c is not "
            .. "what the model in Lua computes now: bertlua scripts/export_plan.lua engine/encoder/plan_table.c; make")
    end)
end)
