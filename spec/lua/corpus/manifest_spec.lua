--- The manifest: what it records, what a changed stage invalidates, and what verify finds.

local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local manifest = require "bertlua.corpus.manifest"
local stage = require "bertlua.corpus.stage"

describe("manifest", function()
    local job, folder

    before_each(function()
        folder = assert(fs.temporary_folder())
        job = { output_dir = folder, num_workers = 1, quiet = true }
    end)
    after_each(function() fs.remove(folder) end)

    --- Write a file and describe it.
    local function file(name, text, counts)
        local path = fs.join(folder, name)
        assert(fs.mkdirs(fs.dirname(path)))
        assert(fs.write(path, text))
        return stage.describe(job, path, counts)
    end

    --- All stages, each with one file.
    local function fill()
        local source = file("dump", "dump")
        source.path = folder .. "/dump"
        manifest.set_sources(folder, { source })
        for _, name in ipairs { "extract", "sentences", "shard", "vocab", "hdf5" } do
            manifest.set_stage(folder, name, { of = name }, { file(name .. ".txt", name, { documents = 2 }) })
        end
    end

    local function stages()
        local list = {}
        for name in pairs(manifest.read(folder).stages) do list[#list + 1] = name end
        table.sort(list)
        return list
    end

    it("is empty at first", function()
        assert.are.same({}, stages())
        assert.are.same({}, manifest.read(folder).sources)
        assert.error_matches(function() manifest.verify(job) end, ": nothing to verify: no stage has finished yet$")
        assert.error_matches(function() manifest.files(folder, "extract", "sentences") end,
            ": stage sentences needs the files of stage extract, which is not finished; add it to %-%-stages$")
    end)

    it("holds the files of finished stages, byte for byte the same for the same run", function()
        fill()
        local text = fs.read(folder .. "/manifest.json")
        assert.are.equal("shard.txt", manifest.files(folder, "shard", "hdf5")[1].path)
        fill()
        assert.are.equal(text, fs.read(folder .. "/manifest.json"))
        assert.are.same({ 6, 34, 0, {}, {} }, { manifest.verify(job) })
    end)

    it("drops what was made from a changed stage's files, except the vocabulary", function()
        fill()
        manifest.set_stage(folder, "sentences", { of = "others" }, { file("sentences.txt", "other") })
        assert.are.same({ "extract", "sentences", "vocab" }, stages())
        fill()
        manifest.set_stage(folder, "hdf5", { of = "others" }, {})
        assert.are.same({ "extract", "hdf5", "sentences", "shard", "vocab" }, stages())
    end)

    it("finds files that are missing, changed, or of the wrong size", function()
        for name, case in pairs {
            ["shard.txt"] = { nil, "/shard.txt: listed in the manifest, but does not exist$" },
            ["extract.txt"] = { "longer text", "/extract.txt: has 11 bytes, but 7 according to the manifest: it was "
                .. "changed or damaged: remove it, and stage extract makes it again$" },
            ["hdf5.txt"] = { "HDF5", "/hdf5.txt: SHA%-256 is %x+, but %x+ according to the manifest" },
            dump = { "jump", "/dump: SHA%-256 is .*: it is another file than the one that was read, or damaged: run "
                .. "the stages again, and what was made of it is made again$" },
        } do
            fill()
            if case[1] then assert(fs.write(fs.join(folder, name), case[1])) else fs.remove(fs.join(folder, name)) end
            assert.error_matches(function() manifest.verify(job) end, case[2])
        end
    end)

    it("leaves changed sources and missing files to the stages that come", function()
        fill()
        assert(fs.write(folder .. "/dump", "jump"))
        assert(fs.remove(folder .. "/shard.txt"))
        job.coming = { extract = true, shard = true }
        for workers = 1, 2 do
            job.num_workers = workers
            assert.are.same({ 6, 34, 0, { folder .. "/dump" }, { folder .. "/shard.txt" } }, { manifest.verify(job) })
        end
        -- What is there, but not as it was made, is damage whatever comes.
        assert(fs.write(folder .. "/shard.txt", "share"))
        assert.error_matches(function() manifest.verify(job) end,
            "/shard.txt: SHA%-256 is .* remove it, and stage shard")
        assert(fs.remove(folder .. "/shard.txt"))
        job.coming = { extract = true, hdf5 = true }
        assert.error_matches(function() manifest.verify(job) end, "/shard.txt: listed .*, but does not exist$")
    end)

    it("forgets a stage that is about to be made again, and what was made of it", function()
        fill()
        manifest.drop_stage(folder, "sentences")
        assert.are.same({ "extract", "vocab" }, stages())
        fill()
        manifest.drop_stage(folder, "vocab")
        assert.are.same({ "extract", "sentences", "shard" }, stages())
    end)

    it("notices a document lost between two stages", function()
        fill()
        manifest.set_stage(folder, "shard", {}, { file("shard.txt", "shard", { documents = 1 }) })
        assert.error_matches(function() manifest.verify(job) end,
            "the shards contain 1 documents, but the sentence files 2")
        -- A document without a sentence is dropped by the sentences stage.
        manifest.set_stage(folder, "extract", {}, { file("extract.txt", "extract", { documents = 9 }) })
        manifest.set_stage(folder, "sentences", {}, { file("sentences.txt", "sentences", { documents = 2 }) })
        assert.are.equal(4, (manifest.verify(job)))
    end)

    it("notices every byte of the manifest that changes", function()
        fill()
        local path = folder .. "/manifest.json"
        local text = assert(fs.read(path))
        for at = 1, #text do
            local out = assert(io.open(path, "wb"))
            out:write(text:sub(1, at - 1), string.char(bit.bxor(text:byte(at), 4)), text:sub(at + 1))
            out:close()
            assert.error_matches(function() manifest.read(folder) end, "/manifest%.json:.+; ")
        end
    end)

    it("reads only files of its own folder, and sources that the settings name", function()
        fill()
        local path = folder .. "/manifest.json"
        local before = manifest.read(folder)
        local text = assert(fs.read(path))
        -- Whoever writes such a name leaves out the checksum, or computes it.
        local without = text:gsub('"self_crc32c": "%x+",%s*', "")
        for name, problem in pairs {
            ["/etc/passwd"] = "is absolute", ["../x"] = "leads out of its folder", ["a\27b"] = "contains control",
        } do
            assert(fs.write(path, (without:gsub('"path": "shard.txt"', '"path": ' .. json.encode(name)))))
            assert.error_matches(function() manifest.verify(job) end, "manifest.json: names .*, which " .. problem)
            assert(fs.write(path, (text:gsub('"path": "shard.txt"', '"path": ' .. json.encode(name)))))
            assert.error_matches(function() manifest.verify(job) end, "manifest.json: is damaged: its CRC32C is .*; "
                .. "remove it, and the stages will rebuild it")
        end
        assert(fs.write(path, text))
        assert(fs.remove(folder .. "/shard.txt"))
        assert(require("posix.unistd").link("/etc/passwd", folder .. "/shard.txt", true))
        for _, read in ipairs {
            function() manifest.verify(job) end, function() manifest.files(folder, "shard", "hdf5") end,
        } do
            assert.error_matches(read, "/shard.txt: listed in the manifest, but leads over a link$")
        end
        -- A source outside is the user's to name; a pipe would be waited for without end.
        fill()
        local outside = assert(fs.temporary_folder())
        finally(function() fs.remove(outside) end)
        assert(require("posix.sys.stat").mkfifo(outside .. "/pipe"))
        manifest.set_sources(folder, { { path = outside .. "/pipe", bytes = 4, sha256 = "x" } })
        assert.are.same({ 5, 30, 1, {}, {} }, { manifest.verify(job) })
        job.is_source = function(name) return name == outside .. "/pipe" end
        assert.error_matches(function() manifest.verify(job) end, "/pipe: listed .*, but is not a plain file$")
        assert(fs.remove(outside .. "/pipe"))
        assert(fs.write(outside .. "/pipe", "dump"))
        manifest.set_sources(folder, { { path = outside .. "/pipe", bytes = 4, sha256 = before.sources[1].sha256 } })
        assert.are.same({ 6, 34, 0, {}, {} }, { manifest.verify(job) })
    end)

    it("is refused if it is of another version, or damaged", function()
        for text, pattern in pairs {
            ['{"version":2,"sources":[],"stages":{}}'] = "not a manifest of this version of bertlua",
            ['[]'] = "not a manifest of this version of bertlua",
            ['{"version":1,"sources":[{"path":"x"}],"stages":{}}'] = "an entry lacks its path, bytes or sha256",
            ['{"version":1,"sources":[],"stages":{"shard":{"files":1}}}'] = "a stage lacks its files",
            ['{"version":1,"sources":[],"stages":{"shard":{"files":[{"bytes":1}]}}}'] = "an entry lacks its path",
            ['{"version":1,'] = "manifest.json",
        } do
            assert(fs.write(folder .. "/manifest.json", text))
            assert.error_matches(function() manifest.read(folder) end, pattern)
        end
    end)
end)
