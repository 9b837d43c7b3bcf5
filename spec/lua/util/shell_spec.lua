--- Words for the shell: whatever a text holds, the shell hands it on unchanged.

local process = require "spec.support.process"
local quote = require("bertlua.util.shell").quote

describe("quote", function()
    it("makes one word that the shell does not look into", function()
        for _, text in ipairs { "plain", "", "two words", "it's", "''", "$HOME `id` $(id)", "a\nb", "\\",
            "*;&|<>", '"' } do
            assert.are.equal("[" .. text .. "]", (process.run("printf '[%s]' " .. quote(text))))
        end
    end)

    it("takes numbers", function()
        assert.are.equal("'16'", quote(16))
    end)
end)
