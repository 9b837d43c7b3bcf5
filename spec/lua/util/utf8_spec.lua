--- Which bytes are UTF-8.

local utf8 = require "bertlua.util.utf8"

describe("utf8", function()
    it("accepts every length of code point, up to the last of each", function()
        for _, text in ipairs { "", "plain", "é", "\223\191", "水", "\239\191\191", "🦊", "\244\143\191\191",
            "\237\159\191", "\238\128\128", "\0" } do
            assert.is_nil(utf8.invalid_byte(text))
        end
    end)

    it("finds the first byte that belongs to none", function()
        for text, at in pairs {
            ["\128"] = 1,                 -- without a lead
            ["ab\255"] = 3,
            ["é\195"] = 3,                -- cut short
            ["水\230\176"] = 4,
            ["\240\159\166"] = 1,
            ["\195x"] = 1,
            ["\230\176x"] = 1,
            ["\240\159\166x"] = 1,
            ["\192\128"] = 1,             -- longer than it need be
            ["\193\191"] = 1,
            ["\224\159\191"] = 1,
            ["\240\143\191\191"] = 1,
            ["\237\160\128"] = 1,         -- a surrogate
            ["\244\144\128\128"] = 1,     -- beyond U+10FFFF
            ["\245\128\128\128"] = 1,
            ["é水\254"] = 6,
        } do
            assert.are.equal(at, utf8.invalid_byte(text), ("%q"):format(text))
        end
    end)
end)
