--- Rows to predict, as they come through a file or a pipe: texts, pairs of texts, or words.
--
-- Forms: "text", a line a row; "csv" and "tsv" under a header line; "jsonl"; "conll", a word a line and a blank line
-- between sentences. Unless it is named, the form is that of the file's ending, else what its first line looks like.

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local plural = require "bertlua.util.plural"
local poll = require "posix.poll"
local records = require "bertlua.data.records"
local tagged = require "bertlua.data.tagged"
local term = require "bertlua.util.term"
local text_source = require "bertlua.data.text_source"

local M = {}

M.FORMS = { "text", "csv", "tsv", "jsonl", "conll" }

local ENDINGS = { txt = "text", csv = "csv", tsv = "tsv", json = "jsonl", jsonl = "jsonl", ndjson = "jsonl",
    jsonlines = "jsonl", conll = "conll", iob = "conll", iob2 = "conll", bio = "conll", col = "conll" }

local Rows = {}
Rows.__index = Rows

--- Whether rows have columns: the user names some, or the first line is names, one of which is that of the text.
local function has_columns(wanted, first_line, mark)
    if wanted.columns_named then return true end
    local count, found = 0, false
    for name in (first_line .. mark):gmatch("(.-)" .. mark) do
        if not name:find "^[%w_%-]+$" then return false end
        count, found = count + 1, found or name == wanted.text
    end
    return found and count > 1
end

--- The form of an input.
-- @param first_line or nil
local function form_of(wanted, first_line)
    local form = wanted.form or ENDINGS[text_source.ending(wanted.path)]
    if not form and first_line then
        if first_line:find "^%s*{" then
            form = "jsonl"
        elseif first_line:find("\t", 1, true) then
            form = wanted.words and "conll" or has_columns(wanted, first_line, "\t") and "tsv"
        elseif not wanted.words and has_columns(wanted, first_line, ",") then
            form = "csv"
        end
    end
    form = form or "text"
    -- Tables of tagged words have no header.
    if wanted.words and form == "tsv" then form = "conll" end
    return form
end

--- Refuse what a form cannot hold.
local function check(form, wanted, name)
    if form == "conll" and not wanted.words then
        fault.raisef("%s: CoNLL columns hold words, but this model reads texts: name the form with --input-form", name)
    elseif form == "text" and wanted.pair then
        fault.raisef("%s: text lines hold one text each, but %s is wanted too: give .csv, .tsv or JSON lines, or name "
            .. "the form with --input-form", name, wanted.pair)
    elseif form == "text" and wanted.labeled or wanted.labeled and wanted.words and form == "csv" then
        fault.raisef("%s: %s, or name the form with --input-form", name, wanted.words
            and "expected tagged words: give CoNLL columns or JSON lines"
            or "text lines have no labels: give .csv, .tsv or JSON lines")
    end
end

local function split(text)
    local words = {}
    for word in text:gmatch "%S+" do words[#words + 1] = word end
    return words
end

--- Iterator over rows {text, pair, label, words, tags, line} of lines.
local function each(next_line, name, form, wanted)
    if wanted.words and (form == "conll" or form == "jsonl") then
        return tagged.each(next_line, name, form, { labeled = wanted.labeled, text_column = wanted.text_column,
            label_column = wanted.label_column })
    end
    local text, number = wanted.text, 0
    if form == "text" then
        return function()
            local line = next_line()
            number = number + 1
            return line and { text = line, words = wanted.words and split(line), line = number }
        end
    end
    local following = records.each(next_line, name, form, { text, wanted.pair or text, wanted.label or text },
        { header = wanted.header, texts = { [text] = true, [wanted.pair or text] = true },
            lists = wanted.label and { [wanted.label] = true },
            settings = { [wanted.label or ""] = "--label-column", [wanted.pair or ""] = "--pair-column",
                [text] = "--text-column" } })
    return function()
        local record, line = following()
        if not record then return nil end
        return { text = record[text], pair = wanted.pair and record[wanted.pair], line = line,
            label = wanted.label and record[wanted.label], words = wanted.words and split(record[text]) }
    end
end

--- Call fn; of bytes that are no text the stream knows the place, but not the line.
local function placed(self, fn, ...)
    local ok, result, more = pcall(fn, ...)
    if ok then return result, more end
    if fault.is(result) and self.path then fault.raise(text_source.with_line(fault.message(result), self.path)) end
    error(result, 0)
end

--- Open an input.
-- @param wanted path ("-" is standard input), form or nil; text, pair, label: names of columns, nil for none; words:
--   true for words in place of a text, text_column and label_column then as in bertlua.data.tagged; labeled: whether
--   labels or tags are wanted; columns_named: true if the user named some; header, encoding, invalid_utf8
-- @return Rows {name, form, lines: how many the file has, nil where only reading tells}
function M.open(wanted)
    local self = setmetatable({ piped = wanted.path == "-", path = fs.is_file(wanted.path) and wanted.path or nil },
        Rows)
    local source = placed(self, text_source.open, wanted.path, { encoding = wanted.encoding,
        invalid_utf8 = wanted.invalid_utf8, form = "text" })
    if not source.plain then self.path = nil end
    local following, is_there = source:lines()
    self.source, self.name, self.is_there = source, source.path, is_there
    local first, held = placed(self, following), true
    self.held = function() return held and first ~= nil end
    self.form, self.names = form_of(wanted, first), wanted
    check(self.form, wanted, self.name)
    self.following = each(function()
        if held then
            held = false
            return first
        end
        return (following())
    end, self.name, self.form, wanted)
    return self
end

--- "FILE:LINE" of a row.
function Rows:where(row)
    return ("%s:%d"):format(self.name, row.line)
end

--- The next row; nil at the end. A text that is empty is a fault, but not in labeled rows, which training takes as they
-- are.
function Rows:next()
    local row = placed(self, self.following)
    if not row then return nil end
    for _, field in ipairs { "text", "pair" } do
        if not self.names.labeled and row[field] and not row[field]:find "%S" then
            fault.raisef("%s: the %s is empty", self:where(row), self.form == "text" and "text" or self.names[field])
        end
    end
    return row
end

--- Whether another row is likely to be there without waiting for whoever writes into the pipe.
function Rows:is_ready()
    if not self.piped or self.held() or self.is_there() then return true end
    return poll.rpoll(0, 0) == 1
end

--- How many lines the file has; nil for what is no plain file.
function Rows:count_lines()
    local file = self.path and io.open(self.path, "rb")
    if not file then return nil end
    local count = 0
    for piece in function() return file:read(2 ^ 20) end do count = count + select(2, piece:gsub("\n", "")) end
    file:close()
    return count
end

--- How many lines the file may have, from how much of it these took; nil for a pipe.
-- @param line lines that have been read
function Rows:expected_lines(line)
    local format = self.source.stream:describe()
    if not format.regular or format.position == 0 then return nil end
    return math.max(line, math.floor(line * format.file_bytes / format.position))
end

--- Tell how many bytes were no text and have been replaced, if any were.
function Rows:tell_replaced()
    local count = self.source:replaced()
    if count > 0 then
        term.warn(("%s: invalid UTF-8: %s replaced by U+FFFD"):format(self.name, plural.count(count, "byte")))
    end
end

--- Release the file.
function Rows:close()
    self.source:close()
end

return M
