--- kill -9 at chosen points of every stage of the preparation: the next run resumes and leaves the same bytes.

local files = require "spec.support.files"
local fs = require "bertlua.util.fs"
local http_server = require "spec.support.http_server"
local process = require "spec.support.process"
local storage = require "bertlua.storage"

local DUMP = process.root .. "/spec/fixtures/wiki/dump.xml.bz2"
local RECIPE = process.quote(process.root .. "/recipes/prepare_corpus.lua")
local KILL = process.quote(process.root .. "/spec/support/kill_at.lua")

--- Point of the kill, stage; what must be there afterwards, what must not.
local POINTS = {
    { "received:6000", "download", there = "download/slow.xml.bz2.part", absent = "download/slow.xml.bz2" },
    { "renamed:slow%.xml%.bz2", "download", there = "download/slow.xml.bz2", absent = "text" },
    { "hash:1", "the first verify and extract", there = "download/slow.xml.bz2", absent = "text" },
    { "half:sources%.json", "extract", absent = ".state/sources.json" },
    { "adding:wikipedia%-00000%.txt", "extract", absent = "text/wikipedia-00000.txt" },
    { "commit:wikipedia%-00000%.txt", "extract", absent = "text/wikipedia-00000.txt" },
    { "written:text/wikipedia%-00000%.txt", "extract", there = "text/wikipedia-00000.txt",
      absent = ".state/extract/wikipedia-00000.json" },
    { "half:extract/books%-00000%.json", "extract", there = "text/books-00000.txt",
      absent = ".state/extract/books-00000.json" },
    { "adding:sentences/books%-00000%.txt", "sentences", there = "text/books-00000.txt",
      absent = "sentences/books-00000.txt" },
    { "written:sentences/books%-00000%.json", "sentences", there = ".state/sentences/books-00000.json",
      absent = "shards" },
    { "half:manifest%.json", "a manifest", there = "text/books-00000.txt", absent = "manifest.json" },
    { "adding:shards/training_0001%.txt", "shard", absent = "shards/training_0001.txt" },
    { "written:shards/test_0000%.txt", "shard", there = "shards/test_0000.txt",
      absent = ".state/shard/test_0000.json" },
    { "half:vocab%.txt", "vocab", there = "shards/training_0001.txt", absent = "vocab.txt" },
    { "written:vocab%.txt", "vocab", there = "vocab.txt", absent = ".state/vocab/vocab.json" },
    { "sampling:seq32_pred5%-training_0000%-%d+", "hdf5", there = "vocab.txt",
      absent = "hdf5/seq32_pred5/training_0000.hdf5" },
    { "renamed:seq64_pred10/training_0001%.hdf5", "hdf5", there = "hdf5/seq64_pred10/training_0001.hdf5",
      absent = ".state/hdf5/seq64_pred10-training_0001.json" },
    { "half:hdf5/seq64_pred10%-test_0000%.json", "hdf5", there = "hdf5/seq64_pred10/test_0000.hdf5",
      absent = ".state/hdf5/seq64_pred10-test_0000.json" },
    { "verify:5", "verify", workers = 1, there = "manifest.json", complete = true },
}

describe("kill -9", function()
    local base, folder, server, arguments, whole

    --- Hash of every file by path, except records of progress; nothing is unfinished.
    local function contents()
        files.assert_finished(folder)
        return files.hashes(folder)
    end

    local function run(script, workers, address)
        return process.run_bertlua(("%s --output-dir %s --num-workers %d %s --wikipedia-url %s"):format(script, folder,
            workers, arguments, address or "file://" .. base .. "/slow.xml.bz2"), "setsid -w")
    end

    setup(function()
        base = process.temporary_folder()
        server = http_server.start(assert(fs.read(DUMP)))
        assert(fs.copy(DUMP, base .. "/slow.xml.bz2"))
        assert(fs.mkdirs(base .. "/books"))
        for i = 1, 2 do
            assert(fs.write(("%s/books/%d.txt"):format(base, i),
                (("Book %d has a line. It has another one.\n"):format(i)):rep(50)))
        end
        arguments = ("--quiet --variant wiki_books --books-dir %s/books "
            .. "--checksum sha1:%s --stages download,verify,extract,sentences,shard,vocab,hdf5,verify --shards 2 "
            .. "--test-share 0.2 --vocab-size 300 --sets 32:5,64:10 --dupe-factor 2"):format(base,
            storage.digest(DUMP, "sha1"))
        -- Always the same folder: the manifest names the sources, one of which is in it.
        folder = base .. "/out"
        local output, code = run(RECIPE, 1)
        assert.are.equal(0, code, output)
        whole = contents()
    end)
    teardown(function()
        server.stop()
        fs.remove(base)
    end)

    before_each(function()
        if fs.exists(folder) then assert(fs.remove(folder)) end
    end)

    for number, point in ipairs(POINTS) do
        it(("at %s, in %s"):format(point[1], point[2]), function()
            local workers = point.workers or 1 + number % 2
            local address = point[2] == "download" and server.url .. "slow.xml.bz2"
            local output, code = run(KILL .. " " .. point[1], workers, address)
            assert.are.equal(137, code, output)
            if point.there then assert.is_true(fs.exists(fs.join(folder, point.there))) end
            if point.absent then assert.is_false(fs.exists(fs.join(folder, point.absent))) end
            if point.complete then assert.are.same(whole, contents()) end
            output, code = run(RECIPE, workers, address)
            assert.are.equal(0, code, output)
            assert.are.same(whole, contents())
        end)
    end

    it("while stages are made again after a source has changed", function()
        local book = base .. "/books/1.txt"
        local text = assert(fs.read(book))
        finally(function() assert(fs.write(book, text)) end)
        for number, point in ipairs { "half:manifest%.json", "adding:text/books%-00000%.txt",
            "renamed:test_0000%.hdf5" } do
            assert(fs.write(book, "Another book stood here before.\n"))
            assert.are.equal(0, select(2, run(RECIPE, number)))
            assert(fs.write(book, text))
            assert.are.equal(137, select(2, run(KILL .. " " .. point, number)), point)
            local output, code = run(RECIPE, number)
            assert.are.equal(0, code, output)
            assert.are.same(whole, contents())
        end
    end)
end)
