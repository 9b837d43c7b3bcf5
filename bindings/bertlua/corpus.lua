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

--- Bytes of the file read so far.
function Dump:position()
    return tonumber(lib.bl_dump_position(self.handle))
end

--- Namespaces as lines "number name"; "" if the range does not begin at 0.
function Dump:namespaces()
    return ffi.string(lib.bl_dump_namespaces(self.handle))
end

--- Language of the wiki, such as "de"; "" if the dump does not say or the range does not begin at 0.
function Dump:language()
    return ffi.string(lib.bl_dump_language(self.handle))
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
-- @tparam[opt] string language of Dump:language, for aliases of those, numbers, dates and templates; a variant such as
--   zh-tw chooses among the texts of -{ }-
function corpus.wikitext(namespaces, language)
    local out = ffi.new "bl_wikitext *[1]"
    native.check(lib.bl_wikitext_create(out, namespaces, language), 2)
    return setmetatable({
        handle = ffi.gc(out[0], lib.bl_wikitext_free),
        prose = ffi.new "const char *[1]",
        bytes = ffi.new "int64_t[1]",
    }, Wikitext)
end

--- Codes of the Wikipedias whose own templates are known.
-- @return list of strings
function corpus.template_languages()
    local list = {}
    for code in ffi.string(lib.bl_wikitext_customs()):gmatch "%S+" do list[#list + 1] = code end
    return list
end

--- Prose of a wikitext, one paragraph per line.
-- @param text string, or const char * with its length
-- @tparam[opt] number bytes length of a pointer's text
function Wikitext:convert(text, bytes)
    native.check(lib.bl_wikitext_convert(self.handle, text, bytes or #text, self.prose, self.bytes), 2)
    return ffi.string(self.prose[0], self.bytes[0])
end

--- Whether a wikitext is a redirect.
-- @param text string, or const char * with its length
-- @param bytes length of a pointer's text
function Wikitext:is_redirect(text, bytes)
    return lib.bl_wikitext_is_redirect(self.handle, text, bytes or #text)
end

--- Whether a page is a disambiguation page.
-- @param title string
-- @param text string, or const char * with its length
-- @param bytes length of a pointer's text
function Wikitext:is_disambiguation(title, text, bytes)
    return lib.bl_wikitext_is_disambiguation(self.handle, title, text, bytes or #text)
end

-- ---------------------------------------------------------------- text files

local TextFile = {}
TextFile.__index = TextFile

--- Start a file that grows on disk and gets its name when it is complete.
-- @return TextFile; or nil, message
function corpus.text_file(path)
    local out = ffi.new "bl_text_file *[1]"
    local status = lib.bl_text_file_create(out, path)
    if status ~= 0 then return refused(status) end
    return setmetatable({ handle = ffi.gc(out[0], lib.bl_text_file_free) }, TextFile)
end

--- Append a text. True, or nil and a message.
function TextFile:add(text)
    local status = lib.bl_text_file_add(self.handle, text, #text)
    if status ~= 0 then return refused(status) end
    return true
end

--- Bytes so far.
function TextFile:bytes()
    return tonumber(lib.bl_text_file_bytes(self.handle))
end

--- Sync the file and give it its name. True, or nil and a message.
function TextFile:commit()
    local status = lib.bl_text_file_commit(self.handle)
    if status ~= 0 then return refused(status) end
    return true
end

--- Release the file; without a commit nothing of it remains.
function TextFile:close()
    if self.handle then
        lib.bl_text_file_free(ffi.gc(self.handle, nil))
        self.handle = nil
    end
end

-- ---------------------------------------------------------------- documents

local Documents = {}
Documents.__index = Documents

--- Documents of text files (runs of lines between blank lines), to be divided among shards.
-- @tparam table options folder = of temporary files; memory = bytes beyond which they are used; test_share = share of
--   the documents that goes to the test shards; seed
-- @return Documents
function corpus.documents(options)
    local out = ffi.new "bl_corpus *[1]"
    native.check(lib.bl_corpus_create(out, options.folder, options.memory, options.test_share, options.seed), 2)
    return setmetatable({ handle = ffi.gc(out[0], lib.bl_corpus_free), paths = {} }, Documents)
end

--- Add the documents of a file.
-- @tparam string path
-- @tparam number max_line longest line allowed, in bytes
-- @return true; or nil, message
function Documents:scan(path, max_line)
    local status = lib.bl_corpus_scan(self.handle, path, #self.paths, max_line)
    if status ~= 0 then return refused(status) end
    self.paths[#self.paths + 1] = path
    return true
end

--- Numbers so far: documents, test_documents, bytes.
function Documents:counts()
    local counts = ffi.new "bl_corpus_counts"
    lib.bl_corpus_describe(self.handle, counts)
    return { documents = tonumber(counts.documents), test_documents = tonumber(counts.test_documents),
        repeated = tonumber(counts.repeated), bytes = tonumber(counts.bytes) }
end

--- Deal the documents to shards of equal size.
-- @tparam number training number of training shards
-- @tparam number test number of test shards, which follow them
-- @return list of the shards' bytes; or nil, message
function Documents:deal(training, test)
    local sizes = ffi.new("int64_t[?]", training + test)
    local status = lib.bl_corpus_deal(self.handle, training, test, sizes)
    if status ~= 0 then return refused(status) end
    local list = {}
    for i = 1, training + test do list[i] = tonumber(sizes[i - 1]) end
    return list
end

--- Documents of a shard (from 1), in the order of files and offsets: each call gives path, byte offset, bytes.
-- @return iterator, number of documents; or nil, message
function Documents:shard(shard)
    local list, count = ffi.new "const bl_corpus_document *[1]", ffi.new "int64_t[1]"
    local status = lib.bl_corpus_shard(self.handle, shard - 1, list, count)
    if status ~= 0 then return refused(status) end
    local i, documents, total = -1, list[0], tonumber(count[0])
    return function()
        i = i + 1
        if i >= total then return nil end
        local document = documents[i]
        return self.paths[document.file + 1], tonumber(document.begin), tonumber(document.bytes)
    end, total
end

-- ---------------------------------------------------------------- downloads

local Transfer = {}
Transfer.__index = Transfer

--- Start a download.
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

--- Continue for a while.
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

--- End the transfer and free what it holds.
function Transfer:close()
    if self.handle then
        lib.bl_transfer_free(ffi.gc(self.handle, nil))
        self.handle = nil
    end
end

return corpus
