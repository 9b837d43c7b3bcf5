--- Raw sources: MediaWiki dumps, wikitext, documents and their division into
-- shards, downloads. What a broken file or the operating system refuses comes
-- back as nil and a message; a wrong argument raises an error.
-- @module bertlua.corpus

local ffi = require "ffi"
local native = require "bertlua.ffi"

local lib = native.lib
local refused = native.refused

local corpus = {}

-- ---------------------------------------------------------------- dumps

local Dump = {}
Dump.__index = Dump

--- Open a range of a MediaWiki dump.
-- @tparam string path .xml or .xml.bz2
-- @tparam[opt] number first byte offset of the range (default 0)
-- @tparam[opt] number stop one past its end (default: that of the file)
-- @return Dump; or nil, message
function corpus.open_dump(path, first, stop)
    local out = ffi.new "bl_dump *[1]"
    local status = lib.bl_dump_open(out, path, first or 0, stop or 0)
    if status ~= 0 then return refused(status) end
    return setmetatable({
        handle = ffi.gc(out[0], lib.bl_dump_close),
        page = ffi.new "bl_dump_page",
        found = ffi.new "bool[1]",
    }, Dump)
end

--- The next page: a struct with title, text (NUL-ended), title_bytes, text_bytes, id, ns, redirect, wikitext, valid
-- until the next call; false after the last one; or nil, message.
function Dump:next()
    local status = lib.bl_dump_next(self.handle, self.page, self.found)
    if status ~= 0 then return refused(status) end
    return self.found[0] and self.page
end

--- Bytes of the file taken in so far.
function Dump:position()
    return tonumber(lib.bl_dump_position(self.handle))
end

--- Namespaces as lines "number name"; "" if the range does not begin at 0.
function Dump:namespaces()
    return ffi.string(lib.bl_dump_namespaces(self.handle))
end

--- Give the memory back; the garbage collector would do it too.
function Dump:close()
    if self.handle then
        lib.bl_dump_close(ffi.gc(self.handle, nil))
        self.handle = nil
    end
end

--- Offsets at which the streams of a multistream dump begin, from its index.
-- @return list of numbers; or nil, message
function corpus.read_index(path)
    local offsets, count = ffi.new "int64_t *[1]", ffi.new "int64_t[1]"
    local status = lib.bl_dump_index_read(path, offsets, count)
    if status ~= 0 then return refused(status) end
    local list = {}
    for i = 0, tonumber(count[0]) - 1 do list[i + 1] = tonumber(offsets[0][i]) end
    lib.bl_dump_offsets_free(offsets[0])
    return list
end

-- ---------------------------------------------------------------- wikitext

local Wikitext = {}
Wikitext.__index = Wikitext

--- Converter of wikitext to prose.
-- @tparam[opt] string namespaces of Dump:namespaces, for the local names of files and categories
function corpus.wikitext(namespaces)
    local out = ffi.new "bl_wikitext *[1]"
    native.check(lib.bl_wikitext_create(out, namespaces), 2)
    return setmetatable({
        handle = ffi.gc(out[0], lib.bl_wikitext_free),
        prose = ffi.new "const char *[1]",
        bytes = ffi.new "int64_t[1]",
    }, Wikitext)
end

--- Prose of a wikitext, one paragraph a line.
-- @param text string, or const char * with its length
-- @tparam[opt] number bytes length of a pointer's text
function Wikitext:convert(text, bytes)
    native.check(lib.bl_wikitext_convert(self.handle, text, bytes or #text, self.prose, self.bytes), 2)
    return ffi.string(self.prose[0], self.bytes[0])
end

function Wikitext:is_redirect(text, bytes)
    return lib.bl_wikitext_is_redirect(self.handle, text, bytes or #text)
end

function Wikitext:is_disambiguation(title, text, bytes)
    return lib.bl_wikitext_is_disambiguation(self.handle, title, text, bytes or #text)
end

--- Offset (from 0) of the first byte that is not UTF-8, or nil.
-- @tparam string text
-- @tparam ?number from offset of a character to begin at
function corpus.invalid_utf8(text, from)
    from = from or 0
    local offset = tonumber(lib.bl_utf8_check(ffi.cast("const char *", text) + from, #text - from))
    return offset >= 0 and from + offset or nil
end

-- ---------------------------------------------------------------- documents

local Documents = {}
Documents.__index = Documents

--- Documents of text files: runs of lines between blank lines.
-- @tparam table paths
-- @tparam number max_line longest line allowed, in bytes
-- @tparam[opt] function report called with the number of files scanned
-- @return Documents; or nil, message
function corpus.scan(paths, max_line, report)
    local handle = ffi.gc(ffi.new "bl_corpus", lib.bl_corpus_free)
    for number, path in ipairs(paths) do
        local status = lib.bl_corpus_scan(handle, path, number - 1, max_line)
        if status ~= 0 then return refused(status) end
        if report then report(number) end
    end
    return setmetatable({ handle = handle, paths = paths }, Documents)
end

function Documents:count()
    return tonumber(self.handle.count)
end

--- File number (from 1), byte offset, bytes and shard (from 1; 0 before deal) of document i (from 0).
function Documents:get(i)
    local d = self.handle.list[i]
    return d.file + 1, tonumber(d.begin), tonumber(d.bytes), d.shard + 1
end

--- How many documents a share of all hashes picks for testing.
function Documents:count_test(share)
    local count = 0
    for i = 0, self:count() - 1 do
        if lib.bl_corpus_is_test(self.handle.list[i].hash, share) then count = count + 1 end
    end
    return count
end

--- Deal the documents to shards of equal size.
-- @tparam number training number of training shards
-- @tparam number test number of test shards, which follow them
-- @tparam number test_share share of the documents that goes to the test shards
-- @tparam number seed
-- @return list of the shards' bytes
function Documents:deal(training, test, test_share, seed)
    local sizes = ffi.new("int64_t[?]", training + test)
    native.check(lib.bl_corpus_deal(self.handle, training, test, test_share, seed, sizes), 2)
    local list = {}
    for i = 1, training + test do list[i] = tonumber(sizes[i - 1]) end
    return list
end

--- Documents grouped by shard, within a shard in their own order.
-- @return starts (0-based array of shards + 1 numbers), order (0-based array of document numbers)
function Documents:by_shard(shards)
    local count, list = self:count(), self.handle.list
    local starts, order = ffi.new("int64_t[?]", shards + 2), ffi.new("int32_t[?]", math.max(count, 1))
    for i = 0, count - 1 do starts[list[i].shard + 2] = starts[list[i].shard + 2] + 1 end
    for shard = 2, shards + 1 do starts[shard] = starts[shard] + starts[shard - 1] end
    for i = 0, count - 1 do
        local shard = list[i].shard + 1
        order[starts[shard]] = i
        starts[shard] = starts[shard] + 1
    end
    local plain = {}
    for shard = 0, shards do plain[shard] = tonumber(starts[shard]) end
    return plain, order
end

-- ---------------------------------------------------------------- downloads

local Transfer = {}
Transfer.__index = Transfer

--- Begin a download.
-- @tparam string url
-- @tparam string path file that grows
-- @tparam number resume bytes of it to keep
-- @tparam ?string etag version of the file they came from
-- @tparam number timeout seconds without a byte
-- @return Transfer; or nil, message
function corpus.transfer(url, path, resume, etag, timeout)
    local out = ffi.new "bl_transfer *[1]"
    local status = lib.bl_transfer_start(out, url, path, resume, etag, timeout)
    if status ~= 0 then return refused(status) end
    return setmetatable({
        handle = ffi.gc(out[0], lib.bl_transfer_free),
        state = ffi.new "bl_transfer_state",
    }, Transfer)
end

--- Go on for a while.
-- @return {received, total (nil if unknown), done, failed, http, no_resume, permanent, message, etag}
function Transfer:step(milliseconds)
    native.check(lib.bl_transfer_step(self.handle, milliseconds, self.state), 2)
    local s = self.state
    return {
        received = tonumber(s.received),
        total = s.total >= 0 and tonumber(s.total) or nil,
        done = s.done ~= 0,
        failed = s.failed ~= 0,
        http = s.http,
        no_resume = s.no_resume ~= 0,
        permanent = s.permanent ~= 0,
        message = ffi.string(s.message),
        etag = ffi.string(s.etag),
    }
end

function Transfer:close()
    if self.handle then
        lib.bl_transfer_free(ffi.gc(self.handle, nil))
        self.handle = nil
    end
end

--- Hash of a file in hexadecimal: "md5" or "sha1"; or nil, message.
function corpus.digest(path, algorithm)
    local hex = ffi.new "char[65]"
    local status = lib.bl_file_digest(path, algorithm, hex)
    if status ~= 0 then return refused(status) end
    return ffi.string(hex)
end

--- Processors that this process may run on.
function corpus.processors()
    return lib.bl_processors()
end

--- Resident bytes of this process now; 0 where the system does not say.
function corpus.memory_now()
    local file = io.open("/proc/self/status", "r")
    if not file then return 0 end
    local kilobytes = file:read("*a"):match "VmRSS:%s*(%d+)"
    file:close()
    return (tonumber(kilobytes) or 0) * 1024
end

--- Peak resident bytes of this process, and of the largest of its ended children.
function corpus.memory_peak()
    local own, child = ffi.new "int64_t[1]", ffi.new "int64_t[1]"
    lib.bl_memory_peak(own, child)
    return tonumber(own[0]), tonumber(child[0])
end

return corpus
