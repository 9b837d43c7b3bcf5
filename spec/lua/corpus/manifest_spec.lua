--- The manifest: what is recorded, what a changed stage drops, and what a check of every file finds.

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local manifest = require "bertlua.corpus.manifest"
local stage = require "bertlua.corpus.stage"

describe("manifest", function()
    local folder, job
    before_each(function()
        folder = assert(fs.temporary_folder "manifest_spec")
        job = { output_dir = folder, num_workers = 1, quiet = true }
    end)
    after_each(function() fs.remove(folder) end)

    local function file(name, text, counts)
        local path = fs.join(folder, name)
        assert(fs.write(path, text))
        return stage.describe(job, path, counts)
    end

    local function refused(expected, fn, ...)
        local ok, problem = pcall(fn, ...)
        assert.is_false(ok)
        assert.is_true(fault.is(problem), tostring(problem))
        assert.are.equal(folder .. expected, tostring(problem))
    end

    it("is empty before there is one", function()
        assert.are.same({ 1, 0, nil }, { manifest.read(folder).version, #manifest.read(folder).sources,
            (next(manifest.read(folder).stages)) })
        refused(": stage shard needs the files of stage sentences, which is not finished; add it to --stages",
            manifest.files, folder, "sentences", "shard")
        refused(": nothing to verify: no stage has finished yet", manifest.verify, job)
    end)

    it("records sources and stages, and finds all of it unchanged", function()
        local source = file("source", "abc")
        source.path = fs.join(folder, source.path)
        manifest.set_sources(folder, { source })
        local made = file("one.txt", "text", { documents = 3 })
        manifest.set_stage(folder, "extract", { language = "en" }, { made })
        assert.are.same({ made }, manifest.files(folder, "extract", "sentences"))
        assert.are.same({ language = "en" }, manifest.read(folder).stages.extract.settings)
        assert.are.same({ 2, 7 }, { manifest.verify(job) })
    end)

    it("is the same bytes for the same work, in any order, and says [] of nothing", function()
        local made = file("one.txt", "text")
        manifest.set_sources(folder, {})
        manifest.set_stage(folder, "extract", {}, { made })
        manifest.set_stage(folder, "sentences", {}, {})
        local first = assert(fs.read(folder .. "/manifest.json"))
        assert.is_truthy(first:find('"sources": []', 1, true))
        assert(fs.remove(folder .. "/manifest.json"))
        manifest.set_stage(folder, "sentences", {}, {})
        manifest.set_stage(folder, "extract", {}, { made })
        assert.are.equal(first, fs.read(folder .. "/manifest.json"))
    end)

    it("drops what was made of a stage that changed, but not the vocabulary", function()
        local one = file("one.txt", "text")
        for _, name in ipairs { "extract", "sentences", "shard", "vocab", "hdf5" } do
            manifest.set_stage(folder, name, { n = 1 }, { one })
        end
        local function present()
            local list = {}
            for name in pairs(manifest.read(folder).stages) do list[#list + 1] = name end
            table.sort(list)
            return list
        end
        manifest.set_stage(folder, "sentences", { n = 1 }, { one })
        assert.are.same({ "extract", "hdf5", "sentences", "shard", "vocab" }, present())
        manifest.set_stage(folder, "sentences", { n = 2 }, { one })
        assert.are.same({ "extract", "sentences", "vocab" }, present())
    end)

    it("names a file that is gone, of another size or of other bytes", function()
        local made = file("one.txt", "text")
        manifest.set_stage(folder, "extract", {}, { made })
        local path = folder .. "/one.txt"
        assert(fs.write(path, "longer"))
        refused("/one.txt: has 6 bytes, but 4 according to the manifest", manifest.verify, job)
        assert(fs.write(path, "tExt"))
        local ok, problem = pcall(manifest.verify, job)
        assert.is_false(ok)
        assert.is_truthy(tostring(problem):find("/one.txt: ", 1, true), tostring(problem))
        assert(fs.remove(path))
        refused("/one.txt: listed in the manifest, but does not exist", manifest.verify, job)
    end)

    it("tells when shards lost a document of the sentence files", function()
        manifest.set_stage(folder, "extract", {}, { file("a", "1", { documents = 9 }) })
        manifest.set_stage(folder, "sentences", {}, { file("b", "1", { documents = 5 }),
            file("c", "1", { documents = 3 }) })
        manifest.set_stage(folder, "shard", {}, { file("d", "1", { documents = 8 }) })
        manifest.verify(job)
        manifest.set_stage(folder, "shard", {}, { file("d", "1", { documents = 7 }) })
        local ok, problem = pcall(manifest.verify, job)
        assert.is_false(ok)
        assert.are.equal("the shards contain 7 documents, but the sentence files 8", tostring(problem))
    end)

    it("of another version, or with an entry that lacks a field, is refused", function()
        local path = folder .. "/manifest.json"
        for _, value in ipairs { { version = 2, sources = {}, stages = {} }, { version = 1, stages = {} } } do
            assert(fs.write(path, json.encode(value)))
            refused("/manifest.json: not a manifest of this version of bertlua; choose another output_dir",
                manifest.read, folder)
        end
        local text = json.encode { version = 1, sources = json.array { { path = "x", bytes = 1 } }, stages = {} }
        assert(fs.write(path, text))
        local ok, problem = pcall(manifest.read, folder)
        assert.is_false(ok)
        assert.matches("an entry lacks its path, bytes or sha256", tostring(problem))
    end)
end)
