--- Files that a run trains on: how those of a checkpoint and those of now differ, in one line.

local data_files = require "bertlua.jobs.common.data_files"
local fs = require "bertlua.util.fs"
local storage = require "bertlua.storage"

local function record(path, ...)
    local files = {}
    for i, file in ipairs { ... } do files[i] = { file[1], file[2] or 10, file[3] or 0xab } end
    return { path = path, files = files }
end

describe("files of data", function()
    it("are recorded by name, size and checksum", function()
        local folder = assert(fs.temporary_folder "data_files_spec")
        local path = folder .. "/train.csv"
        assert(fs.write(path, "text,label\n"))
        local entry = { "train.csv", 11, storage.crc32c "text,label\n" }
        local job = { values = { train_file = path }, data = { train = {} }, run = { work = { train = true },
            evaluate = { dev_file = path } } }
        assert.are.same({ train_file = { path = path, files = { entry } }, evaluate = { path = path,
            files = { entry } } }, data_files.of(job))
        job.data.train = { input_dir = "d", listed = { { name = "a.h5", path = "d/a.h5", samples = 3, bytes = 7,
            checksum = 5 } } }
        job.run.evaluate = nil
        assert.are.same({ input_dir = { path = "d", files = { { "a.h5", 7, 5 } } } }, data_files.of(job))
        assert(fs.remove(folder))
    end)

    it("are the same where contents are, in their order, whatever they are called", function()
        local before = record("d", { "a" }, { "b", 11 })
        assert.is_nil(data_files.difference(before, record("e", { "a" }, { "b", 11 }), "out/3"))
        assert.is_nil(data_files.difference(before, record("e", { "x" }, { "y", 11 }), "out/3"))
        assert.is_string(data_files.difference(before, record("d", { "a", 11 }, { "b" }), "out/3"))
        assert.is_nil(data_files.difference(nil, nil, "out/3"))
    end)

    it("differ by name: removed, added, changed", function()
        local before = record("d", { "a" }, { "b" }, { "c" })
        local text = data_files.difference(before, record("d", { "b", 12 }, { "d" }, { "e" }, { "f" }, { "g" },
            { "h" }), "out/3")
        assert.matches("^was d %(3 files, CRC32C %x+%) in out/3 and is d %(6 files, CRC32C %x+%) now %(removed a, c; "
            .. "added d, e, f and 2 more; changed b%)$", text)
        assert.matches("^was d/a %(1 file, CRC32C 000000ab%) in out/3 and is not set now$",
            data_files.difference(record("d/a", { "a" }), nil, "out/3"))
    end)
end)
