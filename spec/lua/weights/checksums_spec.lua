--- checksums.json of a folder that we wrote for other programs.

local checksums = require "bertlua.weights.checksums"
local fs = require "bertlua.util.fs"

describe("checksums.json", function()
    local folder, model
    before_each(function()
        folder = assert(fs.temporary_folder())
        model = folder .. "/model.safetensors"
        assert(fs.write(model, "parameters"))
        assert(fs.write(folder .. "/config.json", "config"))
        assert(fs.write(folder .. "/vocab.txt", "words"))
        assert(checksums.write(folder, { "model.safetensors", "config.json", nil, "vocab.txt" }))
    end)
    after_each(function() fs.remove(folder) end)

    it("has nothing to tell about what is as it was, or was never recorded", function()
        assert.are.same({}, checksums.check(folder))
        assert(fs.remove(folder .. "/vocab.txt"))
        assert.are.same({}, checksums.check(folder))
        assert(checksums.remove(folder))
        assert(checksums.remove(folder))
        assert(fs.write(model, "PARAMETERS"))
        assert.are.same({}, checksums.check(folder))
    end)

    it("refuses parameters with other bytes", function()
        assert(fs.write(model, "parameter5"))
        local list, message = checksums.check(folder)
        assert.is_nil(list)
        assert.matches("^" .. model:gsub("%-", "%%-") .. ": is damaged: its CRC32C is %x+, expected %x+; copy it "
            .. "again, or remove .*/checksums.json if another program wrote it$", message)
    end)

    it("tells other files, and parameters of another size, which others wrote", function()
        assert(fs.write(folder .. "/config.json", "confiG"))
        assert(fs.write(model, "more parameters"))
        assert.are.same({ folder .. "/config.json: is not as bertlua wrote it: it was edited, or is damaged",
            model .. ": is not the file that bertlua wrote, but one of 15 bytes" }, checksums.check(folder))
    end)

    it("tells that it is damaged itself, and follows no name out of its folder", function()
        local text = assert(fs.read(folder .. "/checksums.json"))
        assert(fs.write(folder .. "/checksums.json", (text:gsub("vocab", "vokab"))))
        assert.matches("checksums.json: is damaged: .*: the model's files are not compared with it$",
            checksums.check(folder)[1])
        assert(fs.write(folder .. "/checksums.json",
            '{"files": {"../x": {"bytes": 1, "crc32c": 1}, "config.json": 7}}'))
        assert.are.same({}, checksums.check(folder))
    end)
end)
