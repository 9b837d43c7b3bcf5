--- Durable files: replaced atomically or not at all, and the messages for the system's refusals.

local fs = require "bertlua.util.fs"
local process = require "spec.support.process"
local storage = require "bertlua.storage"
local unistd = require "posix.unistd"

describe("file", function()
    local folder

    before_each(function()
        folder = assert(fs.temporary_folder "bertlua-file")
    end)

    after_each(function()
        fs.remove(folder)
    end)

    --- Run Lua code in another process whose files may have at most `blocks` of 512 bytes; its output.
    local function limited(blocks, code)
        local script = folder .. "/script.lua"
        assert(fs.write(script, code))
        -- SIGXFSZ is ignored, so that the write itself fails, as on a full disk.
        local pipe = assert(io.popen(("trap '' XFSZ; ulimit -f %d; luajit %s 2>&1"):format(blocks, script)))
        local output = pipe:read "*a"
        pipe:close()
        return output
    end

    it("replaces a file and leaves nothing else behind", function()
        local path = folder .. "/f"
        assert(storage.write(path, "one"))
        assert(storage.write(path, "two\0and more"))
        assert.are.equal("two\0and more", fs.read(path))
        assert(storage.write(path, ""))
        assert.are.equal("", fs.read(path))
        assert.are.same({ "f" }, fs.list(folder))
    end)

    it("reports a full disk with the path, removes the part and keeps the older file", function()
        local path = folder .. "/big"
        assert(storage.write(path, "older"))
        local output = limited(8, ("package.path = %q\nprint(require('bertlua.storage').write(%q, ('x'):rep(100000)))")
            :format(package.path, path))
        assert.are.equal("nil\t" .. path .. ": cannot write at byte 4096: no space left under the file size limit: "
            .. "raise it with ulimit -f\n", output)
        assert.are.equal("older", fs.read(path))
        assert.are.same({ "big", "script.lua" }, fs.list(folder))
    end)

    it("reports a full disk as such", function()
        local disk = folder .. "/disk"
        assert(fs.mkdirs(disk))
        local mount = ("unshare -Urm sh -c 'mount -t tmpfs -o size=64k none %s && "):format(disk)
        if select(2, process.run(mount .. "true'")) ~= 0 then
            pending "this system lets no user mount a file system"
            return
        end
        assert(fs.write(folder .. "/script.lua", ([[
            package.path = %q
            print(require("bertlua.storage").write(%q, ("x"):rep(100000)))
        ]]):format(package.path, disk .. "/f")))
        assert.are.equal("nil\t" .. disk .. "/f: cannot write at byte 65536: no space left on the device: free some "
            .. "space or choose another output folder\n", (process.run(mount .. "luajit " .. folder .. "/script.lua'")))
    end)

    it("never writes through what stands at the temporary file's name", function()
        local path, temporary = folder .. "/f", ("%s/f.tmp-%d"):format(folder, unistd.getpid())
        assert(storage.write(folder .. "/precious", "precious"))
        local made = {
            link = function() assert(unistd.link("precious", temporary, true)) end,
            ["hard link"] = function() assert(unistd.link(folder .. "/precious", temporary)) end,
            dangling = function() assert(unistd.link("nothing", temporary, true)) end,
            pipe = function() assert(require("posix.sys.stat").mkfifo(temporary)) end,
            ["left over"] = function() assert(storage.write(temporary, "longer than what is written")) end,
        }
        for name, make in pairs(made) do
            make()
            assert.is_true(storage.write(path, name))
            assert.are.equal(name, fs.read(path))
            assert.are.equal("precious", fs.read(folder .. "/precious"))
            assert.are.same({ "f", "precious" }, fs.list(folder))
        end
        assert(fs.mkdirs(temporary))
        assert.matches("f: cannot create: ", select(2, storage.write(path, "x")))
    end)

    it("calls a failing disk by its name", function()
        -- Of another process's memory, nothing is at 0.
        assert.are.same({ nil, "/proc/self/mem: cannot read: input/output error (EIO): the disk, or the way to it, "
            .. "fails: see the system's log" }, { storage.file_crc32c "/proc/self/mem" })
        assert.are.same({ nil, "/proc/self/mem: cannot be read: input/output error (EIO): the disk, or the way to it, "
            .. "fails: see the system's log" }, { fs.read "/proc/self/mem" })
    end)

    it("cuts off the end of a file, or adds zeros", function()
        local path = folder .. "/f"
        for bytes, text in pairs { [2] = "ab", [4] = "ab\0\0" } do
            assert(storage.write(path, "ab" .. (bytes == 2 and "cd" or "")))
            assert.is_true(storage.truncate(path, bytes))
            assert.are.equal(text, fs.read(path))
        end
        assert.are.same({ nil, folder .. "/none: cannot open to shorten: no such file or folder" },
            { storage.truncate(folder .. "/none", 0) })
    end)

    it("syncs files and folders, renames, and says what it cannot do", function()
        assert(storage.write(folder .. "/a", "x"))
        assert.is_true(storage.sync(folder .. "/a"))
        assert.is_true(storage.sync(folder))
        assert.is_true(storage.rename(folder .. "/a", folder .. "/b"))
        assert.are.same({ "b" }, fs.list(folder))
        assert.are.same({ nil, folder .. "/a: cannot open for sync: no such file or folder" },
            { storage.sync(folder .. "/a") })
        assert.are.same({ nil, folder .. "/c: cannot rename to this name: no such file or folder" },
            { storage.rename(folder .. "/a", folder .. "/c") })
        assert.are.same({ nil, folder .. "/no/f: cannot create: no such file or folder" },
            { storage.write(folder .. "/no/f", "x") })
    end)

    it("knows the free space", function()
        assert.is_true(storage.free_bytes(folder) > 0)
        assert.is_nil((storage.free_bytes(folder .. "/none")))
    end)

    it("hashes files by SHA-256", function()
        -- FIPS 180-4 examples, and the lengths around the padding's block borders (values by sha256sum).
        local cases = {
            [""] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq =
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
            [("a"):rep(1000000)] = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
        }
        for text, hex in pairs(cases) do
            assert(storage.write(folder .. "/f", text))
            assert.are.equal(hex, storage.file_sha256(folder .. "/f"))
        end
        for size = 50, 70 do
            assert(storage.write(folder .. "/f", ("a"):rep(size)))
            local pipe = assert(io.popen("sha256sum " .. folder .. "/f"))
            assert.are.equal(pipe:read("*a"):match "^%x+", storage.file_sha256(folder .. "/f"))
            pipe:close()
        end
        assert.is_nil((storage.file_sha256(folder .. "/none")))
    end)
end)
