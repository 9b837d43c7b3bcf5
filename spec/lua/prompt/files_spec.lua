--- Files named by the user, and the words behind them.

local files = require "bertlua.prompt.files"
local lfs = require "lfs"
local process = require "spec.support.process"

describe("files", function()
    it("are found as given, or among the recipes", function()
        assert.are.equal("recipes/demo.lua", files.find "recipes/demo.lua")
        assert.are.equal("./recipes/demo.lua", files.find "demo.lua")
        assert.are.equal("recipes/demo.lua", files.find "recipes/demo")
        assert.are.same({ nil, "./recipes is a folder, expected a Lua file" }, { files.find "./recipes" })
        assert.are.same({ nil, "no such file: recipes/dem.lua; did you mean recipes/demo.lua?" },
            { files.find "recipes/dem.lua" })
        assert.are.same({ nil, "no such file: /no/such/thing" }, { files.find "/no/such/thing" })
    end)

    it("may be a pipe, of which nothing is lost by looking", function()
        local output, code = process.run_bertlua("/dev/stdin one", "printf 'print(arg[0], ...)' |")
        assert.are.same({ "/dev/stdin\tone\n", 0 }, { output, code })
    end)

    it("are never meant by a bare word: that is a recipe", function()
        assert.are.equal("./recipes/demo.lua", files.find "demo")
        assert.are.equal("./recipes/fill_mask.lua", files.find "fill-mask")
        assert.are.same({ nil, "no command or recipe is called dem; did you mean demo?" }, { files.find "dem" })
        assert.are.same({ nil, "no command or recipe is called sealshards; did you mean seal-shards?" },
            { files.find "sealshards" })
        assert.are.same({ nil, "no command or recipe is called recipes_of_mine" }, { files.find "recipes_of_mine" })
        assert.are.same({ nil, "no recipe is called Makefile; to run the file Makefile: ./Makefile" },
            { files.find "Makefile" })
    end)

    it("are Lua by a slash or their ending, so that data are not run", function()
        local here = lfs.currentdir()
        local folder = process.temporary_folder()
        for _, path in ipairs { "/train.csv", "/mine.v2.lua", "/own.lua" } do
            assert(io.open(folder .. path, "w")):close()
        end
        assert(lfs.mkdir(folder .. "/old.d"))
        assert(lfs.chdir(folder))
        local found = {}
        for i, name in ipairs { "train.csv", "./train.csv", "mine.v2", "mine.v2.lua", "./mine.v2", "own.lua", "old.d",
            "none.txt", "." } do
            found[i] = { files.find(name) }
        end
        assert(lfs.chdir(here))
        process.run("rm -r " .. process.quote(folder))
        local rule = ": a name without a slash is run as Lua only if it ends in .lua; if it is Lua: ./"
        assert.are.same({
            { nil, "train.csv" .. rule .. "train.csv; data are named by a setting of a recipe, as --train-file "
                .. "train.csv" },
            { "./train.csv" }, { nil, "mine.v2" .. rule .. "mine.v2.lua" }, { "mine.v2.lua" }, { "./mine.v2.lua" },
            { "own.lua" }, { nil, "old.d is a folder, expected a Lua file" },
            { nil, "no file and no recipe is called none.txt" }, { nil, ". is a folder, expected a Lua file" } }, found)
        assert.are.same({ nil, "no file and no recipe is called demo.lau; did you mean demo?" },
            { files.find "demo.lau" })
    end)

    it("that lie in the current folder under a recipe's name are told of", function()
        local here = lfs.currentdir()
        local folder = process.temporary_folder()
        local host = require("bertlua.prompt.commands").root()
        assert.are.equal(".", host)
        assert(lfs.mkdir(folder .. "/recipes"))
        for _, path in ipairs { "/recipes/demo.lua", "/demo.lua", "/own.lua" } do
            assert(io.open(folder .. path, "w")):close()
        end
        assert(lfs.chdir(folder))
        local found = { { files.find "demo" }, { files.find "own" } }
        os.remove "demo.lua"
        assert(lfs.link("recipes/demo.lua", "demo.lua"))
        found[3] = { files.find "demo" }
        assert(lfs.chdir(here))
        process.run("rm -r " .. process.quote(folder))
        assert.are.same({ { "./recipes/demo.lua", "demo.lua" },
            { nil, "no recipe is called own; to run the file own.lua: ./own.lua" }, { "./recipes/demo.lua" } }, found)
    end)

    it("split words as a shell does", function()
        assert.are.same({ "a", "--b", "c d", "e'f", "", "g h" },
            files.split [[ a  --b "c d" e\'f '' g\ h ]])
        assert.are.same({}, files.split "  ")
        assert.are.same({ nil, "a ' is not closed" }, { files.split "a 'b" })
    end)
end)
