--- The job behind recipes/create_pretraining_data.lua: settings in, shards and a summary out.

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local job = require "bertlua.jobs.corpus.create_pretraining_data"
local loader = require "bertlua.data.loader"

describe("create_pretraining_data", function()
    local folder

    setup(function()
        folder = assert(fs.temporary_folder("recipe_spec"))
        local vocabulary = { "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "##s" }
        for letter in ("abcdefghijklmnopqrstuvwxyz"):gmatch "." do vocabulary[#vocabulary + 1] = letter end
        for _, word in ipairs { "the", "goat", "eats", "grass", "file", "is", "read" } do
            vocabulary[#vocabulary + 1] = word
        end
        assert(fs.write(folder .. "/vocab.txt", table.concat(vocabulary, "\n") .. "\n"))
        assert(fs.mkdirs(folder .. "/prose"))
        local paragraph = "The goat eats grass. A file is read. The goat is a goat."
        for i = 1, 4 do
            assert(fs.write(("%s/prose/%d.txt"):format(folder, i), (paragraph .. "\n"):rep(5)))
        end
    end)

    teardown(function()
        fs.remove(folder)
    end)

    --- Run with the arguments of a command line; returns the summary and what was printed.
    local function run(...)
        local values = job.settings:parse({ ... }, { vocab_file = folder .. "/vocab.txt", shards = 2 })
        local printed = {}
        local summary = job.run(values, function(text) printed[#printed + 1] = text end)
        return summary, table.concat(printed)
    end

    it("splits prose, writes shards and says how many", function()
        local out = folder .. "/out"
        local summary, text = run("--text-form", "prose", "--input-dir", folder .. "/prose", "--output-dir", out,
            "--max-seq-length", "32", "--max-predictions-per-seq", "5", "--dupe-factor", "2", "--test-share", "0.5")
        assert.are.equal(4, summary.documents)
        assert.are.equal(60, summary.sentences)
        assert.are.equal(1, summary.test_shards)
        assert.is_truthy(text:find("instances   " .. summary.instances, 1, true), text)
        assert.is_truthy(text:find("%d MB/s"))
        assert.are.equal(60, select(2, fs.read(out .. "/sentences/1.txt"):gsub("%.\n", "")) * 4)
        local reader = loader.open { input_dir = out, split = "all", batch_size = 4, max_seq_length = 32,
            max_predictions_per_seq = 5, vocab_size = 40 }
        assert.are.equal(summary.instances, reader.samples)
        assert.are.equal(4, reader:batch(0).batch_size)
        reader:close()
    end)

    it("ties shards to their vocabulary", function()
        local out = folder .. "/tied"
        run("--input-dir", folder .. "/prose", "--output-dir", out, "--max-seq-length", "32",
            "--max-predictions-per-seq", "5")
        loader.open({ input_dir = out, batch_size = 2, vocab_file = folder .. "/vocab.txt" }):close()
        assert(fs.write(folder .. "/other.txt", assert(fs.read(folder .. "/vocab.txt")) .. "more\n"))
        local good, problem = pcall(loader.open, { input_dir = out, batch_size = 2,
            vocab_file = folder .. "/other.txt" })
        assert.is_false(good)
        assert.is_true(fault.is(problem))
        assert.is_truthy(tostring(problem):find("made with a vocabulary with sha256", 1, true), tostring(problem))
    end)

    it("warns of shards with one document", function()
        local _, text = run("--input-files", folder .. "/prose/1.txt", "--shards", "1", "--output-dir",
            folder .. "/lone", "--max-seq-length", "32", "--max-predictions-per-seq", "5")
        assert.is_truthy(text:find("warning: the whole text is one document, so all next_sentence_labels are 0: put "
            .. "blank lines between documents, or, if each line is a document, use --text-form prose --border "
            .. "line\n", 1, true), text)
        _, text = run("--text-form", "prose", "--input-dir", folder .. "/prose", "--shards", "3", "--output-dir",
            folder .. "/few", "--max-seq-length", "32", "--max-predictions-per-seq", "5")
        assert.is_truthy(text:find("warning: shards with only one document: 2 of 3; their samples never have a random "
            .. "next sentence: name --border line, blank, heading or none, or use fewer shards\n", 1, true), text)
        assert.is_truthy(text:find("warning: 3 of 4 documents are copies of others: remove them", 1, true), text)
    end)

    it("makes each line a document on request", function()
        local summary = run("--text-form", "prose", "--border", "line", "--input-dir", folder .. "/prose",
            "--output-dir", folder .. "/lines", "--max-seq-length", "32", "--max-predictions-per-seq", "5")
        assert.are.same({ 20, 60 }, { summary.documents, summary.sentences })
        assert.error_matches(function()
            run("--border", "line", "--input-dir", folder .. "/prose", "--output-dir", folder .. "/y")
        end, "^border is for %-%-text%-form prose")
    end)

    it("reads compressed files, other encodings and records, and says what they are", function()
        local base = folder .. "/kinds"
        assert(fs.mkdirs(base .. "/AA"))
        assert(fs.write(base .. "/AA/wiki_00", '<doc id="1" url="u" title="Goat">\nGoat\n\nThe goat eats. It is.\n'
            .. '</doc>\n<doc id="2" url="u" title="File">\nFile\n\nA file is read.\n</doc>\n'))
        local common = { "--max-seq-length", "32", "--max-predictions-per-seq", "5", "--output-dir", base .. "/out",
            "--overwrite" }
        local summary, text = run("--input-dir", base, unpack(common))
        assert.are.same({ 2, 3 }, { summary.documents, summary.sentences })
        assert.is_truthy(text:find("^input       1 file: WikiExtractor's output\ntext        1 file as UTF%-8, split "
            .. "into 3 sentences, in .-/sentences\n"), text)
        assert(fs.write(base .. "/a.jsonl", "\255\254" .. ('{"body": "A goat."}\n\n{"body": ""}\n{"body": "A file."}')
            :gsub(".", "%0\0")))
        assert(fs.write(base .. "/b.md", "not read"))
        summary, text = run("--input-dir", base, "--text-field", "body", unpack(common))
        assert.are.equal(2, summary.documents)
        assert.is_truthy(text:find("input       1 file: UTF-16LE by its byte order mark, JSON lines\n", 1, true), text)
        assert.is_truthy(text:find("note: without text, left out: 1 record\n", 1, true), text)
        assert.is_truthy(text:find("note: 1 other file in " .. base .. " not read: only text is", 1, true), text)
        assert(fs.write(base .. "/c.txt", "The g\246at.\n\nA file.\n"))
        local file = { "--input-files", base .. "/c.txt", unpack(common) }
        summary, text = run("--invalid-utf8", "replace", unpack(file))
        assert.are.equal(2, summary.documents)
        assert.is_truthy(text:find("warning: invalid UTF-8: 1 byte replaced by U+FFFD\n", 1, true), text)
        assert.are.equal("The g\239\191\189at.\n\nA file.\n", fs.read(base .. "/out/sentences/c.txt"))
        run("--encoding", "latin1", unpack(file))
        assert.are.equal("The göat.\n\nA file.\n", fs.read(base .. "/out/sentences/c.txt"))
        assert.is_false((pcall(run, unpack(file))))
    end)

    it("uses only this run's texts, each of them", function()
        local base = folder .. "/runs"
        for _, name in ipairs { "a", "b" } do assert(fs.mkdirs(base .. "/" .. name)) end
        assert(fs.write(base .. "/a/t.txt", "The goat eats.\n"))
        assert(fs.write(base .. "/b/t.txt", "A file is read. It is the file.\n"))
        local files = ("%s/a/t.txt,%s/b/t.txt"):format(base, base)
        local common = { "--text-form", "prose", "--max-seq-length", "32", "--max-predictions-per-seq", "5",
            "--output-dir", base .. "/out" }
        assert.is_false((pcall(run, "--input-files", files, "--shards", "9", unpack(common))))
        local summary = run("--input-files", base .. "/b/t.txt", "--shards", "1", unpack(common))
        assert.are.same({ 1, 2 }, { summary.documents, summary.sentences })
        assert.are.same({ ".files", "t.txt" }, fs.list(base .. "/out/sentences"))
        summary = run("--input-files", files, "--overwrite", unpack(common))
        assert.are.same({ 2, 3 }, { summary.documents, summary.sentences })
    end)

    it("looks at the vocabulary and the output before it splits anything", function()
        local base = folder .. "/early"
        assert(fs.mkdirs(base))
        assert(fs.write(base .. "/vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\ngoat\n"))
        local function refused(message, ...)
            local good, problem = pcall(run, "--text-form", "prose", "--input-dir", folder .. "/prose", ...)
            assert.is_true(not good and fault.is(problem))
            assert.is_truthy(tostring(problem):find(message, 1, true), tostring(problem))
        end
        refused("none.txt", "--vocab-file", base .. "/none.txt", "--output-dir", base .. "/out")
        refused("[MASK]", "--vocab-file", base .. "/vocab.txt", "--output-dir", base .. "/out")
        refused("max_predictions_per_seq 40 exceeds", "--output-dir", base .. "/out", "--max-seq-length", "32",
            "--max-predictions-per-seq", "40")
        refused("encoding latin-foo is not known", "--output-dir", base .. "/out", "--encoding", "latin-foo")
        assert.is_false(fs.exists(base .. "/out"))
        assert(fs.mkdirs(base .. "/old"))
        assert(fs.write(base .. "/old/corpus_training_0.hdf5", "shard"))
        refused("already contains shards", "--output-dir", base .. "/old")
        assert.are.same({ "corpus_training_0.hdf5" }, fs.list(base .. "/old"))
    end)

    it("answers bad input with one line", function()
        for message, arguments in pairs {
            ["no such folder"] = { "--input-dir", folder .. "/none", "--output-dir", folder .. "/x" },
            ["no text given"] = { "--output-dir", folder .. "/x", "--text-form", "prose" },
            ["output_dir is not set"] = { "--input-dir", folder .. "/prose" },
            ["did you mean --max-seq-length"] = { "--max-seq-lenght", "128" },
            ["none.txt"] = { "--input-dir", folder .. "/prose", "--output-dir", folder .. "/x",
                "--vocab-file", folder .. "/none.txt" },
        } do
            local good, problem = pcall(run, unpack(arguments))
            assert.is_false(good)
            assert.is_true(fault.is(problem), tostring(problem))
            assert.is_truthy(tostring(problem):find(message, 1, true), tostring(problem))
        end
    end)
end)
