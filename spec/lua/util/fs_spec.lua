--- Files and folders.

local lfs = require "lfs"

local fs = require "bertlua.util.fs"

describe("fs", function()
    local folder

    before_each(function()
        folder = assert(fs.temporary_folder "bertlua-fs")
    end)

    after_each(function()
        fs.remove(folder)
    end)

    it("takes paths apart and puts them together", function()
        assert.are.equal("a/b/c", fs.join("a/", "b", "c"))
        assert.are.equal("/c/d", fs.join("a", "/c", "d"))
        assert.are.equal("a", fs.join("", "a", ""))
        assert.are.equal("/a", fs.join("/", "a"))
        assert.are.same({ "a", ".", "/", "/", "a" },
            { fs.dirname "a/b", fs.dirname "b", fs.dirname "/b", fs.dirname "/", fs.dirname "a/b/" })
        assert.are.same({ "b", "b", "b" }, { fs.basename "a/b", fs.basename "b", fs.basename "/a/b/" })
    end)

    it("knows two paths to one file", function()
        assert(fs.write(folder .. "/a", "x"))
        assert(fs.write(folder .. "/b", "x"))
        assert(require("posix.unistd").link("a", folder .. "/link", true))
        assert.are.equal(fs.identity(folder .. "/a"), fs.identity(folder .. "/link"))
        assert.are.equal(fs.identity(folder .. "/a"), fs.identity(folder .. "/./a"))
        assert.are_not.equal(fs.identity(folder .. "/a"), fs.identity(folder .. "/b"))
        assert.is_nil(fs.identity(folder .. "/none"))
    end)

    it("makes folders with their parents", function()
        assert.is_true(fs.mkdirs(folder .. "/x/y/z"))
        assert.is_true(fs.mkdirs(folder .. "/x/y/z"))
        assert.is_true(fs.is_directory(folder .. "/x/y/z"))
        assert(fs.write(folder .. "/file", "text"))
        assert.are.same({ nil, folder .. "/file: cannot create the folder: a file with that name exists" },
            { fs.mkdirs(folder .. "/file/sub") })
    end)

    it("lists, reads and copies, and knows files from folders", function()
        assert(fs.write(folder .. "/b", "two\0"))
        assert(fs.copy(folder .. "/b", folder .. "/a"))
        assert(fs.mkdirs(folder .. "/c"))
        assert.are.same({ "a", "b", "c" }, fs.list(folder))
        assert.are.equal("two\0", fs.read(folder .. "/a"))
        assert.are.equal(4, fs.size(folder .. "/a"))
        assert.are.same({ "file", "directory" }, { fs.kind(folder .. "/a"), fs.kind(folder .. "/c") })
        assert.is_true(fs.exists(folder .. "/a"))
        assert.is_true(fs.is_file(folder .. "/a"))
        assert.is_false(fs.is_file(folder .. "/c"))
        assert.is_false(fs.exists(folder .. "/d"))
        assert.is_nil(fs.size(folder .. "/d"))
        assert.are.same({ nil, folder .. "/d: no such folder" }, { fs.list(folder .. "/d") })
        assert.are.same({ nil, folder .. "/a: not a folder" }, { fs.list(folder .. "/a") })
        assert.matches("No such file", select(2, fs.read(folder .. "/d")))
        assert.are.same({ nil, folder .. "/c: cannot be read: it is a folder" }, { fs.read(folder .. "/c") })
        assert.matches("No such file", select(2, fs.copy(folder .. "/d", folder .. "/e")))
    end)

    it("removes whole folders without following links", function()
        assert(fs.mkdirs(folder .. "/tree/sub"))
        assert(fs.write(folder .. "/kept", "x"))
        assert(fs.write(folder .. "/tree/sub/f", "x"))
        assert(lfs.link(folder, folder .. "/tree/link", true))
        assert.is_true(fs.remove(folder .. "/tree"))
        assert.are.same({ "kept" }, fs.list(folder))
        assert.is_true(fs.rename(folder .. "/kept", folder .. "/renamed"))
        assert.is_true(fs.sync(folder .. "/renamed"))
        assert.is_true(fs.remove(folder .. "/renamed"))
        assert.is_nil((fs.remove(folder .. "/renamed")))
    end)

    it("notices a failed write however often the code ran before", function()
        -- Enough calls that LuaJIT compiles what it may, with the failing file last.
        for count = 1, 120, 7 do
            local files = {}
            for i = 1, count do files[i] = assert(io.open("/dev/null", "wb")) end
            files[count + 1] = assert(io.open("/dev/full", "wb"))
            local ok, reason
            for _, file in ipairs(files) do ok, reason = fs.append(file, "x") end
            assert.is_nil(ok)
            assert.matches("No space left", reason)
            for _, file in ipairs(files) do file:close() end
        end
    end)
end)
