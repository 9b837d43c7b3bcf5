--- What README.md and docs/ tell people to type: it is known to the recipes, and what of the README is quick runs as
-- it stands. Links and names of files lead somewhere.

local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local process = require "spec.support.process"

--- Command lines of a text, continued lines joined, comments left out.
local function commands(text)
    local list = {}
    for line in text:gsub("\\\n%s*", ""):gmatch "[^\n]+" do
        local command = line:match "^    (%$B .*)$" or line:match "^    (bertlua .*)$" or line:match "^    (mpirun .*)$"
            or line:match "^(build/bertlua .*)$"
        if command then list[#list + 1] = command end
    end
    return list
end

--- README.md, CONTRIBUTING.md and the pages of docs/: path to text.
local function pages()
    local texts = {}
    for _, path in ipairs { "README.md", "CONTRIBUTING.md", "SECURITY.md" } do texts[path] = assert(fs.read(path)) end
    for _, name in ipairs(assert(fs.list "docs")) do
        if name:match "%.md$" then texts["docs/" .. name] = assert(fs.read("docs/" .. name)) end
    end
    return texts
end

--- The name by which GitHub knows a heading: "## The life of a batch" is #the-life-of-a-batch.
local function has_heading(text, anchor)
    for heading in ("\n" .. text):gmatch "\n#+ ([^\n]+)" do
        if heading:lower():gsub("[^%w%- ]", ""):gsub(" ", "-") == anchor then return true end
    end
    return false
end

describe("README, CONTRIBUTING and docs", function()
    it("link to pages and headings that exist", function()
        local texts, missing, checked = pages(), {}, 0
        for path, text in pairs(texts) do
            for link in text:gmatch "%]%(([^)]+)%)" do
                if not link:match "^https?:" then
                    local target, anchor = link:match "^([^#]*)#?(.*)$"
                    target = target == "" and path or fs.join(fs.dirname(path), target)
                    target = target:gsub("^%./", ""):gsub("^docs/%.%./", "")
                    local found = fs.is_file(target) and (anchor == "" or has_heading(texts[target], anchor))
                    if not found then missing[#missing + 1] = path .. ": " .. link end
                    checked = checked + 1
                end
            end
        end
        assert.are.same({}, missing)
        assert.is_true(checked > 20)
    end)

    it("name files that exist", function()
        local missing, checked = {}, 0
        for path, text in pairs(pages()) do
            for name in text:gmatch "[%w_/.-]*%w" do
                local room = name:match "^(%l+)/"
                local is_path = room and name:match "%.%w+$" and not name:match "%u%u" and fs.is_directory(room)
                if is_path and room ~= "build" and room ~= "results" and room ~= "data" then
                    if not fs.is_file(name) then missing[#missing + 1] = path .. ": " .. name end
                    checked = checked + 1
                end
            end
        end
        assert.are.same({}, missing)
        assert.is_true(checked > 100, checked)
    end)
end)

describe("README", function()
    local text, list, base

    setup(function()
        text = assert(fs.read "README.md")
        list = commands(text)
        base = process.temporary_folder()
        -- The reader's own checkout.
        for _, name in ipairs { "recipes", "scripts", "bench", "vocab", "bert_configs" } do
            process.run(("ln -s %s/%s %s/%s"):format(process.root, name, base, name))
        end
    end)
    teardown(function() fs.remove(base) end)

    --- Run a command as it stands in the reader's folder.
    local function try(command)
        local output, code = process.run(("cd %s && B=%s\n%s"):format(base, process.quote(process.bertlua), command))
        assert.are.equal(0, code, command .. "\n" .. output)
        return output
    end

    --- The command that contains this; which occurrence.
    local function command_of(part, number)
        for _, command in ipairs(list) do
            if command:find(part, 1, true) then
                number = (number or 1) - 1
                if number == 0 then return command end
            end
        end
        error("README: no command with " .. part)
    end

    it("names scripts that exist and settings that they have", function()
        assert.is_true(#list >= 12, #list .. " commands")
        local small = assert(text:match 'SMALL="(.-)"')
        local help, checked, all = {}, 0, {}
        for path, page in pairs(pages()) do
            if path ~= "CONTRIBUTING.md" then all[#all + 1] = page end
        end
        for _, command in ipairs(commands(table.concat(all, "\n"))) do
            local script = command:match "[%w_/]+%.lua"
            if script then
                assert.is_true(fs.is_file(script), command)
                help[script] = help[script] or process.run_bertlua(script .. " --help")
                for flag in command:gsub("%$SMALL", small):gmatch "%s(%-%-[%w-]+)" do
                    local known = help[script]:find(flag:gsub("%-", "%%-") .. "%s")
                    assert.is_truthy(known, flag .. ": " .. command)
                    checked = checked + 1
                end
            end
        end
        assert.is_true(checked > 20)
    end)

    it("makes shards of text files", function()
        assert(fs.mkdirs(base .. "/text"))
        for i = 1, 12 do
            assert(fs.write(("%s/text/%d.txt"):format(base, i), ("The mill number %d is old. It has a wheel, and the "
                .. "wheel turns. Nobody knows why it is grey.\n\n"):format(i):rep(5)))
        end
        try(command_of("create_pretraining_data.lua", 1))
        try(command_of("create_pretraining_data.lua", 2))
        assert.is_true(fs.is_file(base .. "/data/phase1/corpus_test_0.hdf5"))
        assert.is_true(fs.is_file(base .. "/data/phase2/corpus_training_0.hdf5"))
    end)

    it("prepares a dump", function()
        assert(fs.copy("spec/fixtures/wiki/dump.xml.bz2", base .. "/enwiki-pages-articles.xml.bz2"))
        try(command_of "prepare_corpus.lua")
        for folder in text:gmatch "corpus/hdf5/(seq%d+_pred%d+)" do
            assert.is_true(fs.is_file(("%s/corpus/hdf5/%s/training_0000.hdf5"):format(base, folder)))
        end
    end)

    it("has a recipe that trains", function()
        assert(fs.write(base .. "/recipe.lua", (assert(text:match "```lua\n(.-)```"))))
        assert(fs.copy("vocab/bert-base-uncased-vocab.txt", base .. "/vocab.txt"))
        assert(fs.write(base .. "/my_model.json", json.encode { vocab_size = 30522, hidden_size = 8,
            num_hidden_layers = 1, num_attention_heads = 1, intermediate_size = 8, max_position_embeddings = 512 }))
        local output = try "$B recipe.lua --batch-size 2 --steps-this-run 1 --show-config false --threads 1"
        assert.is_truthy(output:find("checkpoint results/custom/phase1/1", 1, true), output)
    end)

    it("classifies with the model that the recipe trained", function()
        local lines = { "text,label" }
        for i = 1, 8 do lines[i + 1] = i % 2 == 0 and "\"The mill, it is old.\",old" or "The mill is new.,new" end
        for _, name in ipairs { "train.csv", "dev.csv" } do
            assert(fs.write(base .. "/" .. name, table.concat(lines, "\n") .. "\n"))
        end
        local command = command_of("finetune_classify.lua"):gsub("MODEL", "results/custom/phase1/1")
        local output = try(command .. " --show-config false --threads 1")
        assert.is_truthy(output:find("accuracy", 1, true), output)
        assert.is_true(fs.is_file(base .. "/results/predictions.jsonl"))
    end)
end)
