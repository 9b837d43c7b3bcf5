--- Downloads of the published SQuAD files: checked, and complete or absent.

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local http_server = require "spec.support.http_server"
local published = require "bertlua.squad.published"

describe("published SQuAD files", function()
    local folder, server
    local function hush() end
    local quiet = { retries = 0, timeout = 5, on_retry = hush, on_progress = hush }
    setup(function()
        folder = assert(fs.temporary_folder "published_spec")
        server = http_server.start "abc"
    end)
    teardown(function()
        server.stop()
        fs.remove(folder)
    end)

    it("have the well-known checksums", function()
        assert.are.equal("md5:981b29407e0affa3b1b156f72073b945", published.checksum "train-v1.1.json")
        assert.are.equal("md5:3e85deb501d4e538b6bc56f786231552", published.checksum "dev-v1.1.json")
        assert.is_nil(published.checksum "train.json")
        assert.is_true(published.is_missing(folder .. "/dev-v1.1.json"))
        assert.is_false(published.is_missing(folder .. "/dev.json"))
    end)

    it("arrive complete, and once", function()
        local path = folder .. "/new/dev-v1.1.json"
        local options = { checksum = "md5:900150983cd24fb0d6963f7d28e17f72", on_progress = hush }
        assert.is_true(published.fetch(path, server.url, options))
        assert.are.equal("abc", fs.read(path))
        assert.is_false(published.is_missing(path))
        assert.is_false(published.fetch(path, server.url, options))
    end)

    it("are refused when something else arrives, or nothing", function()
        local path = folder .. "/train-v1.1.json"
        local ok, message = pcall(published.fetch, path, server.url, quiet)
        assert.is_false(ok)
        assert.is_true(fault.is(message))
        assert.matches("train%-v1%.1%.json: the download has checksum md5:9001%x+, expected md5:981b",
            tostring(message))
        assert.is_false(fs.exists(path))
        ok, message = pcall(published.fetch, path, "http://127.0.0.1:1", quiet)
        assert.is_false(ok)
        assert.matches("download failed", tostring(message))
        assert.is_false(fs.exists(path))
    end)
end)
