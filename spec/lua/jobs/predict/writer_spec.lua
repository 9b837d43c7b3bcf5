--- Files of predictions: whole or not there.

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local writer = require "bertlua.jobs.predict.writer"

describe("a file of predictions", function()
    local folder
    before_each(function() folder = assert(fs.temporary_folder "bertlua-writer-") end)
    after_each(function() assert(fs.remove(folder)) end)

    local function write(text)
        local output = writer.open(folder .. "/out")
        output:write(text)
        return output
    end

    it("appears when it is whole", function()
        local output = write "a\n"
        assert.is_false(fs.exists(folder .. "/out"))
        output:write "b\n"
        output:finish()
        assert.are.equal("a\nb\n", fs.read(folder .. "/out"))
        assert.are.same({ "out" }, fs.list(folder))
    end)

    it("is not there after a fault, and leaves what was there", function()
        write("old"):finish()
        assert.are.equal("nothing was written to " .. folder .. "/out", write("new"):abandon())
        assert.are.same({ "out" }, fs.list(folder))
        assert.are.equal("old", fs.read(folder .. "/out"))
    end)

    it("goes with the process that began it, if that was killed", function()
        local dead, alive = folder .. "/out.part-4194399", folder .. "/out.part-1"
        for _, path in ipairs { dead, alive, folder .. "/out.part-x" } do assert(fs.write(path, "half")) end
        write("a"):finish()
        assert.are.same({ false, true, true },
            { fs.exists(dead), fs.exists(alive), fs.exists(folder .. "/out.part-x") })
    end)

    it("keeps an earlier one that differs", function()
        write("old"):finish()
        write("old"):finish()
        assert.is_false(fs.exists(folder .. "/out.1"))
        local warn = require("bertlua.util.term").warn
        local told
        require("bertlua.util.term").warn = function(text) told = text end
        write("new"):finish()
        require("bertlua.util.term").warn = warn
        assert.matches("/out was there already and differs: kept as .*/out%.1$", told)
        assert.are.same({ "new", "old" }, { fs.read(folder .. "/out"), fs.read(folder .. "/out.1") })
    end)

    it("says what cannot be written", function()
        for path, pattern in pairs { [folder] = "is a folder, expected a file",
            [folder .. "/no/x"] = "cannot write" } do
            local ok, problem = pcall(writer.open, path)
            assert.is_false(ok)
            assert.is_true(fault.is(problem))
            assert.matches(pattern, tostring(problem))
        end
        local full = writer.open "/dev/full"
        local ok, problem = pcall(full.write, full, "x")
        assert.is_false(ok)
        assert.matches("^/dev/full: cannot write: No space left", tostring(problem))
        assert.is_nil(full:abandon())
    end)
end)
