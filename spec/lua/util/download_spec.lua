--- Downloads against a server of the spec's own: resumed, retried, checked, never mistaken for complete.

local download = require "bertlua.util.download"
local fs = require "bertlua.util.fs"
local http_server = require "spec.support.http_server"
local storage = require "bertlua.storage"

local TEXT = ("The mill turns when the wind is right.\n"):rep(20000)

describe("download", function()
    local server, folder, path, sha1

    setup(function()
        server = http_server.start(TEXT)
    end)
    teardown(function() server.stop() end)
    before_each(function()
        folder = assert(fs.temporary_folder())
        path = fs.join(folder, "dump.xml.bz2")
        assert(fs.write(fs.join(folder, "source"), TEXT))
        sha1 = "sha1:" .. storage.digest(fs.join(folder, "source"), "sha1")
    end)
    after_each(function() fs.remove(folder) end)

    local function fetch(names, options)
        local urls, messages = {}, {}
        for name in names:gmatch "%S+" do
            urls[#urls + 1] = name:find ":" and name or server.url .. name
        end
        local settings = { path = path, urls = urls, retries = 3, timeout = 10, wait = 0.01,
            on_retry = function(message) messages[#messages + 1] = message end }
        for key, value in pairs(options or {}) do settings[key] = value end
        local good, result = pcall(download.fetch, settings)
        if not good then result = tostring(result) end
        return good, result, messages
    end

    local function assert_whole()
        assert.are.equal(TEXT, fs.read(path))
        assert.is_false(fs.exists(path .. ".part"))
        assert.is_false(fs.exists(path .. ".part.json"))
    end

    it("hashes as the published sums do", function()
        local file = fs.join(folder, "abc")
        assert(fs.write(file, "abc"))
        assert.are.equal("900150983cd24fb0d6963f7d28e17f72", storage.digest(file, "md5"))
        assert.are.equal("a9993e364706816aba3e25717850c26c9cd0d89d", storage.digest(file, "sha1"))
        assert(fs.write(file, ("a"):rep(1000000)))
        assert.are.equal("7707d6ae4e027c70eea2a935c2296f21", storage.digest(file, "md5"))
        assert.are.equal("34aa973cd4c4daa4f61eeb2bdbad27316534016f", storage.digest(file, "sha1"))
        assert(fs.write(file, ""))
        assert.are.equal("d41d8cd98f00b204e9800998ecf8427e", storage.digest(file, "md5"))
        assert.is_true(download.matches(file,
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"))
        assert.has_error(function() download.checksum "sha1:abc" end)
    end)

    it("fetches a file once", function()
        assert.is_true(select(2, fetch("file", { checksum = sha1 })))
        assert_whole()
        assert.is_false(select(2, fetch("file", { checksum = sha1 })))
    end)

    it("fetches from a file", function()
        assert.is_true((fetch("file://" .. fs.join(folder, "source"), { checksum = sha1 })))
        assert_whole()
    end)

    it("resumes a transfer that broke off", function()
        local good, _, messages = fetch "cut"
        assert.is_true(good)
        assert.are.equal(1, #messages)
        assert_whole()
    end)

    it("resumes what an earlier run left", function()
        assert(fs.write(path .. ".part", TEXT:sub(1, 1000)))
        local notes = ('{"url":"%sfile","total":%d,"etag":"\\"one\\""}'):format(server.url, #TEXT)
        assert(fs.write(path .. ".part.json", notes))
        local first
        assert.is_true((fetch("file", { on_progress = function(received) first = first or received end })))
        assert.is_true(first >= 1000)
        assert_whole()
    end)

    it("does without notes that nobody could have written", function()
        for _, notes in ipairs { '{"total":"9"}', '{"total":[]}', '{"url":"%sfile","etag":5}',
            '{"url":"%sfile","etag":"a\\r\\nb"}', "[1]", "5" } do
            assert(fs.write(path .. ".part", TEXT:sub(1, 1000)))
            assert(fs.write(path .. ".part.json", (notes:gsub("%%s", server.url))))
            assert.is_true((fetch("file", { checksum = sha1 })))
            assert_whole()
            os.remove(path)
        end
    end)

    it("starts over when the server cannot resume", function()
        assert.is_true((fetch("norange", { checksum = sha1 })))
        assert_whole()
    end)

    it("never mixes two versions of a file", function()
        assert.is_true((fetch "changed"))
        assert.are.equal(TEXT:reverse(), fs.read(path))
    end)

    it("tries again while a server is busy", function()
        local good, _, messages = fetch "busy"
        assert.is_true(good)
        assert.are.equal(2, #messages)
        assert_whole()
    end)

    it("takes the next mirror when a file is missing or wrong", function()
        local good, _, messages = fetch("missing wrong file", { checksum = sha1 })
        assert.is_true(good)
        assert.is_truthy(messages[1]:find("404", 1, true), messages[1])
        assert.is_truthy(messages[2]:find("the download has checksum", 1, true), messages[2])
        assert_whole()
    end)

    it("never gives a partial or wrong file its name", function()
        local good, message = fetch("cut-missing wrong", { checksum = sha1, retries = 1 })
        assert.is_false(good)
        assert.is_truthy(message:find("expected " .. sha1, 1, true), message)
        assert.is_false(fs.exists(path))
        assert(fs.write(path .. ".part", TEXT:sub(1, 500)))
        good, message = fetch("missing", { retries = 0 })
        assert.is_false(good)
        assert.is_truthy(message:find("download failed", 1, true), message)
        assert.is_false(fs.exists(path))
    end)

    it("gives up a missing file without further rounds", function()
        local good, _, messages = fetch("nowhere", { retries = 50, wait = 5 })
        assert.is_false(good)
        assert.are.equal(1, #messages)
    end)

    it("refuses an existing file that does not match", function()
        assert(fs.write(path, "something else"))
        local good, message = fetch("file", { checksum = sha1 })
        assert.is_false(good)
        assert.is_truthy(message:find("remove the file to fetch it again", 1, true), message)
    end)
end)
