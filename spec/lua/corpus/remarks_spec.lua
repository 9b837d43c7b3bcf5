--- What a user is told of the preparation's files.

local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local remarks = require "bertlua.corpus.remarks"

describe("remarks", function()
    local job

    before_each(function() job = { output_dir = assert(fs.temporary_folder()) } end)
    after_each(function() fs.remove(job.output_dir) end)

    local function write(name, text)
        local path = fs.join(job.output_dir, name)
        assert(fs.mkdirs(fs.dirname(path)))
        assert(fs.write(path, text or "x"))
        return path
    end

    it("name strangers among a stage's files", function()
        local folder = job.output_dir .. "/hdf5"
        write "hdf5/a/training_0000.hdf5"
        local made = { { path = "hdf5/a/training_0000.hdf5" } }
        assert.is_nil(remarks.strangers(job, "hdf5", folder, made))
        local other = write "hdf5/a/training_0001.hdf5"
        assert.are.equal("hdf5: not made by this run, but in its folder: " .. other .. "; remove what you do not need",
            remarks.strangers(job, "hdf5", folder, made))
        local first = write "hdf5/README"
        assert.are.equal("hdf5: not made by this run, but in its folder: " .. first .. " and 1 more; remove what you "
            .. "do not need", remarks.strangers(job, "hdf5", folder, made))
    end)

    it("count sources without text", function()
        local described = { { path = "a", bytes = 3 }, { path = "b", bytes = 2 } }
        assert.is_nil(remarks.silent(described, { { silent = 0 }, {} }))
        assert.are.equal("1 file has no text: b", remarks.silent(described, { {}, { silent = 1, silent_path = "b" } }))
        described[2].bytes = 0
        assert.are.equal("2 files have no text, such as b",
            remarks.silent(described, { { silent = 1, silent_path = "a" } }))
    end)

    it("name a vocabulary that was learned from other shards", function()
        local training = { { sha256 = "a" }, { sha256 = "b" } }
        assert.is_nil(remarks.stale_vocabulary(job, training))
        write(".state/vocab/key", json.encode { inputs = json.array { "a", "b" } })
        assert.is_nil(remarks.stale_vocabulary(job, training))
        training[2].sha256 = "c"
        assert.matches("^vocab.txt was learned from earlier shards: add stage vocab",
            remarks.stale_vocabulary(job, training))
        write(".state/vocab/key", "damaged")
        assert.is_nil(remarks.stale_vocabulary(job, training))
    end)
end)
