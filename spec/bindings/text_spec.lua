--- Characters as Unicode sees them. Tokenization: spec/engine/text.

local text = require "bertlua.text"

describe("lower case", function()
    it("follows Unicode's full mappings", function()
        assert.are.equal("plain 1", text.lower "PLAIN 1")
        assert.are.equal("àβгⱥk", text.lower "ÀΒГȺK")
        assert.are.equal("ς σα", text.lower "ς ΣΑ")
        assert.are.equal("", text.lower "")
        assert.are.equal("aé\255", text.lower "AÉ\255")
    end)

    it("is told from other characters by words", function()
        for _, c in ipairs { 0x41, 0x5f, 0x30, 0xe9, 0x4e00, 0xb2, 0xbd, 0x2160, 0x661 } do
            assert.is_true(text.is_word_character(c))
        end
        for _, c in ipairs { 0x20, 0x2d, 0x301, 0xab, 0x1f98a, 0x200b, 0xe000 } do
            assert.is_false(text.is_word_character(c))
        end
    end)
end)
