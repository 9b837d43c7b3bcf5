--- Texts that a user names, as UTF-8: compressed or not, in any encoding, and what kind of documents they hold (plain
-- text, JSON lines, WikiExtractor's output). For the documents of the last two, see bertlua.data.text_records.
-- Nothing of a text is dropped in silence: what cannot be read is a fault that names file and byte.
-- @module bertlua.data.text_source

local errno = require "posix.errno"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local native = require "bertlua.text"
local plural = require "bertlua.util.plural"
local poll = require "posix.poll"
local printable = require "bertlua.printable"
local signal = require "bertlua.signal"
local text_stream = require "bertlua.text_stream"
local unistd = require "posix.unistd"

local text_source = {}

--- Settings that all readers of texts share, in the form that bertlua.settings expects.
text_source.settings = {
    { name = "encoding", type = "string", group = "Text",
      help = "encoding of the text, as iconv -l lists it (windows-1252, Shift_JIS, ...); unset: UTF-8, or what a "
          .. "file's byte order mark says" },
    { name = "invalid_utf8", type = "choice", choices = { "error", "replace" }, default = "error", group = "Text",
      help = "on bytes that are not text: stop and report the byte, or replace each by U+FFFD" },
    { name = "text_field", type = "string", default = "text", group = "Text",
      help = "JSON lines: the field that holds the text" },
}

-- No line of records, and no document of WikiExtractor, is as long as this.
text_source.MAX_RECORD = 24 * 1024 * 1024

-- What a file may be besides plain text.
local KINDS = { jsonl = "JSON lines", json = "a JSON array", wikiextractor = "WikiExtractor's output" }
local PACKED = { gz = true, bz2 = true, xz = true, zst = true }
local JSON = { json = true, jsonl = true, ndjson = true, jsonlines = true }

--- The ending of a file's name in lower case, without that of a compression.
local function ending(path)
    local name = fs.basename(path):lower()
    local stem, last = name:match "^(.+)%.([^.]+)$"
    if last and PACKED[last] then name = stem end
    return name:match "^.+%.([^.]+)$" or ""
end

--- The engine's message with what the settings can do about it.
local function advised(message)
    return message:gsub("; convert the file %(iconv %-f (%S+) %-t UTF%-8%)$", ": set --encoding %1")
        :gsub("; convert the file %(iconv %-t UTF%-8%)$", "; name the file's encoding (such as --encoding "
            .. "windows-1252), convert the file (iconv -t UTF-8), or continue with --invalid-utf8 replace")
end

local Source = {}
Source.__index = Source

--- The next piece from the stream; "" at the end.
local function piece_of(stream)
    local piece, message = stream:read()
    if not piece then fault.raise((advised(message))) end
    return piece
end

--- Wait for standard input, such as a line from the terminal. A read that waits does not see Ctrl-C, but what runs
-- between two looks does; where signals are trapped, that is signal.check().
local function await_input()
    repeat
        signal.check()
        local ready, _, code = poll.rpoll(0, 200)
    until ready == 1 or (not ready and code ~= errno.EINTR)
end
jit.off(await_input)

--- Names of the members of an object, for a message.
local function members(object)
    local names = {}
    for name in pairs(object) do names[#names + 1] = tostring(name) end
    table.sort(names)
    if #names == 0 then return "none" end
    return table.concat(names, ", ", 1, math.min(#names, 8)) .. (#names > 8 and ", ..." or "")
end

--- Whether a text is JSON lines: by its name, or by its first line.
local function is_json_lines(self, line, options)
    if JSON[ending(self.path)] then return true end
    local value = line:find "^{" and json.decode(line)
    if type(value) ~= "table" then return false end
    if type(value[options.text_field]) == "string" then return true end
    -- Whoever says what the lines are means it.
    if options.literal then return false end
    fault.raisef("%s:1: a JSON object without a text %q (it has %s): name the field with --text-field, or say "
        .. "--text-form %s if the lines themselves are the text", self.path, options.text_field, members(value),
        options.as_text)
end

--- What kind of documents the text holds: "text", or one of KINDS.
local function form_of(self, options)
    local start = self.head:match "^%s*(.*)$"
    if options.form == "jsonl" and start:find "^%[%s*{" then return "json" end
    if KINDS[options.form] then return options.form end
    if options.form == "text" then return "text" end
    if start:find '^<doc id="[^"\n]*" ' then return "wikiextractor" end
    if start:find "^{" then
        -- A first line longer than what was read so far: take more of it.
        while not start:find("\n", 1, true) and #start <= text_source.MAX_RECORD do
            local more = piece_of(self.stream)
            if more == "" then break end
            self.head, start = self.head .. more, start .. more
        end
        return is_json_lines(self, start:match "^[^\n]*", options) and "jsonl" or "text"
    end
    if start:find "^%[" and JSON[ending(self.path)] then return "json" end
    if JSON[ending(self.path)] and start ~= "" then
        fault.raisef('%s:1: not a JSON object, expected JSON lines: {"%s": "..."}', self.path, options.text_field)
    end
    return "text"
end

-- Bytes of a file that are looked at for whether they are UTF-8.
local LOOKED_AT = 65536

--- Whether the beginning of a file holds characters beyond ASCII and all of it is UTF-8, which texts of other encodings
-- hardly ever are.
local function looks_like_utf8(path)
    local file = io.open(path, "rb")
    if not file then return false end
    local bytes = file:read(LOOKED_AT) or ""
    file:close()
    -- What is cut may be the end of a character.
    if #bytes == LOOKED_AT then bytes = bytes:gsub("[\192-\255][\128-\191]*$", "") end
    return bytes:find "[\128-\255]" ~= nil and native.invalid_utf8(bytes) == nil
end

--- Open a text and look at its beginning.
-- @tparam string path "-" is standard input
-- @tparam ?table options encoding, invalid_utf8, text_field as in text_source.settings; form = "text", "jsonl" or
--   "wikiextractor", nil: found out; literal = true: a first line that is a JSON object without text_field is text;
--   as_text = the setting --text-form that says so, for the message (default: "text")
-- @return Source {path, form ("json" is an array of the objects of jsonl), format: see bertlua.text_stream, plain:
--   whether the file as it stands is UTF-8 text, if it is valid}
function text_source.open(path, options)
    options = options or {}
    local typed = path == "-" and unistd.isatty(0) == 1
    if typed then
        io.stderr:write "bertlua: reading lines from the terminal; Ctrl-D ends them\n"
    end
    if path == "-" then await_input() end
    local stream = fault.check(text_stream.open(path, { encoding = options.encoding,
        replace = options.invalid_utf8 == "replace" }))
    local self = setmetatable({ path = path == "-" and "standard input" or path, stream = stream,
        text_field = options.text_field or "text" }, Source)
    self.head = piece_of(stream)
    self.form = form_of(self, { form = options.form, text_field = self.text_field, literal = options.literal,
        as_text = options.as_text or "text" })
    local format = stream:describe()
    self.format = format
    -- What unpacks takes from standard input by itself.
    self.awaits = path == "-" and not format.regular and not format.packing
    self.plain = self.form == "text" and format.regular and not format.packing and format.encoding == "UTF-8"
        and format.mark_bytes == 0 and format.line_ends ~= "cr"
    self.doubtful = options.encoding and format.regular and not format.packing and format.mark_bytes == 0
        and format.encoding:upper() ~= "UTF-8" and looks_like_utf8(path)
    return self
end

--- The next piece of the text, which ends with a whole character; nil at the end.
function Source:chunk()
    local piece = self.head
    self.head = nil
    if not piece or piece == "" then
        if self.awaits then await_input() end
        piece = piece_of(self.stream)
    end
    return piece ~= "" and piece or nil
end

--- Iterator over the lines, without their ends: text, number. Also returns a function that says whether the next line
-- is there already, so that nobody waits for it.
function Source:lines()
    local rest, at, number = "", 1, 0
    local function following()
        local from = at
        while true do
            local stop = rest:find("\n", from, true)
            if stop then
                local line = rest:sub(at, rest:byte(stop - 1) == 13 and stop - 1 >= at and stop - 2 or stop - 1)
                at, number = stop + 1, number + 1
                return line, number
            end
            if #rest - at >= text_source.MAX_RECORD then
                fault.raisef("%s:%d: a line of more than %d MB: is this text?", self.path, number + 1,
                    text_source.MAX_RECORD / 2 ^ 20)
            end
            local piece = self:chunk()
            if not piece then
                local line = rest:sub(at)
                rest, at = "", 1
                if line == "" then return nil end
                number = number + 1
                return (line:gsub("\r$", "")), number
            end
            from = #rest - at + 2
            rest, at = rest:sub(at) .. piece, 1
        end
    end
    return following, function() return (self.head or ""):find("\n", 1, true) or rest:find("\n", at, true) ~= nil end
end

--- The last byte before a place where plain text may be cut, at or after a byte; nil if there is none.
local function cut_place(text, from, border)
    if border == "heading" then return (text:find("\n%s?= [^=\n]+ =[ \t\r]*\n", from)) end
    if border == "line" then return (text:find("\n", from, true)) end
    return select(2, text:find("\n[ \t\r]*\n", from))
end

--- Where to cut a text that is longer than a piece should be: position, whether a document may end there; nil if not
-- before more of it was read.
local function cut(self, text, bytes, from, border)
    local at = cut_place(text, from, border)
    if at then return at, border ~= "none" end
    -- Headings may be rare: then a blank line has to do, or any line, and the document goes on behind it.
    if border == "heading" and #text > 2 * bytes then at = cut_place(text, bytes, "blank") end
    if not at and #text > text_source.MAX_RECORD then
        at = text:find("\n", bytes, true) or select(2, text:find "^.*\n")
        if not at then
            fault.raisef("%s: a line of more than %d MB: is this text?", self.path, text_source.MAX_RECORD / 2 ^ 20)
        end
    end
    return at, false
end

--- Iterator over pieces of plain text of about so many bytes, cut where documents end, or else at blank lines: text,
-- whether a document ends behind it, border.
-- @tparam number bytes
-- @tparam function border_of called with the first piece: what separates documents, see bertlua.data.prose
function Source:pieces(bytes, border_of)
    local rest, border, ended = "", nil, false
    --- The text with at least so many bytes, if there are as many.
    local function grow(text, least)
        local parts, size = { text }, #text
        while not ended and size < least do
            local piece = self:chunk()
            if piece then parts[#parts + 1], size = piece, size + #piece else ended = true end
        end
        return table.concat(parts)
    end
    return function()
        if ended then return nil end
        -- A remainder of up to a quarter is not a piece of its own.
        local text, from = grow(rest, bytes + bytes / 4), bytes
        border = border or border_of(text)
        while not ended do
            local at, clean = cut(self, text, bytes, from, border)
            if at then
                rest = text:sub(at + 1)
                return text:sub(1, at), clean, border
            end
            from = math.max(bytes, #text - 4096)
            text = grow(text, #text + 1)
        end
        return text, true, border
    end
end

--- All of the text, for files that are small by nature.
function Source:all()
    local parts = {}
    for piece in self.chunk, self do parts[#parts + 1] = piece end
    return table.concat(parts)
end

--- What is special about the text, in words, such as "gzip, UTF-16LE, JSON lines"; nil if nothing is.
function Source:special()
    local words, format = {}, self.stream and self.stream:describe() or self.format
    words[1] = format.packing
    if format.encoding:upper() ~= "UTF-8" then
        words[#words + 1] = format.encoding .. (format.mark_bytes > 0 and " by its byte order mark" or "")
            .. (self.doubtful and " as --encoding says, though it looks like UTF-8: are its letters right?" or "")
    end
    if format.line_ends == "cr" then words[#words + 1] = "line ends CR" end
    words[#words + 1] = KINDS[self.form]
    local last = ending(self.path)
    if self.form == "text" and (last == "csv" or last == "tsv") then
        words[#words + 1] = ("a table (.%s) that is read as text, with all that separates its fields"):format(last)
    end
    return #words > 0 and table.concat(words, ", ") or nil
end

--- Bytes that were not text and became U+FFFD so far.
function Source:replaced()
    return self.stream:describe().replaced
end

--- Bytes of the file taken in so far.
function Source:position()
    return self.stream:describe().position
end

--- Release the file; its format stays.
function Source:close()
    if not self.stream then return end
    self.format = self.stream:describe()
    self.stream:close()
    self.stream, self.head = nil, nil
end

--- "PATH: byte N: ..." with the line where that is, for files that people look at line by line.
function text_source.with_line(message, path)
    local at, rest = message:match("^.-: byte (%d+): (.*)$")
    local text = at and fs.read(path)
    if not text then return message end
    return ("%s:%d: byte %s: %s"):format(path, 1 + select(2, text:sub(1, tonumber(at)):gsub("\n", "")), at, rest)
end

--- Read a whole file as UTF-8, decompressed if it is compressed; a byte order mark is left out.
-- @tparam string path
-- @tparam ?table options encoding, invalid_utf8, where the caller has these settings
-- @return text, number of bytes that were replaced; or nil and a message
function text_source.read(path, options)
    local stream, message = text_stream.open(path, options and { encoding = options.encoding,
        replace = options.invalid_utf8 == "replace" })
    if not stream then return nil, message end
    local parts = {}
    repeat
        parts[#parts + 1], message = stream:read()
    until message or parts[#parts] == ""
    local format = stream:describe()
    stream:close()
    if not message then return table.concat(parts), format.replaced end
    if not format.packing and format.encoding == "UTF-8" then message = text_source.with_line(message, path) end
    return nil, options and advised(message) or message
end

--- The same, for files that a run cannot do without: a fault if it cannot be read, a warning if bytes were replaced.
function text_source.need(path, options)
    local text, replaced = text_source.read(path, options)
    if not text then fault.raise(replaced) end
    if replaced > 0 then
        io.stderr:write(("warning: %s: invalid UTF-8: %s replaced by U+FFFD\n"):format(printable.text(path),
            plural.count(replaced, "byte")))
    end
    return text
end

--- A fault if text given on a command line or by standard input is not UTF-8: nothing of it would be told.
-- @tparam string what names it in the message
-- @return text
function text_source.checked(text, what)
    local bad = native.invalid_utf8(text)
    if bad then
        fault.raisef("%s: byte %d: invalid UTF-8 (0x%02x): convert it (iconv -t UTF-8)", what, bad, text:byte(bad + 1))
    end
    return text
end

--- A fault if a file is not UTF-8 text as it stands, whatever its byte order mark says.
function text_source.check(path)
    local stream = fault.check(text_stream.open(path))
    local good, message = stream:check()
    local format = stream:describe()
    stream:close()
    if not good then fault.raise(message) end
    if format.packing or format.encoding ~= "UTF-8" then
        fault.raisef("%s: %s, expected UTF-8 text", path, format.packing or format.encoding)
    end
end

local function without_packing(name)
    local stem, last = name:match "^(.+)%.([^.]+)$"
    return last and PACKED[last:lower()] and stem or name
end

local function is_text_name(name)
    return without_packing(name):lower():match "%.txt$" ~= nil
end

local function is_json_name(name)
    return JSON[ending(name)] ~= nil
end

--- WikiExtractor's files are called wiki_00 and so on.
local function is_bare_name(name)
    return not without_packing(name):find(".", 1, true)
end

--- Files below a folder, by what their names say.
-- @param seen set of the folders read so far, so that a link back to one is not followed
local function each_file(folder, deep, skip, visit, seen)
    seen = seen or { [skip and fs.identity(skip) or 0] = true }
    seen[fs.identity(folder) or folder] = true
    for _, name in ipairs(fault.check(fs.list(folder))) do
        local path = fs.join(folder, name)
        if name:sub(1, 1) ~= "." then
            if not fs.is_directory(path) then
                visit(path, name)
            elseif deep and not seen[fs.identity(path)] then
                each_file(path, deep, skip, visit, seen)
            end
        end
    end
end

--- Text files of a folder: those named *.txt; or else *.jsonl, *.json, *.ndjson; or else those without an ending, as
-- WikiExtractor's; each of them also compressed (.gz, .bz2, .xz, .zst). Its subfolders count if it has none itself.
-- @tparam string folder
-- @tparam ?table options form = "jsonl": JSON lines first, "wikiextractor": names without an ending first; skip = path
--   of a folder inside that is left out
-- @return sorted list of paths, empty if there are none; number of files left out
function text_source.find(folder, options)
    options = options or {}
    local kinds = { is_text_name, is_json_name, is_bare_name }
    local first = ({ jsonl = 2, wikiextractor = 3 })[options.form]
    if first then table.insert(kinds, 1, table.remove(kinds, first)) end
    for _, deep in ipairs { false, true } do
        local all = {}
        each_file(folder, deep, options.skip, function(path, name) all[#all + 1] = { path, name } end)
        for _, wanted in ipairs(kinds) do
            local files = {}
            for _, file in ipairs(all) do
                if wanted(file[2]) then files[#files + 1] = file[1] end
            end
            table.sort(files)
            if #files > 0 then return files, #all - #files end
        end
    end
    return {}, 0
end

--- Files of a list of settings: "a.txt,b.txt", each of which must exist.
function text_source.list(names)
    local files = {}
    for path in names:gmatch "[^,]+" do
        if not fs.exists(path) then fault.raise(path .. ": no such file") end
        files[#files + 1] = path
    end
    if #files == 0 then fault.raise("input_files: empty, expected paths separated by commas") end
    return files
end

--- One line per kind of special text among some, such as "input: 3 files (gzip, JSON lines)".
-- @tparam table kinds list of Source:special (false for none)
function text_source.told(kinds)
    local counts, order, lines = {}, {}, {}
    for _, kind in ipairs(kinds) do
        if kind then
            if not counts[kind] then order[#order + 1] = kind end
            counts[kind] = (counts[kind] or 0) + 1
        end
    end
    for i, kind in ipairs(order) do lines[i] = ("%s: %s"):format(plural.count(counts[kind], "file"), kind) end
    return lines
end

--- A line if the setting text_field was changed but no file has fields; else nil.
function text_source.unused_field(text_field, kinds)
    if text_field == "text" then return nil end
    for _, kind in ipairs(kinds) do
        if kind and (kind:find(KINDS.jsonl, 1, true) or kind:find(KINDS.json, 1, true)) then return nil end
    end
    return "text_field is ignored: no file holds JSON"
end

text_source.ending = ending

return text_source
