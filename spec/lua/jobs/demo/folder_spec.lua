--- The demo's folder: what --restart may remove.

local fault = require "bertlua.fault"
local folder = require "bertlua.jobs.demo.folder"
local fs = require "bertlua.util.fs"
local lfs = require "lfs"

local MARK = { version = 1, text_crc32c = 5, seed = 42, phase1_steps = 12, phase2_steps = 4, learning_rate = 1 / 3 }

local WRITTEN = {
    "vocab.txt", "config.json", "report.json", "loss.svg", "text/train.txt", "text/test.txt",
    "shards/phase1/train/corpus_training_0.hdf5", "shards/phase1/train/corpus_training_1.hdf5.tmp-77",
    "shards/phase1/train/complete", "shards/phase2/test/corpus_training_0.hdf5",
    "custom/phase1/matmul_choices.txt", "custom/phase1/tensorboard/events.out.tfevents.1.host",
    "custom/phase1/12/model.safetensors", "custom/phase1/12/progress.json", "custom/phase1/.tmp-9-77/config.json",
    "custom/phase2/4/optimizer.safetensors",
}
local FOREIGN = { "bank/model/model.safetensors", "custom/phase1/notes.txt", "custom/thesis/4/model.safetensors",
    "notes.txt", "report.json.1", "text/mine.txt", "text/old/train.txt" }

describe("the demo's folder", function()
    local dir

    local function write(paths)
        for _, path in ipairs(paths) do
            assert(fs.mkdirs(fs.dirname(fs.join(dir, path))))
            assert(fs.write(fs.join(dir, path), "x"))
        end
    end

    before_each(function()
        dir = assert(fs.temporary_folder "bertlua-demo-folder")
        folder.prepare(dir, false, MARK)
    end)
    after_each(function() assert(fs.remove(dir)) end)

    local function fails(pattern, run)
        local ok, problem = pcall(run)
        assert.is_false(ok)
        assert.matches(pattern, fault.message(problem))
    end

    --- A mark with changes.
    local function changed(changes)
        local mark = {}
        for name, value in pairs(MARK) do mark[name] = value end
        for name, value in pairs(changes) do mark[name] = value end
        return mark
    end

    local function all_files(parent, list)
        list = list or {}
        for _, name in ipairs(assert(fs.list(parent or dir))) do
            local path = fs.join(parent or dir, name)
            if fs.is_directory(path) then all_files(path, list) else list[#list + 1] = path:sub(#dir + 2) end
        end
        table.sort(list)
        return list
    end

    it("stays as it is for the same text and settings", function()
        write { "vocab.txt", "notes.txt" }
        folder.prepare(dir, false, changed {})
        assert.are.same({ "demo.json", "notes.txt", "vocab.txt" }, all_files())
    end)

    it("is refused for others, with what differs", function()
        fails("holds a demo of another text or other settings %(seed 42, now 7; another text%): add %-%-restart",
            function() folder.prepare(dir, false, changed { seed = 7, text_crc32c = 6 }) end)
        fails("another version of the demo: shapes", function() folder.prepare(dir, false, changed { shapes = {} }) end)
    end)

    it("loses with a restart what the demo wrote, and nothing else", function()
        write(WRITTEN)
        write(FOREIGN)
        local text = folder.prepare(dir, true, changed { seed = 7 })
        assert.are.equal(("restart: removed what the demo had written in %s; what it had not written stays: bank, "
            .. "custom/phase1/notes.txt, custom/thesis, notes.txt, report.json.1, and 2 more"):format(dir), text)
        local left = { "demo.json", unpack(FOREIGN) }
        table.sort(left)
        assert.are.same(left, all_files())
        -- Folders of its own that nothing is left in are gone.
        assert.are.same({ "bank", "custom", "demo.json", "notes.txt", "report.json.1", "text" }, fs.list(dir))
        assert.are.same({ "notes.txt" }, fs.list(dir .. "/custom/phase1"))
        assert.is_nil(folder.prepare(dir, false, changed { seed = 7 }))
    end)

    it("is refused with all that is in it where the demo would read what it did not write", function()
        write(WRITTEN)
        for _, path in ipairs { "custom/phase1/6000/model.safetensors", "custom/phase1/12/notes.txt",
            "shards/phase2/train/mine.hdf5", "shards/phase1/test/mine.h5" } do
            write { path }
            local before = all_files()
            local named = path:gsub("(6000)/.*", "%1")
            fails("the demo did not write " .. named:gsub("%p", "%%%0") .. " there, but would read it", function()
                folder.prepare(dir, true, MARK)
            end)
            assert.are.same(before, all_files())
            assert(fs.remove(fs.join(dir, path)))
            lfs.rmdir(fs.join(dir, fs.dirname(path)))
        end
        assert(lfs.link("/dev/null", dir .. "/shards/phase1/test", true))
        fails("the demo did not write shards/phase1/test there", function() folder.prepare(dir, true, MARK) end)
    end)

    it("is left to a run that writes there", function()
        write(WRITTEN)
        write { "custom/phase1/.lock-host-7-2f" }
        local before = all_files()
        fails("another run is writing here", function() folder.prepare(dir, true, MARK) end)
        assert.are.same(before, all_files())
    end)

    it("is refused where the demo did not make it, also with a restart", function()
        for _, text in ipairs { "", "[1]", "not json", '{ "seed": 1 }' } do
            assert(fs.write(dir .. "/demo.json", text))
            for _, restart in ipairs { false, true } do
                fails("not empty, and not made by the demo", function() folder.prepare(dir, restart, MARK) end)
            end
        end
        assert.are.same({ "demo.json" }, all_files())
    end)
end)
