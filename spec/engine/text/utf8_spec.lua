--- Whether bytes are UTF-8, and from which byte on they are not.

local text = require "bertlua.text"

describe("UTF-8", function()
    it("accepts code points of every length, up to the last of each", function()
        for _, bytes in ipairs { "", "plain", "é", "\223\191", "水", "\239\191\191", "🦊", "\244\143\191\191",
            "\237\159\191", "\238\128\128", "\0" } do
            assert.is_nil(text.invalid_utf8(bytes))
        end
    end)

    it("finds the first byte that is not part of one", function()
        for bytes, at in pairs {
            ["\128"] = 0,                 -- no lead byte
            ["ab\255"] = 2,
            ["é\195"] = 2,                -- cut short
            ["水\230\176"] = 3,
            ["\240\159\166"] = 0,
            ["\195x"] = 0,
            ["\230\176x"] = 0,
            ["\240\159\166x"] = 0,
            ["\192\128"] = 0,             -- overlong
            ["\193\191"] = 0,
            ["\224\159\191"] = 0,
            ["\240\143\191\191"] = 0,
            ["\237\160\128"] = 0,         -- a surrogate
            ["\244\144\128\128"] = 0,     -- beyond U+10FFFF
            ["\245\128\128\128"] = 0,
            ["é水\254"] = 5,
        } do
            assert.are.equal(at, text.invalid_utf8(bytes), ("%q"):format(bytes))
        end
    end)

    it("may start anywhere", function()
        assert.are.equal(5, text.invalid_utf8("\255 é \255", 1))
        assert.is_nil(text.invalid_utf8("\255 é", 1))
    end)
end)
