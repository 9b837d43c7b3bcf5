--- CRC32C against the vectors of RFC 3720 (appendix B.4), and its masked form.

local fs = require "bertlua.util.fs"
local storage = require "bertlua.storage"
local tensor = require "bertlua.tensor"

--- The definition, bit by bit: reflected polynomial 0x82F63B78.
local function reference(text)
    local crc = 0xFFFFFFFF
    for i = 1, #text do
        crc = bit.bxor(crc, text:byte(i))
        for _ = 1, 8 do
            local low = bit.band(crc, 1)
            crc = bit.rshift(crc, 1)
            if low == 1 then crc = bit.bxor(crc, 0x82F63B78) end
        end
    end
    return bit.bxor(crc, 0xFFFFFFFF) % 2 ^ 32
end

describe("crc32c", function()
    it("gives the published values", function()
        local ascending = {}
        for i = 0, 31 do ascending[i + 1] = string.char(i) end
        assert.are.equal(0, storage.crc32c "")
        assert.are.equal(0xE3069283, storage.crc32c "123456789")
        assert.are.equal(0x8A9136AA, storage.crc32c(("\0"):rep(32)))
        assert.are.equal(0x62A8AB43, storage.crc32c(("\255"):rep(32)))
        assert.are.equal(0x46DD794E, storage.crc32c(table.concat(ascending)))
        assert.are.equal(0x113FDB5C, storage.crc32c(table.concat(ascending):reverse()))
    end)

    it("agrees with the definition at every length and offset", function()
        local text = {}
        for i = 1, 70 do text[i] = string.char(i * 37 % 256) end
        text = table.concat(text)
        for first = 1, 9 do
            for last = first - 1, #text, 3 do
                local part = text:sub(first, last)
                assert.are.equal(reference(part), storage.crc32c(part))
            end
        end
    end)

    it("agrees with the definition on long data, whose parts are summed side by side", function()
        local text = {}
        for i = 1, 50100 do text[i] = string.char(i * i % 251) end
        text = table.concat(text)
        for _, bytes in ipairs { 16383, 16384, 16385, 49152, 49999, 50100 } do
            local part = text:sub(1, bytes)
            assert.are.equal(reference(part), storage.crc32c(part))
            assert.are.equal(reference(part), storage.crc32c(part:sub(101), storage.crc32c(part:sub(1, 100))))
        end
    end)

    it("continues from an earlier part", function()
        assert.are.equal(0xE3069283, storage.crc32c("56789", storage.crc32c "1234"))
    end)

    it("masks by rotation and a constant", function()
        -- rotr(0xE3069283, 15) = 0x2507C60D; + 0xA282EAD8.
        assert.are.equal(0xC78AB0E5, storage.masked_crc32c "123456789")
    end)

    it("covers a tensor's bytes and a file's", function()
        local t = tensor.from({ 1, 2, 3 }, "i8")
        assert.are.equal(reference "\1\2\3", storage.crc32c(t))
        assert.has_error(function() storage.crc32c(tensor.from({ { 1, 2 }, { 3, 4 } }, "i8"):transpose(1, 2)) end)
        local folder = assert(fs.temporary_folder())
        local text = ("0123456789"):rep(200000)
        assert(fs.write(folder .. "/f", text))
        local crc, bytes = storage.file_crc32c(folder .. "/f")
        assert.are.equal(storage.crc32c(text), crc)
        assert.are.equal(2000000, bytes)
        assert.are.same({ nil, folder .. "/g: cannot open: no such file or folder" },
            { storage.file_crc32c(folder .. "/g") })
        fs.remove(folder)
    end)
end)
