--- The published SQuAD files: where they are, their MD5, and how a run gets the missing ones.
-- @module bertlua.squad.published

local download = require "bertlua.util.download"
local fs = require "bertlua.util.fs"
local printable = require "bertlua.printable"
local progress = require "bertlua.util.progress"

local published = {}

published.ADDRESS = "https://rajpurkar.github.io/SQuAD-explorer/dataset/"

--- MD5 by name.
published.MD5 = {
    ["train-v1.1.json"] = "981b29407e0affa3b1b156f72073b945",
    ["dev-v1.1.json"] = "3e85deb501d4e538b6bc56f786231552",
    ["train-v2.0.json"] = "62108c273c268d70893182d5cf8df740",
    ["dev-v2.0.json"] = "246adae8b7002f8679c027697b0b7cf8",
}

local RETRIES, TIMEOUT = 2, 60

--- "md5:..." of the published file with that name, nil if there is none.
function published.checksum(name)
    local digest = published.MD5[name]
    return digest and "md5:" .. digest
end

--- Default path of a published file, relative to the working folder.
-- @param kind "train" or "dev"
-- @param version_2_with_negative SQuAD v2.0
function published.path(kind, version_2_with_negative)
    local version = version_2_with_negative and "v2.0" or "v1.1"
    return ("data/squad/%s/%s-%s.json"):format(version, kind, version)
end

--- Whether a run can download this file: it does not exist and is named like a published one.
function published.is_missing(path)
    return published.checksum(fs.basename(path)) ~= nil and not fs.is_file(path)
end

--- Download a published file to a path and check it; an existing file is left alone.
-- @param path whose last part is the published name
-- @param base URL of the folder that holds it; nil for ADDRESS
-- @param options changes to checksum, retries, timeout, wait, on_progress and on_retry of
--   bertlua.util.download
-- @return true if it was downloaded
function published.fetch(path, base, options)
    local name = fs.basename(path)
    options = options or {}
    local bar
    local fetched = download.fetch {
        path = path, urls = { (base or published.ADDRESS):gsub("/*$", "/", 1) .. name },
        checksum = options.checksum or published.checksum(name), check_present = false,
        retries = options.retries or RETRIES, timeout = options.timeout or TIMEOUT, wait = options.wait,
        on_progress = options.on_progress or function(received, total)
            bar = bar or progress.new { total = total, label = name, unit = "bytes", start = received }
            bar:update(received)
        end,
        on_retry = options.on_retry or function(message)
            io.stderr:write("download: " .. printable.text(message) .. "\n")
        end,
    }
    if bar then bar:finish() end
    return fetched
end

return published
