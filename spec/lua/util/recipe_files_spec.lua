--- Recipes by name, and what files say of themselves.

local process = require "spec.support.process"
local recipe_files = require "bertlua.util.recipe_files"

describe("recipe files", function()
    it("have names with underscores or dashes, and no path is a name", function()
        assert.are.equal("./recipes/fill_mask.lua", recipe_files.find(".", "fill_mask"))
        assert.are.equal("./recipes/fill_mask.lua", recipe_files.find(".", "fill-mask"))
        for _, word in ipairs { "./fill_mask", "recipes/fill_mask", "fill_mask.lua", "../recipes/demo", "nope", "-e",
            "" } do
            assert.is_nil(recipe_files.find(".", word), word)
        end
        assert.is_true(recipe_files.is_name "a" and recipe_files.is_name "a-b_c1")
        assert.is_false(recipe_files.is_name "a/b" or recipe_files.is_name "a.b" or recipe_files.is_name "a b")
    end)

    it("are listed in order; none where there is no such folder", function()
        local names = recipe_files.names "."
        assert.are.equal("answer", names[1])
        for i = 2, #names do assert.is_true(names[i - 1] < names[i]) end
        assert.are.same({}, recipe_files.names "/no/such/folder")
    end)

    it("say what they do in their first line", function()
        assert.are.equal("The most likely words in place of [MASK]", recipe_files.summary "recipes/fill_mask.lua")
        assert.are.equal("", recipe_files.summary "/no/such/file")
        local path = process.temporary "local x = 1\n"
        assert.are.equal("", recipe_files.summary(path))
        os.remove(path)
    end)

    it("are the same file under any path", function()
        assert.is_true(recipe_files.same("recipes/demo.lua", "./recipes/../recipes/demo.lua"))
        assert.is_false(recipe_files.same("recipes/demo.lua", "recipes/answer.lua"))
        assert.is_false(recipe_files.same("recipes/demo.lua", "/no/such/file"))
    end)
end)
