--- Where bertlua's own files are found, from any folder.

local paths = require "bertlua.paths"
local process = require "spec.support.process"

local fails_here = require("spec.support.errors").fails_here

local ROOT = (process.run "pwd -P"):gsub("\n", "")

describe("paths", function()
    it("know the source tree and the engine's files", function()
        assert.are.equal(ROOT, paths.root())
        assert.is_truthy(paths.library():match "/libbertlua%.so$")
        assert.are.equal(paths.library():match "^(.*)/" .. "/cdef.h", paths.declarations())
    end)

    it("know what belongs to the library", function()
        local folder = paths.library():match "^.*/"
        assert.are.equal(folder .. "bertlua-hdf5", (paths.companion "bertlua-hdf5"))
        assert.are.same({ nil, folder .. "nothing.so" }, { paths.companion "nothing.so" })
    end)

    it("know the program that runs", function()
        assert.are.equal(process.bertlua .. "\n", (process.run_bertlua "-e 'require(\"bertlua.paths\").program()'"))
    end)

    it("find a file as given, below the tree, and below the folder of its kind", function()
        assert.are.equal("README.md", paths.find("recipe", "README.md"))
        assert.are.equal(ROOT .. "/README.md", paths.find("vocab", ROOT .. "/README.md"))
        local name = "bert-base-uncased-vocab.txt"
        assert.are.equal(ROOT .. "/vocab/" .. name, paths.find("vocab", name))
        local code = ("cd / && %s -e 'return bl.paths.find(\"recipe\", \"recipes/pretrain.lua\")'"):format(
            process.quote(process.bertlua))
        assert.are.equal(ROOT .. "/recipes/pretrain.lua\n", (process.run(code)))
    end)

    it("take no folder for a file, and say where they looked", function()
        local path, message = paths.find("config", "spec")
        assert.is_nil(path)
        assert.are.equal(("no such config: spec, %s/spec, %s/bert_configs/spec"):format(ROOT, ROOT),
            message)
        assert.are.equal("no such lua: /no/such", select(2, paths.find("lua", "/no/such")))
    end)

    it("refuse a kind of file that there is not", function()
        fails_here("paths: kind is shard, expected recipe, config, vocab or lua",
            function() paths.find("shard", "x") end)
    end)
end)
