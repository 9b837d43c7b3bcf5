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

    describe("of vocabularies", function()
        local NAME = "bert-base-uncased-vocab.txt"
        local folder
        before_each(function() folder = process.temporary_folder() end)
        after_each(function() process.run("rm -r " .. process.quote(folder)) end)

        local function from_folder(arguments)
            return process.run(("cd %s && %s %s < /dev/null"):format(process.quote(folder),
                process.quote(process.bertlua), arguments))
        end

        it("are what lies there, else bertlua's own by name", function()
            assert.are.equal(ROOT .. "/vocab/" .. NAME, paths.vocabulary(NAME))
            -- From here it is a path as well.
            assert.are.equal("vocab/" .. NAME, paths.vocabulary("vocab/" .. NAME))
            for _, name in ipairs { "nowhere.txt", "README.md", "SHA256SUMS", "elsewhere/" .. NAME, "/" .. NAME,
                "." } do
                assert.are.equal(name, paths.vocabulary(name))
            end
            local code = ("-e 'return bl.paths.vocabulary(\"%s\"), bl.paths.vocabulary(\"vocab/%s\")'"):format(NAME,
                NAME)
            assert.are.equal(("%s/vocab/%s\n%s/vocab/%s\n"):format(ROOT, NAME, ROOT, NAME), (from_folder(code)))
            -- A file of one's own comes first, even one that cannot be read.
            process.run(("ln -s nowhere %s/%s"):format(process.quote(folder), NAME))
            assert.are.equal(("%s\n%s/vocab/%s\n"):format(NAME, ROOT, NAME), (from_folder(code)))
        end)

        it("are refused with the names of bertlua's own", function()
            assert.is_nil(paths.no_vocabulary("vocab/" .. NAME))
            assert.are.equal("spec: is a folder, expected a file", paths.no_vocabulary "spec")
            assert.are.equal("nowhere.txt: no such file, nor one of bertlua's own vocabularies ("
                .. "bert-base-cased-vocab.txt, bert-base-uncased-vocab.txt, "
                .. "bert-large-cased-vocab.txt, bert-large-uncased-vocab.txt)",
                paths.no_vocabulary "nowhere.txt")
        end)

        it("are found by name in every program that takes one", function()
            local output = process.run("grep -rhA1 'name = \"vocab_file\", type' lua")
            local count = select(2, output:gsub('name = "vocab_file", type', ""))
            assert.is_true(count >= 9)
            assert.are.equal(count, select(2, output:gsub("find = paths%.vocabulary", "")), output)
        end)

        it("are refused alike by programs, from any folder", function()
            process.run(("echo 'Some words.' > %s/text.txt"):format(process.quote(folder)))
            process.run(("printf 'text,label\\none,a\\ntwo,b\\n' > %s/train.csv"):format(process.quote(folder)))
            local config = process.quote(ROOT .. "/spec/fixtures/bert_tiny.json")
            for _, command in ipairs {
                "tokenize", "create_pretraining_data --input-files text.txt --output-dir out",
                "prepare_corpus --variant corpus --corpus-dir . --output-dir out --stages hdf5",
                "finetune_classify --train-file train.csv --show-config false --threads 1 --bert-model "
                    .. "bert-base-uncased",
                "pretrain_phase1 --show-config false --threads 1 --input-dir . --bert-model custom --config-file "
                    .. config,
            } do
                local output, code = from_folder(command .. " --vocab-file nowhere.txt")
                assert.are.equal(1, code)
                assert.matches("^bertlua: %-%-vocab%-file nowhere%.txt: no such file, nor one of bertlua's own "
                    .. "vocabularies %(bert%-base%-cased%-vocab%.txt, ", output, nil, command)
            end
            for _, command in ipairs { "tokenize",
                "create_pretraining_data --input-files text.txt --output-dir out" } do
                local output, code = from_folder(command .. " --vocab-file " .. NAME)
                assert.are.equal(0, code, output)
            end
        end)
    end)

    it("refuse a kind of file that there is not", function()
        fails_here("paths: kind is shard, expected recipe, config, vocab or lua",
            function() paths.find("shard", "x") end)
    end)
end)
