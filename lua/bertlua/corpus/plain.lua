--- Stage extract for text files (books, any folder of text): turns each range of
-- the files into a file with one paragraph per line and a blank line between
-- documents. For how a text is split into documents, see bertlua.data.prose.
-- @module bertlua.corpus.plain

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local native = require "bertlua.text"
local stage = require "bertlua.corpus.stage"
local streamed = require "bertlua.corpus.streamed"
local prose = require "bertlua.data.prose"

local plain = {}

-- Smaller files are read together, up to this much, as one part: each part costs two files made durable in every stage.
local TOGETHER = 1024 * 1024

-- A larger file is split into pieces of about this size, between documents if it has several, else at a blank line.
local PIECE = 8 * 1024 * 1024
-- A remainder of up to a quarter of that is not a piece of its own.
plain.MAX_PART = PIECE + PIECE / 4
-- How far to search for such a place.
local SEARCH = 16 * 1024 * 1024
-- No line of prose is as long as this.
plain.MAX_LINE = 4 * 1024 * 1024
-- Enough of a file to see whether it has headings.
local SAMPLE = 1024 * 1024

local function read_at(file, path, offset, bytes)
    file:seek("set", offset)
    local text = file:read(bytes)
    if not text then fault.raise(path .. ": changed while it was being read; start again") end
    return text
end

local function has_headings(text)
    return text:find("^%s?= [^=\n]+ =[ \t\r]*\n") ~= nil or text:find("\n%s?= [^=\n]+ =[ \t\r]*\n") ~= nil
end

--- Start of the line that contains a byte.
local function line_start(file, path, offset)
    while offset > 0 do
        local first = math.max(0, offset - SAMPLE)
        -- Anchored: a pattern that may begin anywhere would try each byte of a long line.
        local at = read_at(file, path, first, offset - first):match "^.*\n()"
        if at then return first + at - 1 end
        offset = first
    end
    return 0
end

--- Where a piece that extends to about `offset` may end: before a heading, or after a line or a blank
-- line, as the border is.
local function cut_after(file, path, offset, size, border)
    local headings = border == "heading"
    local seen = ""
    while offset + #seen < size do
        seen = seen .. read_at(file, path, offset + #seen, math.min(SAMPLE, size - offset - #seen))
        local at
        if headings then
            at = seen:find("\n%s?= [^=\n]+ =[ \t\r]*\n")
        elseif border == "line" then
            at = seen:find("\n", 1, true)
        else
            at = select(2, seen:find("\n[ \t\r]*\n"))
        end
        if at then return offset + at end
        if not seen:find("\n", 1, true) and #seen > plain.MAX_LINE then
            fault.raisef("%s: byte %d: a line of more than %d bytes starts here: is this text?", path,
                line_start(file, path, offset), plain.MAX_LINE)
        end
        if #seen > SEARCH then
            fault.raisef("%s: byte %d: no %s within %d bytes from here, so the file cannot be split; put blank lines "
                .. "between documents", path, offset, headings and "heading" or "blank line", SEARCH)
        end
    end
    return size
end

--- Pieces of a text file, {path, first, stop, size, border}, to the end of a list.
-- @param head the beginning of its text
local function plain_pieces(pieces, file, head, path, size, border, single)
    local headings = has_headings(head)
    local chosen = border
    if border == "auto" then chosen = headings and "heading" or single and "blank" or "none" end
    local first = 0
    while first < size do
        local stop = size
        if size - first > plain.MAX_PART then
            stop = cut_after(file, path, first + PIECE, size, chosen)
        end
        pieces[#pieces + 1] = {
            path = path, first = first, stop = stop, size = stop - first, border = chosen,
        }
        first = stop
    end
end

--- Pieces of all files; one that is not plain UTF-8 text is a piece as a whole, with what it is as `streamed`.
local function pieces_of(files, border, reading)
    local pieces = {}
    for _, path in ipairs(files) do
        local size = fs.size(path)
        if not size then fault.raise(path .. ": no such file") end
        local file = fault.check(io.open(path, "rb"))
        local head = size > 0 and read_at(file, path, 0, math.min(SAMPLE, size)) or ""
        local special = size > 0 and not (#head == size and streamed.is_plain(path, head, reading))
            and streamed.look(path, reading)
        if special then
            pieces[#pieces + 1] = { path = path, first = 0, stop = size, size = size, border = border,
                streamed = special, single = #files == 1 }
        else
            plain_pieces(pieces, file, head, path, size, border, #files == 1)
        end
        file:close()
    end
    return pieces
end

--- Parts of text files: a piece of a large file, or several small files one after the other.
-- @tparam table files paths
-- @tparam string border auto, heading, blank, line or none: see prose.documents; auto uses headings where a text has
--   them, blank lines if there is only one file, else each file as a document
-- @tparam string prefix of the parts' names
-- @tparam ?table reading of streamed.reading
-- @return list of {name, size, pieces = list of {path, first, stop, size, border}}; list for text_source.told
function plain.parts(files, border, prefix, reading)
    local parts, kinds, current = {}, {}, nil
    for _, piece in ipairs(pieces_of(files, border, reading or {})) do
        if not current or current.size + piece.size > TOGETHER then
            current = { name = ("%s-%05d"):format(prefix, #parts), size = 0, pieces = {} }
            parts[#parts + 1] = current
        end
        current.pieces[#current.pieces + 1] = piece
        current.size = current.size + piece.size
        current.streamed = current.streamed or piece.streamed
        kinds[#kinds + 1] = piece.streamed or false
    end
    return parts, kinds
end

--- What a file made from a part says about its sources, for the manifest.
function plain.origin(part)
    local first, last = part.pieces[1], part.pieces[#part.pieces]
    if first == last then return { source = first.path, first = first.first, stop = first.stop } end
    return { source = first.path, last_source = last.path, sources = #part.pieces }
end

--- A text with U+FFFD for each byte that is not valid UTF-8, and how many there were.
local function replace_invalid(text)
    local chunks, output, at, replaced = {}, {}, 0, 0
    while true do
        local bad = native.invalid_utf8(text, at)
        if not bad then
            if replaced == 0 then return text, 0 end
            output[#output + 1] = text:sub(at + 1)
            chunks[#chunks + 1] = table.concat(output)
            return table.concat(chunks), replaced
        end
        output[#output + 1] = text:sub(at + 1, bad) .. "\239\191\189"
        -- A file that is not text at all would give millions of pieces.
        if #output == 4096 then chunks[#chunks + 1], output = table.concat(output), {} end
        replaced = replaced + 1
        at = bad + 1
    end
end

local function check_text(text, path, first)
    local bad = native.invalid_utf8(text)
    if bad then
        fault.raisef("%s: byte %d: invalid UTF-8 (0x%02x); name the file's encoding (such as --encoding windows-1252), "
            .. "convert the file (iconv -t UTF-8), or continue with --invalid-utf8 replace", path, first + bad,
            text:byte(bad + 1))
    end
    local zero = text:find("\0", 1, true)
    if zero then fault.raisef("%s: byte %d: a NUL byte: is this text?", path, first + zero - 1) end
    local at = 1
    while true do
        local stop = text:find("\n", at, true) or #text + 1
        if stop - at > plain.MAX_LINE then
            fault.raisef("%s: byte %d: a line of %d bytes starts here, expected at most %d: is this text?", path,
                first + at - 1, stop - at, plain.MAX_LINE)
        end
        at = stop + 1
        if at > #text then return end
    end
end

--- Bytes that a process needs at most for a part of a text file: several times the text. Measured with documents of
-- 75 bytes: 17 % below this.
function plain.memory(part)
    -- How much a streamed file holds does not follow from its size.
    return 32 * 2 ^ 20 + 12 * (part.streamed and plain.MAX_PART or part.size)
end

--- The text of a piece, checked, and how many of its bytes were replaced.
local function text_of(piece, invalid_utf8)
    local file = fault.check(io.open(piece.path, "rb"))
    local text = read_at(file, piece.path, piece.first, piece.size)
    file:close()
    if #text ~= piece.size then fault.raise(piece.path .. ": changed while it was being read; start again") end
    local replaced = 0
    if invalid_utf8 == "replace" then text, replaced = replace_invalid(text) end
    check_text(text, piece.path, piece.first)
    if piece.first == 0 then text = text:gsub("^\239\187\191", "") end
    return text, replaced
end

--- The function that makes one part, for bertlua.corpus.stage.
-- @tparam table job
-- @tparam string folder
-- @tparam table reading of streamed.reading
function plain.run(job, folder, reading)
    return function(part, report)
        local path, documents, replaced, done = fs.join(folder, part.name .. ".txt"), 0, 0, 0
        local silent = {}
        stage.write_text(path, function(add)
            for _, piece in ipairs(part.pieces) do
                local before = documents
                local text, bad
                local function on_paragraph(paragraph)
                    add((paragraph:gsub("%s+", " ")) .. "\n")
                end
                local function on_end()
                    add "\n"
                    documents = documents + 1
                end
                if piece.streamed then
                    bad = streamed.walk(piece, reading, plain.MAX_LINE, on_paragraph, on_end, function(taken)
                        report(done + math.min(taken, piece.size))
                    end)
                else
                    text, bad = text_of(piece, reading.invalid_utf8)
                    prose.walk(text, piece.border, on_paragraph, on_end)
                end
                if documents == before then silent[#silent + 1] = piece.path end
                replaced, done = replaced + bad, done + piece.size
                report(done)
            end
        end)
        local record = { files = {}, replaced = replaced, silent = #silent, silent_path = silent[1] }
        if documents > 0 then
            local counts = plain.origin(part)
            counts.documents = documents
            record.files[1] = stage.describe(job, path, counts)
        end
        return record
    end
end

return plain
