--- Earlier results keep their contents under another name.

local aside = require "bertlua.util.aside"
local fs = require "bertlua.util.fs"

describe("aside", function()
    local folder, path

    before_each(function()
        folder = assert(fs.temporary_folder())
        path = folder .. "/a+b.json"
    end)
    after_each(function() fs.remove(folder) end)

    it("numbers what it keeps, the newest highest", function()
        for n = 1, 11 do
            assert(fs.write(path, "run " .. n))
            assert.are.equal(path .. "." .. n, (aside.keep(path)))
        end
        assert.are.equal("run 11", fs.read(path .. ".11"))
        assert.is_false(fs.exists(path))
        -- A gap is not filled: it would look like an older run.
        assert(fs.remove(path .. ".3"))
        assert(fs.write(path, "run 12"))
        assert.are.equal(path .. ".12", (aside.keep(path)))
    end)

    it("keeps nothing where nothing would be lost", function()
        assert.is_nil((aside.keep(path)))
        assert(fs.write(path, ""))
        assert.is_nil((aside.keep(path)))
        assert.is_nil((aside.keep "/dev/null"))
        assert.is_nil((aside.keep(folder)))
        assert.are.same({ "a+b.json" }, fs.list(folder))
    end)

    it("replaces a file, and keeps what was in it unless it is the same", function()
        assert.are.same({ true }, { aside.write(path, "one") })
        assert.are.same({ true }, { aside.write(path, "one") })
        assert.are.same({ true, path .. ".1" }, { aside.write(path, "two") })
        assert.are.same({ "one", "two" }, { fs.read(path .. ".1"), fs.read(path) })
        assert.is_nil((aside.write(folder .. "/none/x", "text")))
    end)

    it("writes into a device and into what a link leads to, and replaces neither", function()
        local lfs, unistd = require "lfs", require "posix.unistd"
        local target = folder .. "/real.txt"
        assert(fs.write(target, "one"))
        assert.are.equal(0, unistd.link(target, path, true))
        assert.are.same({ true, path .. ".1" }, { aside.write(path, "two") })
        assert.are.equal("link", lfs.symlinkattributes(path, "mode"))
        assert.are.equal("two", fs.read(target))
        assert.are.equal("one", fs.read(path .. ".1"))
        assert.are.equal(0, unistd.link("/dev/null", folder .. "/null", true))
        assert.are.same({ true }, { aside.write(folder .. "/null", "gone") })
        assert.are.equal("link", lfs.symlinkattributes(folder .. "/null", "mode"))
        local pipe = folder .. "/pipe"
        assert(os.execute("mkfifo " .. pipe))
        local reader = assert(io.popen("cat " .. pipe))
        assert.are.same({ true }, { aside.write(pipe, "through") })
        assert.are.equal("through", reader:read "*a")
        reader:close()
        assert.are.equal("named pipe", lfs.symlinkattributes(pipe, "mode"))
    end)
end)
