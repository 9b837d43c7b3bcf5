--- docs/settings.md is what the code says.

local fs = require "bertlua.util.fs"
local pretraining = require "spec.support.pretraining"

describe("settings", function()
    it("stand in docs/settings.md as they are in the code", function()
        local code, output = pretraining.shell(pretraining.BINARY .. " scripts/settings_table.lua")
        assert.are.equal(0, code)
        assert.is_true(output == assert(fs.read "docs/settings.md"),
            "docs/settings.md is out of date: bertlua scripts/settings_table.lua docs/settings.md")
    end)
end)
