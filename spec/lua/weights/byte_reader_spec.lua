--- Bytes of a file in order, within bounds.

local ByteReader = require "bertlua.weights.byte_reader"
local fs = require "bertlua.util.fs"

describe("reader", function()
    local folder, path

    before_each(function()
        folder = assert(fs.temporary_folder())
        path = folder .. "/file"
        local pieces = {}
        for i = 0, 49999 do pieces[i + 1] = ("%04x"):format(i) end
        assert(fs.write(path, table.concat(pieces)))
    end)
    after_each(function() fs.remove(folder) end)

    it("reads and seeks across its buffer", function()
        local reader = ByteReader.open(path)
        assert.are.equal(200000, reader.size)
        assert.are.equal("00000001", reader:bytes(8))
        reader:skip(65524)
        assert.are.equal("3fff4000", reader:bytes(8))
        assert.are.equal(65540, reader.position)
        reader:seek(4)
        assert.are.equal(("0"):byte(), reader:byte())
        assert.are.equal("001" .. "0002", reader:bytes(7))
        assert.are.equal(100000, #reader:bytes(100000))
        reader:close()
    end)

    it("stays within its part of the file", function()
        local reader = ByteReader.open(path, 4, 8)
        assert.are.equal("0001", reader:bytes(4))
        assert.error_matches(function() reader:bytes(5) end, "/file: truncated at byte 12$")
        assert.are.equal("0002", reader:bytes(4))
        assert.error_matches(function() reader:byte() end, "/file: truncated at byte 12$")
        assert.error_matches(function() reader:seek(13) end, "/file: truncated at byte 12, expected 13 bytes$")
        assert.error_matches(function() reader:seek(-1) end, "/file: truncated at byte 12")
        reader:close()
        assert.error_matches(function() ByteReader.open(path, 199999, 2) end,
            "/file: truncated: bytes 199999 to 200001 of a file of 200000$")
        assert.error_matches(function() ByteReader.open(path, 200001) end, "/file: truncated: bytes 200001 to 200000")
    end)

    it("reads whole numbers and lines", function()
        assert(fs.write(path, "\1\2\255\255\255\255\255\255\31\0a line\nanother\nlong"))
        local reader = ByteReader.open(path)
        assert.are.equal(513, reader:unsigned(2))
        assert.are.equal(2 ^ 53 - 1, reader:unsigned(8))
        assert.are.equal("a line", reader:line(6))
        assert.error_matches(function() reader:line(6) end, "/file: a line of more than 6 bytes at byte 24$")
        assert.are.equal("", reader:line(80))
        assert.error_matches(function() reader:line(80) end, "/file: truncated at byte 29$")
        reader:close()
    end)

    it("says what cannot be opened", function()
        assert.error_matches(function() ByteReader.open(folder .. "/none") end,
            "/none: cannot open: no such file or directory$")
        assert.error_matches(function() ByteReader.open(folder) end, ": not a regular file$")
    end)
end)
