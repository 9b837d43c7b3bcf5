--- What a shell's completion is told, and bash itself.

local commands = require "bertlua.prompt.commands"
local completion = require "bertlua.prompt.completion"
local process = require "spec.support.process"
local recipe_files = require "bertlua.util.recipe_files"

local function texts(...)
    local list, files = completion.candidates { ... }
    local names = {}
    for i, candidate in ipairs(list) do names[i] = candidate[1] end
    return names, files
end

describe("completion", function()
    it("offers commands, recipes and Lua files", function()
        assert.are.same({ { "fill_mask", "finetune_classify", "finetune_embeddings", "finetune_squad",
            "finetune_tokens" }, "lua" }, { texts "fi" })
        assert.are.same({ "fill-mask" }, (texts "fill-"))
        assert.are.same({ "convert", "create_pretraining_data" }, (texts "c"))
        assert.are.same({ {}, "lua" }, { texts "recipes/" })
        assert.are.same({ "--device", "--help", "--version" }, (function()
            local names = texts "--"
            table.sort(names)
            return names
        end)())
    end)

    it("knows what stands in front of a name", function()
        assert.are.same({ "cpu", "cuda" }, (texts("--device", "c")))
        assert.are.same({ "tokenize" }, (texts("--device", "cpu", "tok")))
        assert.are.same({ "seal-shards" }, (texts("help", "sea")))
        assert.are.same({}, (texts("help", "seal-shards", "")))
    end)

    it("offers a recipe's settings and what they take", function()
        assert.are.same({ "--device" }, (texts("finetune_classify", "--devi")))
        assert.are.same({ "Lamb", "AdamW", "DistributedFusedLamb" }, (texts("finetune-classify", "--optimizer", "")))
        assert.are.same({ "AdamW" }, (texts("finetune_classify", "--seed", "1", "--optimizer", "A")))
        assert.are.same({ "true" }, (texts("finetune_classify", "--amp", "t")))
        assert.are.same({ "--no-amp" }, (texts("finetune_classify", "--no-am")))
        assert.are.same({ {}, "any" }, { texts("finetune_classify", "--train-file", "da") })
        assert.are.same({}, (texts("finetune_classify", "--seed", "")))
        assert.are.same({ {}, "any" }, { texts("fill_mask", "") })
        assert.are.same({ "from-huggingface", "to-huggingface" }, (texts("convert", "")))
        assert.are.same({ "--input" }, (texts("convert", "from-huggingface", "--inp")))
        assert.are.same({ "--input-dir" }, (texts("seal-shards", "--inp")))
        assert.are.same({ "--help" }, (texts("quantize", "--")))
        assert.are.same({ {}, "any" }, { texts("quantize", "") })
        assert.are.same({}, (texts("doctor", "")))
    end)

    it("never runs a file of someone else", function()
        local path = process.temporary "io.open(os.getenv 'HOME' .. '/ran', 'w') error 'it ran'"
        assert.are.same({ {}, "any" }, { texts(path, "--") })
        os.remove(path)
        -- The path of a recipe is bertlua's own, unless the current folder has another file there.
        assert.are.same({ "--checkpoint" }, (texts("recipes/fill_mask.lua", "--chec")))
    end)

    it("has every setting that --help has, for each recipe, and leaves no trace", function()
        local before = _G.arg
        for _, name in ipairs(recipe_files.names ".") do
            local offered = {}
            for _, option in ipairs((texts(name, "--"))) do offered[option] = true end
            local settings, help = require "bertlua.settings", nil
            settings.inquiry = function(spec)
                help = spec:help(nil, {})
                error({}, 0)
            end
            _G.arg = {}
            pcall(assert(loadfile(recipe_files.find(".", name))))
            settings.inquiry, _G.arg = nil, before
            local count = 0
            for option in assert(help, name):gmatch "\n  (%-%-[%w-]+)" do
                assert.is_true(offered[option], name .. " " .. option)
                count = count + 1
            end
            assert.is_true(count > 0, name)
        end
        assert.is_nil(require("bertlua.settings").inquiry)
        assert.are.equal(before, _G.arg)
    end)

    it("tells what candidates mean, a line each", function()
        local text = completion.text { "doc" }
        assert.are.equal("doctor\tcheck this machine and the installation\n:lua\n", text)
        for line in completion.text({ "pretrain", "--" }):gmatch "[^\n]+" do
            assert.matches("^%-%-[%w-]+\t[^\t]*$", line)
        end
    end)

    local FILES = "cd /tmp && d=$(mktemp -d) && cd $d && touch a.lua b.txt 'c d.lua' && "

    it("works in bash", function()
        local function complete(count, words)
            return process.run(("%sPATH=%s:$PATH bash -c 'source %s/scripts/completion/bertlua.bash; COMP_WORDS=(%s); "
                .. "COMP_CWORD=%d; _bertlua; printf \"%%s\\0\" \"${COMPREPLY[@]}\" | sort -z'; rm -r $d"):format(FILES,
                process.quote(process.bertlua:match "^(.*)/"), process.root, words, count)):gsub("%z", "|")
        end
        assert.are.equal("fill_mask|", (complete(1, "bertlua fill")))
        assert.are.equal("--checkpoint|", (complete(2, "bertlua fill_mask --che")))
        assert.are.equal("./a.lua|", (complete(1, "bertlua ./a")))
        assert.are.equal("a.lua|b.txt|c d.lua|", (complete(3, 'bertlua fill_mask --checkpoint ""')))
    end)

    -- Where these shells are installed: scripts/install_dependencies.sh shells.
    local function shell(name, command, expected)
        it("works in " .. name, function()
            if select(2, process.run("command -v " .. name)) ~= 0 then return pending("no " .. name) end
            local output = process.run(("%sPATH=%s:$PATH %s; rm -r $d"):format(FILES,
                process.quote(process.bertlua:match "^(.*)/"), command:gsub("ROOT", process.root)))
            assert.are.equal(expected, (output:gsub("\t[^\n]*", "")))
        end)
    end
    shell("fish", [[HOME=$d fish --no-config -c 'source ROOT/scripts/completion/bertlua.fish
        complete -C "bertlua fill_mask --che"; complete -C "bertlua fill_mask --checkpoint b"']],
        "--checkpoint\nb.txt\n")
    -- zsh completes only at a terminal: what it would call is looked at.
    shell("zsh", [[zsh -f -c 'words=(bertlua fill_mask --che); CURRENT=3
        _describe() { print -l -- "${(@P)2}" } ; _files() { print files "$@" }
        source ROOT/scripts/completion/_bertlua; words=(bertlua ./x); CURRENT=2; _bertlua' | cut -d: -f1]],
        "--checkpoint\nfiles -g *.lua(-.)\n")

    it("knows a command for each of the table's", function()
        local names = {}
        for _, name in ipairs((texts "")) do names[name] = true end
        for _, name in ipairs(commands.names()) do assert.is_true(names[name], name) end
    end)
end)
