--- Where bertlua's own files are found.

local fs = require "bertlua.util.fs"
local paths = require "bertlua.paths"
local process = require "spec.support.process"

describe("paths", function()
    it("find a file as given, then below the root, then in the folder of its kind", function()
        local vocab = "bert-base-uncased-vocab.txt"
        assert.are.equal("vocab/" .. vocab, paths.find("vocab", "vocab/" .. vocab))
        assert.are.equal(paths.root() .. "/vocab/" .. vocab, paths.find("vocab", vocab))
        assert.are.equal(paths.root() .. "/lua/bertlua/init.lua", paths.find("lua", "bertlua/init.lua"))
        for _, kind in ipairs { "recipe", "config", "vocab", "lua" } do
            assert.is_nil((paths.find(kind, "no such file")))
        end
    end)

    it("say where they looked", function()
        local found, message = paths.find("config", "none.json")
        assert.is_nil(found)
        assert.are.equal(("no such config: none.json, %s/none.json, %s/bert_configs/none.json"):format(paths.root(),
            paths.root()), message)
        assert.are.equal("no such recipe: /none.lua", select(2, paths.find("recipe", "/none.lua")))
    end)

    it("pass over folders, not over empty files", function()
        local folder = assert(fs.temporary_folder "paths_spec")
        assert.is_nil((paths.find("recipe", folder)))
        assert(fs.write(folder .. "/empty", ""))
        assert.are.equal(folder .. "/empty", paths.find("recipe", folder .. "/empty"))
        fs.remove(folder)
    end)

    it("know no other kind", function()
        assert.has_error(function() paths.find("music", "x") end,
            "paths: kind is music, expected recipe, config, vocab or lua")
    end)

    it("name the running executable", function()
        assert.are.equal(process.bertlua .. "\n", (process.run_bertlua("-e 'print(bl.paths.program())'")))
    end)
end)
