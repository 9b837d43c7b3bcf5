--- JSON texts that vouch for themselves.

local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local self_checksum = require "bertlua.util.self_checksum"

describe("self_checksum", function()
    local path
    before_each(function() path = os.tmpname() end)
    after_each(function() os.remove(path) end)

    it("gives back what was written", function()
        local value = { a = 1, list = json.array { 1, 2 }, text = "Größe" }
        assert.is_true(self_checksum.write(path, value))
        assert.is_nil(value.self_crc32c)
        assert.are.same(value, self_checksum.read(path))
        assert.matches('^{\n  "self_crc32c": "%x%x%x%x%x%x%x%x",\n  "a": 1,', (fs.read(path)))
    end)

    it("notices every byte that changes", function()
        assert.is_true(self_checksum.write(path, { a = 1, b = { c = "text" } }))
        local text = assert(fs.read(path))
        for at = 1, #text do
            for _, mask in ipairs { 1, 2, 4, 8, 16, 32, 64, 128 } do
                local file = assert(io.open(path, "wb"))
                file:write(text:sub(1, at - 1), string.char(bit.bxor(text:byte(at), mask)), text:sub(at + 1))
                file:close()
                local value, problem = self_checksum.read(path)
                -- Without the field's name it is a text without a checksum, whose other bytes are whole.
                if value then
                    local field = assert(text:find("self_crc32c", 1, true))
                    assert.is_true(at >= field and at < field + 11, ("byte %d, mask %d"):format(at, mask))
                    assert.are.equal(1, value.a)
                else
                    assert.are.equal(path .. ":", problem:sub(1, #path + 1))
                end
            end
        end
    end)

    it("reads texts without a checksum, of older versions", function()
        assert(fs.write(path, '{"a": 1}'))
        assert.are.same({ a = 1 }, self_checksum.read(path))
        for _, text in ipairs { "", "7", "{", "null" } do
            assert(fs.write(path, text))
            assert.is_nil((self_checksum.read(path)))
        end
        assert.is_nil((self_checksum.read(path .. "-none")))
    end)
end)
