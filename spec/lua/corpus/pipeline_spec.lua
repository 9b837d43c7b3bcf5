--- The stages one after the other on a folder of text: the same command again after its sources, settings or results
-- have changed, and what is told of a corpus from which little can be learned.

local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local lfs = require "lfs"
local prepare = require "bertlua.jobs.corpus.prepare"

describe("the preparation of a folder of text", function()
    local base, texts, vocabulary

    setup(function()
        vocabulary = assert(fs.temporary_folder()) .. "/vocab.txt"
        local tokens = { "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "the", "mill", "wheel", "turns", "is" }
        for letter in ("abcdefghijklmnopqrstuvwxyz0123456789"):gmatch "." do
            tokens[#tokens + 1] = letter
            tokens[#tokens + 1] = "##" .. letter
        end
        assert(fs.write(vocabulary, table.concat(tokens, "\n") .. "\n"))
    end)
    teardown(function() fs.remove(fs.dirname(vocabulary)) end)

    local function write(name, text)
        assert(fs.write(fs.join(texts, name), text))
    end

    local function text_of(name)
        local lines = {}
        for i = 1, 6 do lines[i] = ("The mill of %s is old. Its wheel %d turns."):format(name, i) end
        return table.concat(lines, "\n\n") .. "\n"
    end

    before_each(function()
        base = assert(fs.temporary_folder())
        texts = base .. "/texts"
        assert(fs.mkdirs(texts))
        for _, name in ipairs { "b", "c", "d" } do write(name .. ".txt", text_of(name)) end
    end)
    after_each(function() fs.remove(base) end)

    --- Run with more arguments; what went to standard output and error, names of folders left out.
    local function run(...)
        local values, given = prepare.settings:parse({ ... }, {
            variant = "corpus", corpus_dir = texts, output_dir = base .. "/out", vocab_file = vocabulary, sets = "32:5",
            dupe_factor = 1, num_workers = 1, test_share = 0,
        })
        local said, warned, stdout, stderr = {}, {}, io.stdout, io.stderr
        local function capture(list)
            return { write = function(_, text) list[#list + 1] = text end, flush = function() end }
        end
        io.stdout, io.stderr = capture(said), capture(warned) -- luacheck: ignore 122
        local ok, problem = pcall(prepare.run, values, given)
        io.stdout, io.stderr = stdout, stderr -- luacheck: ignore 122
        if not ok then error(problem, 0) end
        local function clean(list)
            local lines = {}
            for line in table.concat(list):gmatch "[^\r\n]+" do
                line = line:gsub(base:gsub("%p", "%%%0") .. "/", "")
                if not line:find "100%%" then lines[#lines + 1] = line .. "\n" end
            end
            return table.concat(lines)
        end
        return clean(said), clean(warned)
    end

    local function has(text, wanted) assert.is_truthy(text:find(wanted, 1, true), text) end

    --- The stages that were made again, with their reasons.
    local function again(said)
        local list = {}
        for name, reason in said:gmatch "(%w+) +made again: ([^\n]+)" do list[#list + 1] = name .. ": " .. reason end
        return list
    end

    local LATER = { "sentences: 1 of its 1 input file changed", "shard: 1 of its 1 input file changed",
        "hdf5: 1 of its 1 input file changed" }

    local function after_change(first)
        return { "extract: sources " .. first, unpack(LATER) }
    end

    it("does nothing again if nothing but times has changed", function()
        run()
        lfs.touch(texts .. "/c.txt", 1e9, 1e9)
        local said = run()
        assert.are.same({}, again(said))
        has(said, "all match the manifest\nextract")
        has(said, "1 of 1 parts were already done")
    end)

    it("reads changed, new and renamed sources again, leaves out those that are gone, and says so", function()
        run()
        local path = texts .. "/c.txt"
        write("c.txt", text_of "c" .. "One more sentence.\n")
        local said = run()
        has(said, "all match the manifest but 1 changed source\n")
        assert.are.same(after_change "changed: texts/c.txt", again(said))
        has(assert(fs.read(base .. "/out/text/corpus-00000.txt")), "One more sentence.")
        -- The same size and modification time: only the bytes tell.
        local is = lfs.attributes(path)
        write("c.txt", (text_of "c" .. "One more sentence.\n"):gsub("more", "MORE"))
        lfs.touch(path, is.access, is.modification)
        assert.are.same(after_change "changed: texts/c.txt", again((run())))
        write("e.txt", text_of "e")
        assert.are.same(after_change "new: texts/e.txt", again((run())))
        assert(fs.rename(texts .. "/b.txt", texts .. "/z.txt"))
        assert.are.same(after_change "renamed: texts/b.txt, now texts/z.txt", again((run())))
        assert(fs.remove(texts .. "/e.txt"))
        assert.are.same(after_change "gone: texts/e.txt", again((run())))
        -- The manifest is that of a first run.
        local manifest = base .. "/out/manifest.json"
        local text = assert(fs.read(manifest))
        assert(fs.remove(base .. "/out"))
        run()
        assert.are.equal(text, fs.read(manifest))
    end)

    it("only renames sources in the manifest whose order stays", function()
        run()
        assert(fs.rename(texts .. "/b.txt", texts .. "/bb.txt"))
        local said = run()
        assert.are.same({}, again(said))
        has(said, "extract    sources renamed: texts/b.txt, now texts/bb.txt: with the same text\n")
        local manifest = assert(json.read(base .. "/out/manifest.json"))
        assert.are.equal(texts .. "/bb.txt", manifest.sources[1].path)
        assert.are.equal(texts .. "/bb.txt", manifest.stages.extract.files[1].source)
        run("--stages", "verify")
    end)

    it("makes stages again whose settings changed, and what follows from them", function()
        run()
        assert.are.same({ "hdf5: sets \"64:9\" instead of \"32:5\"" }, again((run("--sets", "64:9"))))
        local said = again((run("--shards", "2", "--sets", "64:9")))
        assert.are.same({ "shard: shards 2 instead of 0", "hdf5: 2 of its 2 input files changed" }, said)
        -- Sentences that are the same change nothing after them.
        assert.are.same({ 'sentences: language "de" instead of "en"' },
            again((run("--language", "de", "--shards", "2", "--sets", "64:9"))))
        assert(fs.write(vocabulary, assert(fs.read(vocabulary)) .. "more\n"))
        assert.are.same({ "hdf5: another vocabulary" },
            again((run("--language", "de", "--shards", "2", "--sets", "64:9"))))
    end)

    it("tells damaged results from changed sources, and makes missing ones again", function()
        run()
        local path = base .. "/out/text/corpus-00000.txt"
        local text = assert(fs.read(path))
        assert(fs.write(path, (text:gsub("mill", "milk"))))
        assert.error_matches(run, "text/corpus%-00000.txt: SHA%-256 is .*: it was changed or damaged: remove it, and "
            .. "stage extract makes it again$")
        assert(fs.remove(path))
        local said = run()
        has(said, "but 1 missing file, to be made again (out/text/corpus-00000.txt)")
        assert.are.equal(text, fs.read(path))
        assert.are.same({}, again(said))
        -- A source that changed behind the last run is not damage of the corpus, but it is told.
        write("c.txt", text_of "cc")
        assert.error_matches(function() run("--stages", "verify") end,
            "texts/c.txt: has .*: it is another file than the one that was read, or damaged: run the stages again")
    end)

    it("goes on after it was stopped in the middle of making a stage again", function()
        run()
        write("c.txt", "\255\n")
        assert.error_matches(run, "texts/c.txt: byte 0: invalid UTF%-8")
        write("c.txt", text_of "cc")
        run()
        run("--stages", "verify")
    end)

    it("names files of an earlier run that training would read", function()
        run("--shards", "3")
        assert(fs.remove(base .. "/out/.state"))
        local _, warned = run("--shards", "2")
        has(warned, "warning: hdf5: not made by this run, but in its folder: out/hdf5/seq32_pred5/training_0002.hdf5; ")
        has(warned, "warning: shard: not made by this run, but in its folder: out/shards/training_0002.txt; ")
    end)

    it("warns of one article a line, and reads it as such on request", function()
        for _, name in ipairs { "b", "c", "d" } do assert(fs.remove(("%s/%s.txt"):format(texts, name))) end
        local lines = {}
        for i = 1, 20 do lines[i] = ("Mill %d is old. Its wheel turns. It grinds flour."):format(i) end
        write("articles.txt", table.concat(lines, "\n") .. "\n")
        local _, warned = run()
        has(warned, "warning: the whole text is one document, so all next_sentence_labels are 0: is --border auto "
            .. "right? (line: each line is a document;")
        local said
        said, warned = run("--border", "line")
        has(said, 'made again: border "line" instead of "auto"')
        has(said, "60 sentences in 20 documents")
        assert.are.equal("", warned)
    end)

    it("says which characters a vocabulary leaves out, and takes more on request", function()
        local lines = {}
        for i = 1, 30 do lines[i] = ("The mill number %d turns %s.\n\n"):format(i, string.char(0xc3, 0x9f + i)) end
        write("letters.txt", table.concat(lines))
        local function learn(...)
            local _, warned = run("--stages", "extract,sentences,shard,vocab", "--vocab-size", "400",
                "--do-lower-case", "false", ...)
            return warned
        end
        assert.matches("warning: vocab: %d+ words %([%d.]+ %%%) have a character outside the alphabet of 20 of %d+ "
            .. "characters and become %[UNK%]; a larger alphabet_limit keeps them", learn("--alphabet-limit", "20"))
        assert.is_nil(learn():find("UNK", 1, true))
    end)

    it("tells of files without text", function()
        write("a.txt", "")
        write("e.txt", "\n \n")
        write("notes.md", "Not read.")
        local said = run()
        has(said, "extract    2 files have no text, such as texts/a.txt\n")
        has(said, "1 other file in texts not read")
    end)

    it("takes any name for a file", function()
        for i, name in ipairs { "new\nline.txt", "com,ma.txt", " blank .txt", "\195\188.txt", "-x.txt", "\255.txt" } do
            write(name, text_of(i))
        end
        local said = run "--quiet"
        assert.are.equal("", said)
        said = run()
        has(said, "9 documents")
        has(said, "all match the manifest\nmemory")
    end)

    it("never reads its own results as text", function()
        run("--output-dir", texts .. "/out", "--stages", "extract")
        write("e.txt", text_of "e")
        has(run("--output-dir", texts .. "/out", "--stages", "extract"), "4 documents")
        assert.error_matches(function() run("--output-dir", texts .. "/.") end,
            "^output_dir .* is corpus_dir: the next run would read its own files as text")
    end)

    it("refuses what is not a file", function()
        assert(require("posix.sys.stat").mkfifo(texts .. "/pipe.txt"))
        assert.error_matches(run, "texts/pipe.txt: not a plain file, but a named pipe: take it out of corpus_dir$")
    end)
end)
