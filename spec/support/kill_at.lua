--- A script for bertlua: runs the recipe prepare_corpus and kills itself and all its processes with SIGKILL at a
-- fixed point. arg[1] is the point, the rest is for the recipe:
--   received:N       when N bytes of a download have arrived
--   hash:N           before the Nth SHA-256 of a file
--   verify:N         the same, counted from the start of the last stage
--   adding:NAME      within a text file: after its first piece
--   commit:NAME      when a text file is completely written, before it gets its name
--   half:NAME        within a file written in one go: half of it exists under its temporary name
--   written:NAME     when a file has its name, before anything else happens
--   renamed:NAME     the same for a file that was written elsewhere
--   sampling:NAME    within the samples of a shard, after the first report of progress
-- NAME is a Lua pattern for the end of the path.

local point = table.remove(arg, 1)
local kind, rest = point:match "^(%a+):(.+)$"

local corpus = require "bertlua.corpus"
local create = require "bertlua.data.create_pretraining"
local fs = require "bertlua.util.fs"
local manifest = require "bertlua.corpus.manifest"
local signal = require "posix.signal"
local storage = require "bertlua.storage"
local unistd = require "posix.unistd"

local function die()
    -- The whole group, of which this script is the leader.
    signal.kill(0, signal.SIGKILL)
end

local function at(its_kind, path)
    return kind == its_kind and path:find(rest .. "$") ~= nil
end

local transfer = corpus.transfer
function corpus.transfer(...)
    local running, message = transfer(...)
    if not running then return nil, message end
    return {
        step = function()
            local state = running:step(10)
            if kind == "received" and state.received >= tonumber(rest) then die() end
            return state
        end,
        close = function() running:close() end,
    }
end

local hash, verify = storage.file_sha256, manifest.verify
local hashes, verifying = 0, false
function storage.file_sha256(path)
    if kind == "hash" or kind == "verify" and verifying then hashes = hashes + 1 end
    if hashes == tonumber(rest) then die() end
    return hash(path)
end
function manifest.verify(job)
    verifying = true
    return verify(job)
end

local text_file = corpus.text_file
function corpus.text_file(path)
    local file, message = text_file(path)
    if not file then return nil, message end
    return {
        add = function(_, text)
            local good, problem = file:add(text)
            if at("adding", path) then die() end
            return good, problem
        end,
        bytes = function() return file:bytes() end,
        commit = function()
            if at("commit", path) then die() end
            local good, problem = file:commit()
            if at("written", path) then die() end
            return good, problem
        end,
        close = function() file:close() end,
    }
end

local write = fs.write
function fs.write(path, text)
    if at("half", path) then
        local file = assert(io.open(("%s.tmp-%d"):format(path, unistd.getpid()), "wb"))
        file:write(text:sub(1, math.floor(#text / 2)))
        file:close()
        die()
    end
    local good, message = write(path, text)
    if at("written", path) then die() end
    return good, message
end

local rename = fs.rename
function fs.rename(from, to)
    local good, message = rename(from, to)
    if at("renamed", to) then die() end
    return good, message
end

local run = create.run
function create.run(options)
    local on_progress = options.on_progress
    options.on_progress = function(more)
        if at("sampling", options.output_dir) then die() end
        on_progress(more)
    end
    return run(options)
end

require("bertlua.jobs.corpus.prepare").main()
