--- The demonstration, small: every stage, running again, other settings, bad corpora.

local fs = require "bertlua.util.fs"
local pretraining = require "spec.support.pretraining"

local SUBJECTS = { "the engine", "a small program", "every user", "the old machine", "our tape drive", "this compiler" }
local VERBS = { "reads", "writes", "forgets", "repairs", "prints", "follows" }
local OBJECTS = { "a long line", "the broken file", "some numbers", "the manual", "an empty page", "its own code" }

--- A folder with one text of many short paragraphs.
local function corpus_folder(dir, bytes)
    local parts, size, n = {}, 0, 0
    while size < bytes do
        n = n + 1
        local words = {}
        for i = 1, 3 do
            words[i] = ("%s %s %s, and %s %s %s again."):format(SUBJECTS[(n + i) % 6 + 1], VERBS[(n * i) % 6 + 1],
                OBJECTS[(n * n + i) % 6 + 1], SUBJECTS[(n * 5 + i) % 6 + 1], VERBS[(n + 2 * i) % 6 + 1],
                OBJECTS[(n * 3 + i) % 6 + 1])
            words[i] = words[i]:gsub("^%l", string.upper)
        end
        parts[n] = table.concat(words, " ") .. "\n\n"
        size = size + #parts[n]
    end
    assert(fs.mkdirs(dir))
    assert(fs.write(dir .. "/text.txt", table.concat(parts)))
    return dir
end

describe("demo", function()
    local dir
    setup(function() dir = assert(fs.temporary_folder "bertlua-demo") end)
    teardown(function() assert(fs.remove(dir)) end)

    -- @param more options, which replace those of the same names
    local function demo(corpus, more)
        local usual = (" --output-dir %s/out --vocab-size 500 --hidden-size 16 --num-attention-heads 2 "
            .. "--num-hidden-layers 1 --phase1-steps 12 --phase2-steps 4 --threads 1"):format(dir)
        for name in (more or ""):gmatch "%-%-([%w-]+)" do
            usual = usual:gsub(" %-%-" .. name:gsub("%-", "%%-") .. " %S+", "")
        end
        return pretraining.shell(("%s recipes/demo.lua --corpus '%s'%s %s"):format(pretraining.BINARY, corpus, usual,
            more or ""))
    end

    it("goes from text to guesses, and repeats them without training", function()
        local corpus = corpus_folder(dir .. "/corpus", 120000)
        local code, output = demo(corpus)
        assert.are.equal(0, code, output)
        for number = 1, 5 do assert.is_truthy(output:find(("\n[%d/5] "):format(number), 1, true), output) end
        assert.matches("pre%-training loss", output)
        assert.matches("phase 1  MLM +%d+%.%d %%", output)
        assert.matches("phase 2  MLM +%d+%.%d %%", output)
        assert.matches("%[MASK%].-\n +%S+ %d+%.%d %%", output)
        assert.matches("^<svg", assert(fs.read(dir .. "/out/loss.svg")):match "<svg.*")
        for _, phase in ipairs { "phase1", "phase2" } do
            assert.is_true(fs.exists(("%s/out/custom/%s"):format(dir, phase)))
        end
        local again
        code, again = demo(corpus)
        assert.are.equal(0, code, again)
        assert.matches("phase1/12: all 12 steps are done", again)
        assert.matches("phase2/4: all 4 steps are done", again)
        assert.are.equal(output:match "Accuracy on.*", again:match "Accuracy on.*")

        -- What others keep there, also beside the checkpoints, which are models for other recipes.
        assert(fs.mkdirs(dir .. "/out/bank"))
        for _, name in ipairs { "/out/notes.txt", "/out/bank/model", "/out/custom/phase2/notes.txt" } do
            assert(fs.write(dir .. name, "mine"))
        end
        code, again = demo(corpus, "--phase1-steps 2 --phase2-steps 2 --seed 7")
        assert.are.equal(1, code, again)
        assert.are.equal(("bertlua: --output-dir %s/out: holds a demo of another text or other settings ("
            .. "phase1_steps 12, now 2; phase2_steps 4, now 2; seed 42, now 7): add --restart, which removes what "
            .. "that demo wrote there, or choose another folder\n"):format(dir), again)
        assert.is_true(fs.exists(dir .. "/out/custom/phase1/12/model.safetensors"))
        code, again = demo(corpus, "--phase1-steps 2 --phase2-steps 2 --restart")
        assert.are.equal(0, code, again)
        assert.is_truthy(again:gsub("\n *", " "):find(("restart: removed what the demo had written in "
            .. "%s/out; what it had not written stays: bank, custom/phase2/notes.txt, notes.txt"):format(dir), 1, true),
            again)
        assert.is_true(fs.exists(dir .. "/out/custom/phase1/2"))
        assert.is_false(fs.exists(dir .. "/out/custom/phase1/12"))
        for _, name in ipairs { "/out/notes.txt", "/out/bank/model", "/out/custom/phase2/notes.txt" } do
            assert.are.equal("mine", assert(fs.read(dir .. name)))
        end
    end)

    --- A command of the demo with its outputs in another folder; text and config are still the demo's.
    local function elsewhere(command)
        local root = (dir .. "/out"):gsub("%p", "%%%0")
        return (command:gsub(root .. "/(%l+)", function(name)
            return dir .. ((name == "text" or name == "config") and "/out/" or "/hand/") .. name
        end):gsub("%-%-output%-dir " .. root, "--output-dir " .. dir .. "/hand"))
    end

    it("prints commands that work by hand", function()
        local output = select(2, demo(corpus_folder(dir .. "/corpus", 120000),
            "--phase1-steps 2 --phase2-steps 2 --restart"))
        local commands = {}
        output = output:gsub("\\\n *", "")
        for command in output:gmatch "by hand: bertlua ([^\n]+)" do commands[#commands + 1] = command end
        assert.are.equal(4, #commands)
        assert(fs.mkdirs(dir .. "/hand"))
        for i, command in ipairs(commands) do
            local code, text = pretraining.shell(pretraining.BINARY .. " " .. elsewhere(command))
            assert.are.equal(0, code, i .. ": " .. text)
        end
        local function parameters(root)
            return assert(fs.read(dir .. root .. "/custom/phase2/2/model.safetensors"))
        end
        assert.is_true(parameters "/out" == parameters "/hand")
    end)

    it("refuses a bad corpus with one line", function()
        assert(fs.mkdirs(dir .. "/empty"))
        local cases = {
            { "/no/such/folder", "corpus /no/such/folder: no such folder" },
            { dir .. "/empty", "empty: contains no .txt files" },
            { corpus_folder(dir .. "/short", 2000), "short: %d+ documents with %d+ bytes of text, expected at least" },
        }
        for _, case in ipairs(cases) do
            local code, output = demo(case[1])
            assert.are.equal(1, code)
            assert.matches("^bertlua: .*" .. case[2], output)
            assert.matches("^[^\n]+\n$", output)
        end
    end)

    it("leaves alone a folder that it did not create", function()
        local corpus = corpus_folder(dir .. "/corpus", 120000)
        assert(fs.mkdirs(dir .. "/mine"))
        assert(fs.write(dir .. "/mine/thesis.txt", "precious"))
        local code, output = demo(corpus, "--output-dir " .. dir .. "/mine")
        assert.are.equal(1, code)
        assert.matches("not empty, and not made by the demo", output)
        assert.are.same({ "thesis.txt" }, fs.list(dir .. "/mine"))
    end)
end)
