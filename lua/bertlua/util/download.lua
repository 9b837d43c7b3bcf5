--- Downloads that survive interruptions: resumed, retried, from one mirror after
-- another, and checked. The data received so far is in PATH.part, and what the
-- server said about it in PATH.part.json; a file gets its final name only once it
-- is complete and matches its checksum.
-- @module bertlua.util.download

local corpus = require "bertlua.corpus"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local signal = require "bertlua.signal"
local storage = require "bertlua.storage"

local download = {}

local STEP_MILLISECONDS = 200
local HEX_DIGITS = { md5 = 32, sha1 = 40, sha256 = 64 }

--- "sha1:da39..." to algorithm and digest; a fault if it is malformed.
function download.checksum(text)
    local algorithm, digest = text:lower():match "^(%w+):(%x+)$"
    if not algorithm or HEX_DIGITS[algorithm] ~= #digest then
        fault.raisef("checksum: got %q, expected md5:, sha1: or sha256: followed by the digest in hexadecimal", text)
    end
    return algorithm, digest
end

--- Whether a file has a given checksum: true; or false and the actual one.
function download.matches(path, checksum)
    local algorithm, digest = download.checksum(checksum)
    local found
    if algorithm == "sha256" then
        found = fault.check(storage.file_sha256(path))
    else
        found = fault.check(storage.digest(path, algorithm))
    end
    return found == digest, ("%s:%s"):format(algorithm, found)
end

local function read_notes(path)
    local notes = fs.is_file(path) and json.read(path)
    local sound = type(notes) == "table" and (notes.total == nil or type(notes.total) == "number")
        and (notes.etag == nil or type(notes.etag) == "string" and not notes.etag:find "%c")
    return sound and notes or {}
end

--- One transfer from one URL, until it completes or fails.
-- @return state of the transfer in bertlua.corpus
local function transfer(url, path, options)
    local part, notes_path = path .. ".part", path .. ".part.json"
    local notes = read_notes(notes_path)
    local have = fs.size(part) or 0
    -- An ETag is specific to a server; another mirror is checked by the size, and all of them by the checksum.
    local etag = notes.url == url and notes.etag ~= "" and notes.etag or nil
    if have > 0 and notes.total and have >= notes.total then have = 0 end
    local running = fault.check(corpus.transfer(url, part, have, etag, options.timeout))
    local state, noted
    repeat
        state = running:step(STEP_MILLISECONDS)
        if state.total and not noted and not state.no_resume and (state.http == 0 or state.http < 300) then
            noted = true
            if notes.total and have > 0 and notes.total ~= state.total then
                running:close()
                state.done, state.failed, state.no_resume = true, true, true
                state.message = ("the server's file has %d bytes, not %d"):format(state.total, notes.total)
                return state
            end
            fault.check(fs.write(notes_path, json.encode { url = url, total = state.total, etag = state.etag }))
        end
        if options.on_progress then options.on_progress(state.received, state.total) end
        local pending = signal.pending()
        if pending then
            running:close()
            fault.raise(("stopped by %s: the partial download is kept, run the same command to resume"):format(pending),
                130)
        end
    until state.done
    running:close()
    if not state.failed and state.total and fs.size(part) ~= state.total then
        state.failed = true
        state.message = ("only %d of %d bytes received"):format(fs.size(part), state.total)
    end
    return state
end

local function discard(path)
    for _, name in ipairs { path .. ".part", path .. ".part.json" } do
        if fs.exists(name) then fault.check(fs.remove(name)) end
    end
end

--- Fetch a file unless it already exists.
-- @tparam table options path = where it goes; urls = list of mirrors, tried in turn; checksum = "sha1:..." or nil;
--   retries = further rounds through the mirrors; timeout = seconds without a byte; wait = seconds before a new round
--   (doubled each time); on_progress = function(received, total or nil); on_retry = function(message);
--   on_wait = function(seconds)
-- @return true if it was fetched, false if it already existed
function download.fetch(options)
    local path = options.path
    if fs.is_file(path) then
        if options.checksum and options.check_present ~= false then
            local good, found = download.matches(path, options.checksum)
            if not good then
                fault.raisef("%s: checksum is %s, expected %s; remove the file to fetch it again", path, found,
                    options.checksum)
            end
        end
        -- A process killed right after renaming the file leaves PATH.part.json behind.
        discard(path)
        return false
    end
    fault.check(fs.mkdirs(fs.dirname(path)))
    local wait, last, useless = options.wait or 2, "", {}
    for round = 0, options.retries do
        if round > 0 then
            if options.on_wait then options.on_wait(wait) end
            require("posix.time").nanosleep { tv_sec = math.floor(wait), tv_nsec = math.floor(wait % 1 * 1e9) }
            wait = math.min(wait * 2, 300)
        end
        for number, url in ipairs(options.urls) do
            if not useless[number] then
                local state = transfer(url, path, options)
                -- Either way the partial file cannot be resumed.
                if state.failed and state.no_resume then
                    discard(path)
                    state = transfer(url, path, options)
                end
                if not state.failed then
                    local good, found = true, nil
                    if options.checksum then good, found = download.matches(path .. ".part", options.checksum) end
                    if good then
                        fault.check(fs.rename(path .. ".part", path))
                        discard(path)
                        return true
                    end
                    discard(path)
                    last = ("%s: the download has checksum %s, expected %s"):format(url, found, options.checksum)
                else
                    last = ("%s: %s"):format(url, state.message)
                    useless[number] = state.permanent
                end
                if options.on_retry then options.on_retry(last) end
            end
        end
        local left = false
        for number in ipairs(options.urls) do left = left or not useless[number] end
        if not left then break end
    end
    fault.raisef("%s: download failed; last error: %s; the partial download is kept, run the same command to resume",
        path, last)
end

return download
