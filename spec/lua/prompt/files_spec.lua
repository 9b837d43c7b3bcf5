--- Files named by the user, and the words behind them.

local files = require "bertlua.prompt.files"

describe("files", function()
    it("are found as given, or among the recipes", function()
        assert.are.equal("recipes/demo.lua", files.find "recipes/demo.lua")
        assert.are.equal("./recipes/demo.lua", files.find "demo.lua")
        assert.are.equal("./recipes/demo.lua", files.find "demo")
        assert.are.equal("recipes/demo.lua", files.find "recipes/demo")
        assert.are.same({ nil, "recipes is a folder, expected a Lua file" }, { files.find "recipes" })
        assert.are.same({ nil, "no such file: recipes/dem.lua; did you mean recipes/demo.lua?" },
            { files.find "recipes/dem.lua" })
        assert.are.same({ nil, "no such file: /no/such/thing" }, { files.find "/no/such/thing" })
    end)

    it("split words as a shell does", function()
        assert.are.same({ "a", "--b", "c d", "e'f", "", "g h" },
            files.split [[ a  --b "c d" e\'f '' g\ h ]])
        assert.are.same({}, files.split "  ")
        assert.are.same({ nil, "a ' is not closed" }, { files.split "a 'b" })
    end)
end)
