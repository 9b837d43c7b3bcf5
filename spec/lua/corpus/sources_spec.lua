--- Fetching what a variant needs: the wiki's own list of checksums, SQuAD's MD5, kills midway.

local fs = require "bertlua.util.fs"
local http_server = require "spec.support.http_server"
local json = require "bertlua.util.json"
local process = require "spec.support.process"
local published = require "bertlua.squad.published"
local storage = require "bertlua.storage"

local FOLDER = process.root .. "/spec/fixtures/wiki/"

local function prepare(folder, arguments, setup)
    return process.run_bertlua(("%s --output-dir %s %s"):format(process.quote(process.root
        .. "/recipes/prepare_corpus.lua"), process.quote(folder), arguments), setup)
end

describe("a dump of the wiki's mirrors", function()
    local base, mirror, dump, index

    before_each(function()
        base = process.temporary_folder()
        mirror = base .. "/mirror/enwiki/latest/"
        assert(fs.mkdirs(mirror))
        dump = assert(fs.read(FOLDER .. "dump-multistream.xml.bz2"))
        index = assert(fs.read(FOLDER .. "dump-multistream-index.txt.bz2"))
        assert(fs.write(mirror .. "enwiki-latest-pages-articles-multistream.xml.bz2", dump))
        assert(fs.write(mirror .. "enwiki-latest-pages-articles-multistream-index.txt.bz2", index))
    end)
    after_each(function() fs.remove(base) end)

    --- The published list, with this checksum for the dump; for "latest" it names the dated files.
    local function publish(sum)
        assert(fs.write(mirror .. "enwiki-latest-sha1sums.txt", ("%s  enwiki-20220820-stub-articles.xml.gz\n"
            .. "%s  enwiki-20220820-pages-articles-multistream.xml.bz2\n"):format(("1"):rep(40), sum)))
    end

    local function fetch()
        return prepare(base .. "/out", ("--stages download,extract --retries 0 "
            .. "--mirrors file://%s/none,file://%s/mirror"):format(base, base))
    end

    it("is accepted if its SHA-1 matches the published one", function()
        publish(storage.digest(FOLDER .. "dump-multistream.xml.bz2", "sha1"))
        local output, code = fetch()
        assert.are.equal(0, code, output)
        assert.is_truthy(output:find("60 pages, 41 documents", 1, true), output)
        assert.are.equal(dump, fs.read(base .. "/out/download/enwiki-latest-pages-articles-multistream.xml.bz2"))
        assert.are.equal(2, #assert(json.read(base .. "/out/manifest.json")).sources)
    end)

    it("is the one of the settings, whichever others are in the folder", function()
        local sources = require "bertlua.corpus.sources"
        local job, values = { output_dir = base .. "/out" }, { language = "de", dump_date = "latest" }
        local folder = base .. "/out/download/"
        local function dump_name(language, what)
            return ("%swiki-latest-pages-articles-multistream%s.bz2"):format(language, what or ".xml")
        end
        local function put(name)
            assert(fs.mkdirs(folder))
            assert(fs.write(folder .. name, "x"))
        end
        assert.error_matches(function() sources.wikipedia(job, values) end, "contains no complete dump")
        put(dump_name "en")
        put(dump_name("en", "-index.txt"))
        -- Not the English one in place of the German one.
        assert.error_matches(function() sources.wikipedia(job, values) end, "/download: has enwiki%-latest%-pages%-"
            .. "articles%-multistream.xml.bz2, but not dewiki%-latest%-.*: run stage download, or give")
        put(dump_name "de")
        assert.are.same({ folder .. dump_name "de" }, { sources.wikipedia(job, values) })
        put(dump_name("de", "-index.txt"))
        assert.are.same({ folder .. dump_name "de", folder .. dump_name("de", "-index.txt") },
            { sources.wikipedia(job, values) })
        values.language = "en"
        assert.are.same({ folder .. dump_name "en", folder .. dump_name("en", "-index.txt") },
            { sources.wikipedia(job, values) })
        values.wikipedia_url = "https://example.org/dumps/mine.xml?x=1"
        assert.error_matches(function() sources.wikipedia(job, values) end, "but not mine.xml")
        put "mine.xml"
        assert.are.same({ folder .. "mine.xml" }, { sources.wikipedia(job, values) })
        -- One of any other name, where it is the only one.
        assert(fs.remove(folder))
        put "mine.xml"
        assert.are.same({ folder .. "mine.xml" }, { sources.wikipedia(job, { language = "de", dump_date = "latest" }) })
    end)

    it("is refused if it does not", function()
        publish(("0"):rep(40))
        local output, code = fetch()
        assert.are.equal(1, code)
        assert.is_truthy(output:find("expected sha1:" .. ("0"):rep(40), 1, true), output)
        assert.is_false(fs.exists(base .. "/out/download/enwiki-latest-pages-articles-multistream.xml.bz2"))
    end)

    it("is refused if the list does not contain it", function()
        assert(fs.write(mirror .. "enwiki-latest-sha1sums.txt", ("1"):rep(40) .. "  enwiki-20220820-other.xml\n"))
        local output, code = fetch()
        assert.are.equal(1, code)
        assert.is_truthy(output:find("contains no checksum for enwiki-latest-pages", 1, true), output)
    end)
end)

describe("squad", function()
    local base
    local NAMES, sums = { "train-v1.1.json", "dev-v1.1.json" }, {}

    before_each(function()
        base = process.temporary_folder()
        for _, name in ipairs(NAMES) do sums[name] = published.MD5[name] end
        assert(fs.write(base .. "/train-v1.1.json", '{"version":"1.1","data":[]}'))
        assert(fs.write(base .. "/dev-v1.1.json", '{"version":"1.1","data":[{}]}'))
    end)
    after_each(function()
        for _, name in ipairs(NAMES) do published.MD5[name] = sums[name] end
        fs.remove(base)
    end)

    local function run()
        local job = require "bertlua.jobs.corpus.prepare"
        return pcall(job.run, job.settings:parse({}, { variant = "squad", output_dir = base .. "/out", retries = 0,
            squad_url = "file://" .. base, quiet = true }))
    end

    it("accepts only files with the published MD5", function()
        local output, code = prepare(base .. "/out", "--variant squad --retries 0 --squad-url file://" .. base)
        assert.are.equal(1, code)
        assert.is_truthy(output:find("expected md5:981b29407e0affa3b1b156f72073b945", 1, true), output)
        assert.is_false(fs.exists(base .. "/out/download/train-v1.1.json"))
    end)

    it("records both files, and finds one that is damaged later", function()
        for _, name in ipairs(NAMES) do published.MD5[name] = storage.digest(fs.join(base, name), "md5") end
        local good, manifest = run()
        assert.is_true(good, tostring(manifest))
        assert.are.equal(2, #manifest.sources)
        assert.are.equal(27, manifest.sources[1].bytes)
        assert(fs.write(base .. "/out/download/dev-v1.1.json", '{"version":"1.1","data":[{}}]'))
        local problem
        good, problem = run()
        assert.is_false(good)
        assert.is_truthy(tostring(problem):find("dev-v1.1.json: checksum is md5:", 1, true), tostring(problem))
    end)
end)

describe("kill -9", function()
    local base

    before_each(function() base = process.temporary_folder() end)
    after_each(function() fs.remove(base) end)

    it("during a download leaves a part that the next run resumes", function()
        -- Seconds of it, so that a busy machine does not receive all of it between two looks.
        local text = assert(fs.read(FOLDER .. "dump.xml.bz2")):rep(8)
        assert(fs.write(base .. "/whole", text))
        local server = http_server.start(text)
        finally(server.stop)
        local folder = base .. "/out/download/"
        local arguments = ("--output-dir %s/out --quiet --stages download,extract --retries 0 --wikipedia-url %sslow "
            .. "--checksum sha1:%s"):format(base, server.url, storage.digest(base .. "/whole", "sha1"))
        local sizes = { 0 }
        for i = 2, 4 do
            -- As soon as more of the file has arrived than before.
            local output, code = process.run_bertlua(("spec/support/kill_at.lua received:%d %s"):format(
                sizes[i - 1] + 3000, arguments), "setsid -w")
            assert.are.equal(137, code, output)
            sizes[i] = fs.size(folder .. "slow.part")
            assert.is_true(sizes[i] > sizes[i - 1] and sizes[i] < #text, sizes[i])
            assert.is_false(fs.exists(folder .. "slow"))
        end
        process.run_bertlua("recipes/prepare_corpus.lua " .. arguments)
        -- The name does not end like a dump's, so extract does not use it: only the download matters here.
        assert.are.equal(text, fs.read(folder .. "slow"))
        assert.is_false(fs.exists(folder .. "slow.part"))
    end)

    it("during verify changes nothing", function()
        local folder = base .. "/out"
        assert.are.equal(0, select(2, prepare(folder, "--stages extract --wikipedia "
            .. process.quote(FOLDER .. "dump.xml.bz2"))))
        -- A large sparse file to verify, so that there is time for the kill.
        local large = folder .. "/text/large.txt"
        assert.are.equal(0, select(2, process.run("truncate -s 150M " .. process.quote(large))))
        local value = assert(json.read(folder .. "/manifest.json"))
        local files = value.stages.extract.files
        files[#files + 1] = { path = "text/large.txt", bytes = fs.size(large), documents = 0,
            sha256 = assert(storage.file_sha256(large)) }
        assert(require("bertlua.util.self_checksum").write(folder .. "/manifest.json", value))
        local before = process.run(("cd %s && find . -type f | sort | xargs sha256sum"):format(process.quote(folder)))
        -- A fast machine may have read it by then.
        local code
        for _, seconds in ipairs { 0.15, 0.1, 0.07, 0.05, 0.03, 0.02 } do
            code = select(2, prepare(folder, "--stages verify", ("timeout -s KILL %g"):format(seconds)))
            if code ~= 0 then break end
        end
        assert.are.equal(137, code)
        assert.are.equal(before, (process.run(("cd %s && find . -type f | sort | xargs sha256sum"):format(
            process.quote(folder)))))
        local output
        output, code = prepare(folder, "--stages verify")
        assert.are.equal(0, code, output)
        assert.is_truthy(output:find("all match the manifest", 1, true), output)
    end)
end)

describe("what is wrong from the start", function()
    it("is reported before anything is fetched or written", function()
        local base = process.temporary_folder()
        local dump = process.quote(FOLDER .. "dump.xml.bz2")
        local vocab = "--vocab-file " .. process.quote(process.root .. "/vocab/bert-base-uncased-vocab.txt")
        local cases = {
            { "--sets 128 " .. vocab, 'sets: got "128"' },
            { "", "vocab_file is not set" },
            { "--vocab-file nowhere.txt", "nowhere.txt: no such file" },
            { "--vocab-file " .. dump, "line 1 is not UTF-8 text" },
            { "--wikipedia nowhere.xml " .. vocab, "nowhere.xml: no such file" },
            { "--variant wiki_books " .. vocab, "books_dir is not set" },
            { "--variant wiki_books --books-dir nowhere " .. vocab, "nowhere: no such folder" },
            { "--checksum sha1:12 " .. vocab, 'checksum: got "sha1:12"' },
        }
        for _, case in ipairs(cases) do
            local output, code = prepare(base .. "/out", case[1])
            assert.are.equal(1, code, output)
            assert.is_truthy(output:find(case[2], 1, true), output)
            assert.is_nil(output:find("download", 1, true), output)
            assert.is_false(fs.exists(base .. "/out"))
        end
        fs.remove(base)
    end)
end)
