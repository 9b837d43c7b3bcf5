--- `bertlua doctor`, with everything in place and with the engine missing.

local process = require "spec.support.process"

describe("doctor", function()
    it("finds everything required", function()
        local text, code = process.run_bertlua("doctor", "cd / &&")
        assert.are.equal(0, code, text)
        for _, name in ipairs { "engine", "processor", "threads", "memory", "HDF5", "recipes", "vocabularies" } do
            assert.is_truthy(text:find("\n?%w+%s+" .. name), name)
        end
        assert.is_nil(text:find "\nmissing")
    end)

    it("fails and says what to do when the engine is missing", function()
        local text, code = process.run_bertlua("doctor", "BERTLUA_LIB=/no/such.so")
        assert.are.equal(1, code)
        assert.is_truthy(text:find "missing  engine" and text:find "/no/such.so" and text:find "run make")
    end)
end)
