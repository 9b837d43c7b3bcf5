--- The whole preparation through the executable: what each stage leaves, the same bytes for any number of processes and
-- after kills, bad input by name.

local files = require "spec.support.files"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local process = require "spec.support.process"
local storage = require "bertlua.storage"

local FOLDER = process.root .. "/spec/fixtures/wiki/"
local VOCAB = process.root .. "/vocab/bert-base-uncased-vocab.txt"

local function prepare(folder, arguments, setup)
    return process.run_bertlua(("%s --output-dir %s %s"):format(process.quote(process.root
        .. "/recipes/prepare_corpus.lua"), process.quote(folder), arguments), setup)
end

local WIKI = ("--wikipedia %s --vocab-file %s --sets 32:5,64:10 --dupe-factor 2 --test-share 0.2 --shards 3 "):format(
    process.quote(FOLDER .. "dump.xml.bz2"), process.quote(VOCAB))

describe("prepare_corpus", function()
    local base, whole

    setup(function()
        base = process.temporary_folder()
        local output, code = prepare(base .. "/one", WIKI .. "--num-workers 1")
        assert.are.equal(0, code, output)
        whole = files.hashes(base .. "/one")
    end)
    teardown(function() fs.remove(base) end)

    it("leaves the text of articles as .txt files", function()
        local folder = base .. "/extract"
        local output, code = prepare(folder, "--stages extract --wikipedia "
            .. process.quote(FOLDER .. "dump-multistream.xml.bz2"))
        assert.are.equal(0, code, output)
        assert.is_truthy(output:find("60 pages, 41 documents", 1, true), output)
        local text = assert(fs.read(folder .. "/text/wikipedia-00000.txt"))
        assert.are.equal("Mill 1 is a mill & a house the ", text:sub(1, 31))
        local _, documents = text:gsub("\n\n", "")
        assert.are.equal(41, documents)
        assert.is_nil(text:find("[%[%]{}=]"))
        assert.is_nil(text:find("Picture & Sound", 1, true))
    end)

    it("records every file", function()
        local manifest = assert(json.read(base .. "/one/manifest.json"))
        assert.are.equal(assert(storage.file_sha256(FOLDER .. "dump.xml.bz2")), manifest.sources[1].sha256)
        local named = { ["manifest.json"] = true }
        for _, stage in pairs(manifest.stages) do
            for _, file in ipairs(stage.files) do
                named[file.path] = true
                assert.are.equal(whole[file.path], file.sha256)
                assert.are.equal(fs.size(base .. "/one/" .. file.path), file.bytes)
                assert.is_true(file.documents > 0)
            end
        end
        for path in pairs(whole) do assert.is_true(named[path], path) end
        local tokens = manifest.stages.hdf5.files[1].tokens
        assert.is_true(tokens > 1000 and manifest.stages.hdf5.files[1].sentences > 100)
    end)

    it("puts each article into one shard, and keeps shards near the same size", function()
        local shards = require "bertlua.corpus.shards"
        local manifest = assert(json.read(base .. "/one/manifest.json"))
        local made, seen, documents = manifest.stages.shard.files, {}, 0
        for _, file in ipairs(made) do
            for document in (assert(fs.read(base .. "/one/" .. file.path))):gmatch "(.-)\n\n" do
                assert.is_nil(seen[document])
                seen[document] = file.path
                documents = documents + 1
            end
        end
        assert.are.equal(41, documents)
        assert.is_true(shards.spread(made) < 0.1)
        assert.are.equal("shards/test_0000.txt", made[4].path)
    end)

    it("gives the same bytes for any number of processes", function()
        local output, code = prepare(base .. "/three", WIKI .. "--num-workers 3")
        assert.are.equal(0, code, output)
        assert.are.same(whole, files.hashes(base .. "/three"))
    end)

    it("keeps the test documents whatever the seed, and redistributes the others", function()
        local output, code = prepare(base .. "/seed", WIKI .. "--seed 7 --stages extract,sentences,shard")
        assert.are.equal(0, code, output)
        local other = files.hashes(base .. "/seed")
        assert.are.equal(whole["shards/test_0000.txt"], other["shards/test_0000.txt"])
        assert.are_not.equal(whole["shards/training_0000.txt"], other["shards/training_0000.txt"])
    end)

    it("resumes after kill -9 and gives the same bytes", function()
        local folder = base .. "/killed"
        local code, runs = nil, 0
        -- Each run gets a little further than the one before, so that every stage is killed; on a slow machine, where
        -- they are killed before a part is done, soon a lot further.
        for i = 1, 100 do
            local seconds = math.min(30, 0.01 * i * math.max(1, 1.1 ^ (i - 50)))
            code = select(2, prepare(folder, WIKI .. "--quiet --num-workers 2",
                ("timeout -s KILL %.3f"):format(seconds)))
            runs = i
            if code == 0 then break end
        end
        assert.are.equal(0, code)
        assert.is_true(runs > 2)
        files.assert_finished(folder)
        assert.are.same(whole, files.hashes(folder))
        local output = prepare(folder, WIKI)
        assert.is_truthy(output:find("extract.-%d+ of %d+ parts were already done"), output)
        assert.is_truthy(output:find("hdf5.-%d+ of %d+ parts were already done"), output)
    end)

    it("names a manifest that lost a field, and what to do", function()
        local folder = base .. "/lost"
        assert.are.equal(0, select(2, prepare(folder, WIKI .. "--stages extract")))
        local path = folder .. "/manifest.json"
        local before = assert(fs.read(path))
        assert(fs.write(path, (before:gsub('"self_crc32c": "%x+",', ""):gsub('"bytes": %d+,', "", 1))))
        local output, code = prepare(folder, WIKI .. "--stages extract,sentences")
        assert.are.equal(1, code)
        assert.is_truthy(output:find("manifest.json: an entry lacks its path, bytes or sha256", 1, true), output)
        assert(fs.remove(path))
        assert.are.equal(0, select(2, prepare(folder, WIKI .. "--stages extract")))
        assert.are.equal(before, assert(fs.read(path)))
    end)

    it("rebuilds a stage when its settings change", function()
        local folder = base .. "/changed"
        assert.are.equal(0, select(2, prepare(folder, WIKI .. "--stages extract,sentences,shard")))
        assert.are.equal(0, select(2, prepare(folder, WIKI:gsub("%-%-shards 3", "--shards 2")
            .. "--stages shard")))
        assert.is_false(fs.exists(folder .. "/shards/training_0002.txt"))
        local output, code = prepare(folder, "--stages verify")
        assert.are.equal(0, code, output)
    end)

    it("finds a changed or missing file", function()
        local folder = base .. "/damaged"
        assert.are.equal(0, select(2, prepare(folder, WIKI .. "--stages extract,sentences")))
        local path = folder .. "/sentences/wikipedia-00000.txt"
        local text = assert(fs.read(path))
        assert(fs.write(path, "X" .. text:sub(2)))
        local output, code = prepare(folder, "--stages verify")
        assert.are.equal(1, code)
        assert.is_truthy(output:find("wikipedia-00000.txt: SHA-256 is", 1, true), output)
        assert(fs.remove(path))
        output = prepare(folder, "--stages verify")
        assert.is_truthy(output:find("listed in the manifest, but does not exist", 1, true), output)
    end)

    it("learns a vocabulary from the corpus", function()
        local folder = base .. "/vocab"
        local output, code = prepare(folder, ("--variant corpus --corpus-dir %s --stages extract,sentences,shard,vocab,"
            .. "hdf5,verify --vocab-size 300 --sets 32:5 --test-share 0"):format(process.quote(base .. "/one/text")))
        assert.are.equal(0, code, output)
        local _, lines = assert(fs.read(folder .. "/vocab.txt")):gsub("\n", "")
        assert.is_true(lines > 50 and lines <= 300)
    end)

    it("adds books as documents of their own", function()
        local books = base .. "/books_in"
        assert(fs.mkdirs(books))
        assert(fs.write(books .. "/a.txt", "The first book begins.\n\nIt ends here, after two paragraphs.\n"))
        assert(fs.write(books .. "/b.txt", "The second book is shorter.\n"))
        local output, code = prepare(base .. "/books", WIKI .. "--variant wiki_books --stages extract --books-dir "
            .. process.quote(books))
        assert.are.equal(0, code, output)
        assert.is_truthy(output:find("43 documents", 1, true), output)
        assert.are.equal("The first book begins.\nIt ends here, after two paragraphs.\n\n"
            .. "The second book is shorter.\n\n",
            fs.read(base .. "/books/text/books-00000.txt"))
    end)

    it("fetches the dump, and never takes half of it", function()
        local server = require("spec.support.http_server").start(assert(fs.read(FOLDER .. "dump.xml.bz2")))
        local function fetch(name, more)
            return prepare(base .. "/fetched", ("--stages download,extract --retry-wait 0.01 --retries 1 "
                .. "--wikipedia-url %s%s %s"):format(server.url, name, more or ""))
        end
        local output, code = fetch("wrong", "--checksum md5:" .. ("0"):rep(32))
        assert.are.equal(1, code)
        assert.is_truthy(output:find("download failed", 1, true), output)
        output, code = prepare(base .. "/fetched", "--stages extract")
        assert.are.equal(1, code)
        assert.is_truthy(output:find("no such folder", 1, true) or output:find("no complete dump", 1, true), output)
        server.stop()
    end)
end)

describe("prepare_corpus on bad input", function()
    local base

    setup(function() base = process.temporary_folder() end)
    teardown(function() fs.remove(base) end)

    --- Its message for a corpus of one file with this text.
    local function complaint(name, text, arguments)
        local folder = base .. "/" .. name
        assert(fs.mkdirs(folder))
        assert(fs.write(folder .. "/text.txt", text))
        local output, code = prepare(folder .. "/out", ("--quiet --variant corpus --corpus-dir %s --stages %s"):format(
            process.quote(folder), arguments or "extract,sentences,shard"))
        assert.are.equal(1, code, output)
        assert.is_nil(output:find("traceback", 1, true), output)
        return (output:gsub(base .. "/", ""))
    end

    it("names invalid UTF-8 by file and byte", function()
        assert.is_truthy(complaint("utf8", "A good line.\nA b\255d line.\n"):find(
            "utf8/text.txt: byte 16: invalid UTF-8", 1, true))
    end)

    it("names an endless line by file and byte", function()
        local output = complaint("line", "A good line.\n" .. ("word "):rep(10 * 2 ^ 20) .. "\n")
        assert.is_truthy(output:find("line/text.txt: byte 13: a line of more than 4194304 bytes starts here: is this "
            .. "text?", 1, true), output)
        output = complaint("line5", "A good line.\n" .. ("word "):rep(2 ^ 20) .. "\nAnother one.\n")
        assert.is_truthy(output:find("line5/text.txt: byte 13: a line of 5242880 bytes starts here", 1, true), output)
    end)

    it("names bytes that are not text", function()
        assert.is_truthy(complaint("nul", "A good line.\0\n"):find("nul/text.txt: byte 12: a NUL byte", 1, true))
    end)

    it("names an empty corpus", function()
        assert.is_truthy(complaint("empty", "\n \n"):find("the corpus is empty", 1, true))
    end)

    it("names a disk that is full", function()
        local text = ("The mill is old and grey, and its wheel turns.\n"):rep(3000)
        local folder = base .. "/full"
        assert(fs.mkdirs(folder))
        assert(fs.write(folder .. "/text.txt", text))
        -- A limit on file sizes stands for the full disk.
        local output, code = process.run(("ulimit -f 40; trap '' XFSZ; %s %s --quiet --num-workers 2 --variant corpus "
            .. "--corpus-dir %s --output-dir %s --stages extract"):format(process.quote(process.bertlua),
            process.quote(process.root .. "/recipes/prepare_corpus.lua"), process.quote(folder),
            process.quote(folder .. "/out")))
        assert.are.equal(1, code, output)
        assert.is_truthy(output:find("corpus-00000.txt: cannot write at byte 20480: no space left", 1, true), output)
        assert.is_false(fs.exists(folder .. "/out/text/corpus-00000.txt"))
    end)

    it("names a damaged dump, in any process", function()
        local text = assert(fs.read(FOLDER .. "dump.xml.bz2"))
        local path = base .. "/cut.xml.bz2"
        assert(fs.write(path, text:sub(1, 20000)))
        for workers = 1, 2 do
            local output, code = prepare(base .. "/cut", ("--quiet --stages extract --num-workers %d --wikipedia %s")
                :format(workers, process.quote(path)))
            assert.are.equal(1, code, output)
            assert.is_truthy(output:find("cut.xml.bz2: byte %d+: the bzip2 block that begins here is cut off"), output)
        end
    end)

    it("says which stage is missing, and what it does not know", function()
        local output = prepare(base .. "/none", "--stages shard")
        assert.is_truthy(output:find("stage shard needs the files of stage sentences", 1, true), output)
        output = prepare(base .. "/none", "--stages extract,shards")
        assert.is_truthy(output:find('unknown stage "shards"', 1, true), output)
        output = prepare(base .. "/none", "--stages extract")
        assert.is_truthy(output:find("--wikipedia FILE", 1, true) or output:find("no such folder", 1, true), output)
    end)
end)
