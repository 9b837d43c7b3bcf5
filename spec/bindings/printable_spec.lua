--- Text of unknown origin on its way to a terminal.

local fault = require "bertlua.fault"
local printable = require "bertlua.printable"

describe("printable", function()
    it("escapes what a terminal would obey", function()
        for text, shown in pairs {
            ["\27]0;owned\7\27[2J"] = "\\x1b]0;owned\\x07\\x1b[2J",
            ["two\r\nlines\there"] = "two\\r\\nlines\\there",
            ["nul\0del\127"] = "nul\\x00del\\x7f",
            -- CSI as one byte, and as a character of UTF-8.
            ["\155 2J \194\155"] = "\\x9b 2J \\xc2\\x9b",
            -- Right-to-left override: "exe.txt" for a name that ends in "txt.exe".
            ["a\226\128\174txt.exe"] = "a\\xe2\\x80\\xaetxt.exe",
            ["broken \195 \228\184"] = "broken \\xc3 \\xe4\\xb8",
            ["\192\155\245\144\144\144"] = "\\xc0\\x9b\\xf5\\x90\\x90\\x90",
        } do
            assert.are.equal(shown, printable.text(text))
        end
    end)

    it("leaves all other text as it is", function()
        for _, text in ipairs { "", "bert.encoder.layer.0", "Größe, 東京, \240\159\152\128", "50% \\ \"x\"" } do
            assert.are.equal(text, printable.text(text))
        end
    end)

    it("keeps the lines of a longer text", function()
        assert.are.equal("a\\x1b\n\n\\tb\n", printable.lines "a\27\n\n\tb\n")
        assert.are.equal("plain", printable.lines "plain")
    end)

    it("is what the message of every fault went through", function()
        local _, problem = pcall(fault.raise, "x.safetensors: tensor \27[31mEVIL\n  is damaged")
        assert.are.equal("x.safetensors: tensor \\x1b[31mEVIL; is damaged", tostring(problem))
    end)
end)
