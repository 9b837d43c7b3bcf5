--- Quoting for the shell: what is quoted arrives unchanged.

local process = require "spec.support.process"
local shell = require "bertlua.util.shell"

describe("shell", function()
    it("passes any text as one word", function()
        for _, text in ipairs { "", "plain", "two words", "it's", "''", '"', "$HOME `id` \\", "a\nb", "*", "-n",
            "é" } do
            assert.are.equal("<" .. text .. ">", (process.run("printf '<%s>' " .. shell.quote(text))))
        end
    end)

    it("takes numbers", function()
        assert.are.equal("'8'", shell.quote(8))
    end)
end)
