--- Stage extract for text files (books, any folder of text): turns each range of
-- the files into a file with one paragraph per line and a blank line between
-- documents. For how a text is split into documents, see bertlua.data.prose.
-- @module bertlua.corpus.plain

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local native = require "bertlua.text"
local stage = require "bertlua.corpus.stage"
local prose = require "bertlua.data.prose"

local plain = {}

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

--- Where a piece that extends to about `offset` may end: before a heading, or after a blank line.
local function cut_after(file, path, offset, size, headings)
    local seen = ""
    while offset + #seen < size do
        seen = seen .. read_at(file, path, offset + #seen, math.min(SAMPLE, size - offset - #seen))
        local at
        if headings then
            at = seen:find("\n%s?= [^=\n]+ =[ \t\r]*\n")
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

--- Pieces of text files.
-- @tparam table files paths
-- @tparam string border auto, heading, blank or none: see prose.documents; auto uses headings where a text has
--   them, blank lines if there is only one file, else each file as a document
-- @tparam string prefix of the parts' names
function plain.parts(files, border, prefix)
    local parts = {}
    for _, path in ipairs(files) do
        local size = fs.size(path)
        if not size then fault.raise(path .. ": no such file") end
        local file = fault.check(io.open(path, "rb"))
        local headings = size > 0 and has_headings(read_at(file, path, 0, math.min(SAMPLE, size)))
        local chosen = border
        if border == "auto" then chosen = headings and "heading" or #files == 1 and "blank" or "none" end
        local first = 0
        while first < size do
            local stop = size
            if size - first > plain.MAX_PART then
                stop = cut_after(file, path, first + PIECE, size, chosen == "heading")
            end
            parts[#parts + 1] = {
                name = ("%s-%05d"):format(prefix, #parts), path = path, first = first, stop = stop,
                size = stop - first, border = chosen,
            }
            first = stop
        end
        file:close()
    end
    return parts
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
        fault.raisef("%s: byte %d: invalid UTF-8; convert the file (iconv -t UTF-8), or continue with --invalid-utf8 "
            .. "replace", path, first + bad)
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
    return 32 * 2 ^ 20 + 12 * part.size
end

--- The function that makes one part, for bertlua.corpus.stage.
-- @tparam table job
-- @tparam string folder
-- @tparam string invalid_utf8 error, or replace by U+FFFD
function plain.run(job, folder, invalid_utf8)
    return function(part)
        local file = fault.check(io.open(part.path, "rb"))
        local text = read_at(file, part.path, part.first, part.size)
        file:close()
        local replaced = 0
        if invalid_utf8 == "replace" then text, replaced = replace_invalid(text) end
        check_text(text, part.path, part.first)
        if part.first == 0 then text = text:gsub("^\239\187\191", "") end
        local path, documents = fs.join(folder, part.name .. ".txt"), 0
        stage.write_text(path, function(add)
            prose.walk(text, part.border, function(paragraph)
                add((paragraph:gsub("%s+", " ")) .. "\n")
            end, function()
                add "\n"
                documents = documents + 1
            end)
        end)
        local record = { files = {}, replaced = replaced }
        if documents > 0 then
            record.files[1] = stage.describe(job, path, { documents = documents, source = part.path,
                first = part.first, stop = part.stop })
        end
        return record
    end
end

return plain
