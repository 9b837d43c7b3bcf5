--- Paths that were read from a file.

local fs = require "bertlua.util.fs"
local inside = require "bertlua.util.inside"
local unistd = require "posix.unistd"

describe("inside", function()
    local base, folder

    before_each(function()
        base = assert(fs.temporary_folder())
        folder = base .. "/corpus"
        assert(fs.mkdirs(folder .. "/text"))
        assert(fs.write(folder .. "/text/a.txt", "a"))
        assert(fs.write(base .. "/precious", "p"))
    end)
    after_each(function() fs.remove(base) end)

    it("knows the paths that stay in their folder", function()
        for _, path in ipairs { "a", "text/a.txt", "./a", "a//b", "..a", "a..", "a/...", "Größe" } do
            assert.is_nil(inside.problem(path), path)
        end
        for path, problem in pairs {
            ["/etc/passwd"] = "is absolute", [".."] = "leads out of its folder", ["../x"] = "leads out of its folder",
            ["a/../../x"] = "leads out of its folder", ["a/.."] = "leads out of its folder", [""] = "is not a path",
            [7] = "is not a path", [false] = "is not a path", ["a\0b"] = "contains control characters",
            ["a\nb"] = "contains control characters",
        } do
            assert.are.equal(problem, inside.problem(path))
        end
        assert.is_true(inside.is_name "a.txt")
        for _, name in ipairs { "text/a.txt", ".", "..", "", "a/", 3 } do assert.is_false(inside.is_name(name)) end
    end)

    it("finds plain files only", function()
        assert.are.equal(folder .. "/text/a.txt", inside.file(folder, "text/a.txt"))
        assert.are.same({ nil, "does not exist" }, { inside.file(folder, "text/b.txt") })
        assert.are.same({ nil, "is not a plain file" }, { inside.file(folder, "text") })
        assert(require("posix.sys.stat").mkfifo(folder .. "/pipe"))
        assert.are.same({ nil, "is not a plain file" }, { inside.file(folder, "pipe") })
        assert.are.same({ nil, "leads out of its folder" }, { inside.file(folder, "../precious") })
        -- What does not exist yet can still be written there.
        assert.are.equal(folder .. "/text/b.txt", inside.resolve(folder, "text/b.txt"))
    end)

    it("follows no link, wherever it is in the path, but into the folder itself", function()
        assert(unistd.link("../precious", folder .. "/link", true))
        assert(unistd.link("..", folder .. "/out", true))
        assert.are.same({ nil, "leads over a link" }, { inside.file(folder, "link") })
        assert.are.same({ nil, "leads over a link" }, { inside.file(folder, "out/precious") })
        assert.are.same({ nil, "leads over a link" }, { inside.resolve(folder, "out/new") })
        assert(unistd.link("corpus", base .. "/mine", true))
        assert.are.equal(base .. "/mine/text/a.txt", inside.file(base .. "/mine", "text/a.txt"))
    end)
end)
