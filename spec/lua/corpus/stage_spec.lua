--- A stage of the preparation: parts are recorded when complete, and rebuilt only when they must be.

local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local process = require "bertlua.process"
local stage = require "bertlua.corpus.stage"

local MIB = 2 ^ 20

describe("stage", function()
    local job, made

    before_each(function()
        job = { output_dir = assert(fs.temporary_folder()), num_workers = 1, quiet = true }
        made = {}
    end)
    after_each(function() fs.remove(job.output_dir) end)

    --- Run a stage of parts a, b, c; each writes its name as many times as its size.
    local function run(key, parts)
        local folder = job.output_dir .. "/out"
        made = {}
        local records, kept = stage.run(job, {
            name = "make", key = key or { format = 1 }, folder = folder,
            parts = parts or { { name = "a", size = 3 }, { name = "b", size = 1 }, { name = "c", size = 2 } },
            run = function(part, report)
                made[#made + 1] = part.name
                report(part.size)
                local path = ("%s/%s.txt"):format(folder, part.name)
                stage.write_text(path, function(add) add(part.name:rep(part.size)) end)
                return { files = { stage.describe(job, path, { documents = part.size }) } }
            end,
        })
        return records, kept
    end

    it("gives the records of its parts in order", function()
        local records, kept = run()
        assert.are.equal(0, kept)
        local files = stage.files(records)
        assert.are.same({ "out/a.txt", "out/b.txt", "out/c.txt" },
            { files[1].path, files[2].path, files[3].path })
        assert.are.same({ 3, 6, 6 }, { files[1].bytes, stage.sum(files, "bytes"), stage.sum(files, "documents") })
        assert.are.equal(0, stage.sum(files, "sentences"))
        -- Of the text "aaa".
        assert.are.equal("9834876dcfb05cb167a5c24953eba58c4ac89b1adf57f28f2f9d09af107ee8f0", stage.hashes(files)[1])
        assert.are.equal("aaa", fs.read(job.output_dir .. "/out/a.txt"))
    end)

    it("keeps finished parts", function()
        local first = run()
        local records, kept = run()
        assert.are.same({}, made)
        assert.are.equal(3, kept)
        assert.are.same(first, records)
    end)

    it("rebuilds a part whose file or record has changed", function()
        run()
        assert(fs.write(job.output_dir .. "/out/b.txt", "longer"))
        assert(fs.remove(job.output_dir .. "/out/a.txt"))
        assert.are.equal(1, select(2, run()))
        assert.are.same({ "a", "b" }, made)
        local record = job.output_dir .. "/.state/make/c.json"
        for _, damage in ipairs { "", "no JSON", "{}", '{"files":[{"path":"out/c.txt"}]}' } do
            assert(fs.write(record, damage))
            run()
            assert.are.same({ "c" }, made)
        end
    end)

    it("discards everything under another key", function()
        run()
        local records, kept = run({ format = 2 }, { { name = "d", size = 4 } })
        assert.are.equal(0, kept)
        assert.are.equal("out/d.txt", records[1].files[1].path)
        assert.are.same({ "d.txt" }, fs.list(job.output_dir .. "/out"))
        assert.are.same({ "d.json", "key" }, fs.list(job.output_dir .. "/.state/make"))
    end)

    it("says why before it removes anything", function()
        run({ format = 1, settings = { border = "auto" }, inputs = { "x" }, parts = {} })
        local reason, there
        local function again(settings)
            reason = nil
            stage.run(job, {
                name = "make", key = { format = 1, settings = settings, inputs = { "x" }, parts = {} },
                folder = job.output_dir .. "/out", parts = {}, run = error,
                on_rebuild = function(text) reason, there = text, fs.list(job.output_dir .. "/out") end,
            })
        end
        again { border = "auto" }
        assert.is_nil(reason)
        again { border = "blank" }
        assert.are.equal('border "blank" instead of "auto"', reason)
        assert.are.same({ "a.txt", "b.txt", "c.txt" }, there)
        assert.are.same({}, fs.list(job.output_dir .. "/out"))
    end)

    it("removes nothing that a record names outside its own folder, and says so", function()
        local base = job.output_dir
        job.output_dir = base .. "/corpus"
        for _, path in ipairs { "/precious/thesis.txt", "/corpus/mine/notes.txt", "/corpus/own.txt" } do
            assert(fs.mkdirs(fs.dirname(base .. path)))
            assert(fs.write(base .. path, "precious"))
        end
        run()
        assert(fs.mkdirs(base .. "/corpus/out/folder"))
        assert(require("posix.unistd").link("../../precious", base .. "/corpus/out/link", true))
        local record = base .. "/corpus/.state/make/a.json"
        local value = assert(json.read(record))
        for _, path in ipairs { "../precious", "../precious/thesis.txt", base .. "/precious", "out/../mine", "mine",
            "mine/notes.txt", "own.txt", "out/link/thesis.txt", "out/link", "out/folder", "out", ".", false } do
            table.insert(value.files, { path = path, bytes = 8, sha256 = "x" })
        end
        assert(fs.write(record, json.encode(value)))
        -- A record that names anything else is not a part that is done.
        run()
        assert.are.same({ "a" }, made)
        assert(fs.write(record, json.encode(value)))
        local said = {}
        local stderr = io.stderr
        io.stderr = { write = function(_, text) said[#said + 1] = text end } -- luacheck: ignore 122
        local ok, problem = pcall(run, { format = 2 }, { { name = "d", size = 4 } })
        io.stderr = stderr -- luacheck: ignore 122
        assert.is_true(ok, problem)
        assert.are.same({ "d.txt", "folder", "link" }, fs.list(base .. "/corpus/out"))
        for _, path in ipairs { "/precious/thesis.txt", "/corpus/mine/notes.txt", "/corpus/own.txt" } do
            assert.are.equal("precious", fs.read(base .. path))
        end
        assert.are.equal(13, #said)
        assert.are.equal("warning: " .. record .. ": names ../precious, which leads out of its folder: left as it is\n",
            said[1])
        assert.matches("names mine/notes.txt, which is not in the folder of stage make: left", table.concat(said))
        assert.matches("names out/link/thesis.txt, which leads over a link: left", table.concat(said))
        job.output_dir = base
    end)

    it("refuses to work in a folder that is a link to another", function()
        for _, name in ipairs { "out", ".state" } do
            assert(fs.mkdirs(job.output_dir .. "/elsewhere/make"))
            assert(fs.write(job.output_dir .. "/elsewhere/make/precious.json", "{}"))
            assert(require("posix.unistd").link("elsewhere", fs.join(job.output_dir, name), true))
            assert.error_matches(run, "/" .. name .. ".*: leads over a link, but the stages remove old files only from "
                .. "folders of their own: make it a folder, or name another output_dir$")
            assert.are.equal("{}", fs.read(job.output_dir .. "/elsewhere/make/precious.json"))
            assert(fs.remove(fs.join(job.output_dir, name)))
        end
    end)

    it("cleans up what a killed run left unfinished", function()
        run()
        local folder = job.output_dir .. "/out"
        assert(fs.write(folder .. "/a.txt.tmp-123", "half"))
        assert(fs.mkdirs(folder .. "/.part-a-77"))
        assert(fs.write(folder .. "/.part-a-77/x", "half"))
        assert(fs.write(folder .. "/a.tmp", "somebody's own"))
        stage.sweep(folder)
        assert.are.same({ "a.tmp", "a.txt", "b.txt", "c.txt" }, fs.list(folder))
        stage.sweep(job.output_dir .. "/none")
    end)

    it("writes no file for an empty text, or when writing fails", function()
        local path = job.output_dir .. "/text"
        assert.is_false(stage.write_text(path, function() end))
        assert.is_false(fs.exists(path))
        assert.has_error(function()
            stage.write_text(path, function(add)
                add "half"
                error("stop", 0)
            end)
        end, "stop")
        assert.are.same({}, fs.list(job.output_dir))
        assert.is_true(stage.write_text(path, function(add)
            add "one"
            add "two"
        end))
        assert.are.equal("onetwo", fs.read(path))
    end)

    it("recognises a record that can be found and checked", function()
        local path = job.output_dir .. "/x"
        assert(fs.write(path, "x"))
        local file = stage.describe(job, path, { documents = 1 })
        assert.are.same({ "x", 1, 1 }, { file.path, file.bytes, file.documents })
        assert.is_true(stage.is_described(file))
        assert.is_true(stage.is_described(json.decode(json.encode(file))))
        for field in pairs { path = true, bytes = true, sha256 = true } do
            local broken = { path = "x", bytes = 1, sha256 = "x", [field] = false }
            assert.is_false(stage.is_described(broken))
        end
        assert.is_false(stage.is_described "x")
        assert.error_matches(function() stage.describe(job, path .. "y") end, "y: was written, but is gone")
    end)

    describe("under a memory limit", function()
        local function processes(workers, limit, need, pending)
            local options = { name = "made up", parts = { { size = 5 }, { size = 9 }, { size = 7 } },
                memory = function(part) return part.size == 9 and need or 1 end }
            return stage.processes({ num_workers = workers, memory_limit = limit and process.memory_now() + limit,
                quiet = true }, options, pending or { 1, 2, 3 })
        end

        it("runs as many processes as fit, but no more than there are parts", function()
            assert.are.equal(3, processes(64, 4000 * MIB, 100 * MIB))
            assert.are.equal(2, processes(64, 250 * MIB, 100 * MIB))
            assert.are.equal(1, processes(1, 4000 * MIB, 100 * MIB))
            assert.are.equal(3, processes(3, nil, 100 * MIB))
            assert.are.equal(1, processes(4, 10 * MIB, 100 * MIB, {}))
            -- Finished parts need none.
            assert.are.equal(2, processes(4, 10 * MIB, 100 * MIB, { 1, 3 }))
        end)

        it("refuses a part that does not fit", function()
            assert.error_matches(function() processes(4, 50 * MIB, 100 * MIB) end,
                "^made up: a part of 0.0 MB needs about 105 MB on top of .* memory_limit is .*: raise memory_limit$")
        end)
    end)
end)
