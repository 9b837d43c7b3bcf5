local base64 = require "bertlua.util.base64"

describe("base64", function()
    it("gives RFC 4648's examples", function()
        local expected = { [""] = "", f = "Zg==", fo = "Zm8=", foo = "Zm9v", foob = "Zm9vYg==", fooba = "Zm9vYmE=",
            foobar = "Zm9vYmFy" }
        for bytes, text in pairs(expected) do assert.are.equal(text, base64.encode(bytes)) end
        assert.are.equal("+/8A", base64.encode "\251\255\0")
    end)
end)
