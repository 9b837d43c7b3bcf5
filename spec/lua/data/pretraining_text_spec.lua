--- Any texts as files of sentences: what is used as it stands, what is copied, and that only one run's texts are there.

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local pretraining_text = require "bertlua.data.pretraining_text"
local process = require "spec.support.process"

describe("pretraining_text", function()
    local folder, out
    before_each(function()
        folder = process.temporary_folder()
        out = folder .. "/out/sentences"
    end)
    after_each(function() fs.remove(folder) end)

    local function write(name, content)
        local path = fs.join(folder, name)
        assert(fs.mkdirs(fs.dirname(path)))
        assert(fs.write(path, content))
        return path
    end

    local function prepare(files, form, change)
        local options = { files = files, form = form, locale = "en@ss=standard", invalid_utf8 = "error",
            text_field = "text", folder = out }
        for key, value in pairs(change or {}) do options[key] = value end
        local ready, summary = pretraining_text.prepare(options)
        local texts = {}
        for i, path in ipairs(ready) do texts[i] = fs.read(path) end
        return texts, summary, ready
    end

    it("uses UTF-8 sentences as they stand", function()
        local path = write("a.txt", "One.\nTwo.\n\nThree é.\n")
        local _, summary, ready = prepare({ path }, "auto")
        assert.are.same({ path }, ready)
        assert.are.equal(0, summary.copied)
        assert.is_false(fs.exists(out))
    end)

    it("splits prose by the rules of the locale", function()
        local path = write("a.txt", "А. С. Пушкин родился в 1799 г. в Москве. Он умер в 1837 г. Потом была война.\n")
        assert.are.same({ "А. С. Пушкин родился в 1799 г. в Москве.\nОн умер в 1837 г.\nПотом была война.\n\n" },
            (prepare({ path }, "prose", { locale = "ru" })))
    end)

    it("copies what is not UTF-8, or has bytes to replace", function()
        local texts, summary = prepare({ write("a.txt", "\255\254a\0\n\0"), write("b.txt", "b\n"),
            write("c.txt", "c\255\n") }, "sentences", { invalid_utf8 = "replace" })
        assert.are.same({ "a\n", "b\n", "c\239\191\189\n" }, texts)
        assert.are.same({ 2, 0, 1, { "UTF-16LE by its byte order mark", false, false } },
            { summary.copied, summary.split, summary.replaced, summary.kinds })
        texts = prepare({ write("a.txt", "\233t\233.\n") }, "auto", { encoding = "windows-1252" })
        assert.are.same({ "été.\n" }, texts)
        local good, problem = pcall(prepare, { write("b.txt", "fine\n"), write("a.txt", "\233t\233 and more\n") },
            "auto")
        assert.is_true(not good and fault.is(problem))
        assert.is_truthy(tostring(problem):find("a.txt: byte 0: invalid UTF-8 (0xe9); name the file's", 1, true))
    end)

    it("splits records into sentences, and prose where it is named", function()
        local records = write("a.jsonl", '{"text": "One. Two."}\n{"text": ""}\n{"text": "Three."}\n')
        local doc = write("wiki_00", '<doc id="1" url="u" title="A">\nA\n\nFour. Five.\n</doc>\n')
        local plain = write("b.txt", "Six. Seven.\n\nEight.\n")
        local texts, summary = prepare({ records, doc, plain }, "auto")
        assert.are.same({ "One.\nTwo.\n\nThree.\n\n", "Four.\nFive.\n\n", "Six. Seven.\n\nEight.\n" }, texts)
        assert.are.same({ 2, 2, 3, 5, 1 }, { summary.copied, summary.split, summary.documents, summary.sentences,
            summary.empty })
        texts = prepare({ records, plain }, "prose")
        assert.are.same({ "One.\nTwo.\n\nThree.\n\n", "Six.\nSeven.\nEight.\n\n" }, texts)
        texts = prepare({ plain }, "prose")
        assert.are.same({ "Six.\nSeven.\n\nEight.\n\n" }, texts)
        texts = prepare({ plain }, "prose", { border = "none" })
        assert.are.same({ "Six.\nSeven.\nEight.\n\n" }, texts)
        -- Here the lines of a record are sentences already.
        texts = prepare({ write("c.jsonl", '{"text": "No end\\nof A. B.\\n"}') }, "sentences")
        assert.are.same({ "No end\nof A. B.\n\n" }, texts)
        assert.has_error(function() prepare({ plain }, "poems") end)
    end)

    it("gives files of one name a copy each", function()
        local files = { write("a/t.txt", "One."), write("b/t.txt", "Two."), write("c/t.txt.gz", "Three."),
            write("t.jsonl", '{"text": "Four."}'), write("t-2.txt", "Five.") }
        local texts, _, ready = prepare(files, "prose")
        assert.are.same({ "One.\n\n", "Two.\n\n", "Three.\n\n", "Four.\n\n", "Five.\n\n" }, texts)
        for i, path in ipairs(ready) do ready[i] = fs.basename(path) end
        assert.are.same({ "t.txt", "t-2.txt", "t-3.txt", "t-4.txt", "t-2-2.txt" }, ready)
    end)

    it("removes the copies of the run before, and nothing else", function()
        prepare({ write("one.txt", "One."), write("two.txt", "Two.") }, "prose")
        assert(fs.write(out .. "/mine.txt", "mine"))
        assert(fs.write(out .. "/.files", fs.read(out .. "/.files") .. "../../one.txt\n"))
        prepare({ folder .. "/two.txt" }, "prose")
        assert.are.same({ ".files", "mine.txt", "two.txt" }, fs.list(out))
        assert.is_true(fs.exists(folder .. "/one.txt"))
        local good, problem = pcall(prepare, { out .. "/two.txt" }, "prose")
        assert.is_true(not good and fault.is(problem))
        assert.is_truthy(tostring(problem):find("lies in the folder that this run writes its sentences to", 1, true))
        assert.are.equal("Two.\n\n", fs.read(out .. "/two.txt"))
        -- Sentences of an earlier run may be the input as they stand.
        assert.are.same({ "Two.\n\n" }, (prepare({ out .. "/two.txt" }, "sentences")))
    end)

    it("reports how far it is", function()
        local done, all = 0, 0
        prepare({ write("a.txt", "One.\n"), write("b.txt", "Two \255.\n") }, "sentences", { invalid_utf8 = "replace",
            on_progress = function(more, total) done, all = done + more, total end })
        assert.are.equal(12, all)
        assert.are.equal(12, done)
    end)
end)
