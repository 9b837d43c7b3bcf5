--- What is UTF-8, at the borders of what is allowed.

local utf8 = require "bertlua.util.utf8"

describe("utf8", function()
    it("accepts every length of code point, at its borders", function()
        for _, text in ipairs { "", "plain", "\0\127", "\194\128\223\191", "\224\160\128\239\191\191",
            "\237\159\191\238\128\128", "\240\144\128\128\244\143\191\191", "é█😀" } do
            assert.is_nil(utf8.invalid_byte(text))
        end
    end)

    it("names the first byte of what is none", function()
        for name, bytes in pairs {
            continuation = "\128", ["continuation alone"] = "\191", ["overlong of 2"] = "\192\175",
            ["overlong of 2, last"] = "\193\191", ["overlong of 3"] = "\224\159\191",
            ["overlong of 4"] = "\240\143\191\191", surrogate = "\237\160\128", ["last surrogate"] = "\237\191\191",
            ["beyond U+10FFFF"] = "\244\144\128\128", ["lead of 5"] = "\248\136\128\128\128", ["255"] = "\255",
            ["cut after 1 of 2"] = "\194", ["cut after 2 of 3"] = "\226\130", ["cut after 3 of 4"] = "\240\159\152",
            ["ASCII within"] = "\226\130a", ["lead within"] = "\240\159\195\169",
        } do
            assert.are.equal(1, utf8.invalid_byte(bytes), name)
            assert.are.equal(6, utf8.invalid_byte("abcé" .. bytes .. "z"), name)
        end
    end)
end)
