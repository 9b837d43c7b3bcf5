--- progress.json: it vouches for itself.

local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local progress_file = require "bertlua.train.progress_file"

describe("progress file", function()
    local folder, file

    before_each(function()
        folder = assert(fs.temporary_folder())
        file = folder .. "/progress.json"
        assert(fs.write(folder .. "/model.safetensors", "model"))
        progress_file.write(folder, { step = 3, loss = 0 / 0, note = 'says "self_crc32c": "01234567"' })
    end)
    after_each(function() fs.remove(folder) end)

    it("is refused with a reason if it holds false", function()
        assert(fs.write(file, "false"))
        assert.are.same({ nil, file .. ": not a JSON object" }, { progress_file.read(folder) })
    end)

    it("gives back what was written, with size and checksum of the other files", function()
        local progress = assert(progress_file.read(folder))
        assert.are.equal(3, progress.step)
        assert.are.equal(json.null, progress.loss)
        assert.are.equal('says "self_crc32c": "01234567"', progress.note)
        assert.are.same({ bytes = 5, crc32c = require("bertlua.storage").crc32c "model" },
            progress.files["model.safetensors"])
        assert.is_nil(progress.files["progress.json"])
        -- Writing it again changes nothing.
        local text = fs.read(file)
        progress.loss = nil
        progress_file.write(folder, progress)
        assert.are.equal(#text - #'  "loss": null,\n', #fs.read(file))
    end)

    it("is refused after any change of a byte", function()
        local text = fs.read(file)
        for at = 1, #text do
            for _, mask in ipairs { 1, 32, 128 } do
                assert(fs.write(file, text:sub(1, at - 1) .. string.char(bit.bxor(text:byte(at), mask))
                    .. text:sub(at + 1)))
                local progress, reason = progress_file.read(folder)
                assert.is_nil(progress, ("byte %d, mask %d"):format(at, mask))
                assert.matches("progress.json", reason)
            end
        end
        assert(fs.write(file, text .. " "))
        assert.matches("progress.json: is damaged: its CRC32C is %x+, expected %x+$",
            select(2, progress_file.read(folder)))
    end)

    it("of an older version is read, of a newer one refused", function()
        local function read(text)
            assert(fs.write(file, text))
            local progress, reason = progress_file.read(folder)
            return progress and progress.step, reason
        end
        assert.are.equal(7, (read '{"step": 7, "format": 1, "files": {}}'))
        assert.are.equal(7, (read '{"step": 7, "files": {}}'))
        for text, reason in pairs {
            ['{"step": 7, "format": 3, "files": {}}'] = "is of format 3, but this version of bertlua reads up to 2$",
            ['{"step": 7, "format": "\\u001b", "files": {}}'] = "is of format \\x1b, but",
            ['{"step": 7, "format": null, "files": {}}'] = "is of format userdata: ",
            ['{"step": 7, "format": 2, "files": {}}'] = "is damaged: its checksum is missing$",
            ['{"step": 7, "self_crc32c": 0, "files": {}}'] = "is damaged: its checksum is missing$",
            ['{"step": 1e400, "files": {}}'] = "progress.json",
            ['{"step": -1, "files": {}}'] = "contains no step or list of files",
            ['{"step": 7, "files": {"../x": {}}}'] = "../x is not the name of a file of the checkpoint$",
            ['{"step": 7, "files": {"/etc/passwd": {"bytes": 1, "crc32c": 1}}}'] = "/etc/passwd is not the name",
            ['{"step": 7, "files": {"a\\u001b": {"bytes": 1, "crc32c": 1}}}'] = "a\\x1b is not the name",
            ['{"step": 7, "files": {"a": {"bytes": 0.5, "crc32c": 1}}}'] = "contains no size and checksum of a$",
        } do
            local step, found = read(text)
            assert.is_nil(step)
            assert.matches(reason, found)
        end
    end)
end)
