--- `bertlua doctor`, with everything in place and with the engine missing.

local process = require "spec.support.process"

describe("doctor", function()
    it("finds everything required", function()
        local text, code = process.run_bertlua("doctor", "cd / &&")
        assert.are.equal(0, code, text)
        for _, name in ipairs { "engine", "processor", "threads", "memory", "HDF5", "HDF5 reader", "recipes",
            "vocabularies" } do
            assert.is_truthy(text:find("\n?%w+%s+" .. name), name)
        end
        assert.is_nil(text:find "\nmissing")
    end)

    it("fails and says what to do when the program that reads shards is missing", function()
        local folder, build = process.temporary_folder(), process.bertlua:match "^(.*)/"
        process.run(("cd %s && cp libbertlua.so cdef.h %s/"):format(process.quote(build), process.quote(folder)))
        local text, code = process.run_bertlua("doctor", ("BERTLUA_LIB=%s/libbertlua.so"):format(process.quote(folder)))
        assert.are.equal(1, code, text)
        assert.is_truthy(text:find("missing  HDF5 reader      " .. folder .. "/bertlua-hdf5", 1, true), text)
        process.run("rm -rf " .. process.quote(folder))
    end)

    it("fails and says what to do when the engine is missing", function()
        local text, code = process.run_bertlua("doctor", "BERTLUA_LIB=/no/such.so")
        assert.are.equal(1, code)
        assert.is_truthy(text:find "missing  engine" and text:find "/no/such.so" and text:find "run make")
        assert.is_nil(text:find("attempt to", 1, true), text)
    end)
end)
