--- CRC-32 of a part of a file.

local fs = require "bertlua.util.fs"
local storage = require "bertlua.storage"

describe("crc32", function()
    local folder, path

    setup(function()
        folder = assert(fs.temporary_folder())
        path = folder .. "/f"
    end)
    teardown(function() fs.remove(folder) end)

    it("is that of ISO 3309, which zip and gzip use", function()
        assert(fs.write(path, "..123456789.."))
        assert.are.equal(0xCBF43926, storage.file_crc32(path, 2, 9))
        assert.are.equal(0, storage.file_crc32(path, 13, 0))
        -- More than is read at once: of 3 MiB + 5 zeros, by Python's zlib.
        assert(fs.write(path, ("\0"):rep(3 * 2 ^ 20 + 5)))
        assert.are.equal(0xca88dc8c, storage.file_crc32(path, 0, 3 * 2 ^ 20 + 5))
    end)

    it("says where a file ends too early, or is missing", function()
        assert(fs.write(path, "12345"))
        local crc, message = storage.file_crc32(path, 3, 4)
        assert.is_nil(crc)
        assert.are.equal(path .. ": ends at byte 5, expected 2 more", message)
        assert.matches("no such file", select(2, storage.file_crc32(folder .. "/none", 0, 1)))
        assert.has_error(function() storage.file_crc32(path, 2 ^ 63, 1) end)
    end)
end)
