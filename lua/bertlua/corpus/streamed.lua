--- Stage extract for texts that are not UTF-8 as they stand: compressed files, files of another encoding, JSON lines,
-- WikiExtractor's output. They are read from beginning to end by one process. For plain text, which is read at any
-- place, see bertlua.corpus.plain.
-- @module bertlua.corpus.streamed

local fault = require "bertlua.fault"
local native = require "bertlua.text"
local prose = require "bertlua.data.prose"
local text_source = require "bertlua.data.text_source"
local text_walk = require "bertlua.data.text_walk"

local streamed = {}

--- How texts are read, from the settings of bertlua.jobs.corpus.prepare.
function streamed.reading(values)
    return { encoding = values.encoding, invalid_utf8 = values.invalid_utf8, text_field = values.text_field,
        form = values.text_form ~= "auto" and values.text_form or nil }
end

--- The part of these settings that says what a text becomes; what is as it always was is left out.
function streamed.key(values)
    return { encoding = values.encoding, text_form = values.text_form ~= "auto" and values.text_form or nil,
        text_field = values.text_field ~= "text" and values.text_field or nil }
end

--- Whether a text file is plain UTF-8 without a doubt, judging by all of its bytes. Most small files are, and need not
-- be opened again to look at them.
-- @tparam string path
-- @tparam string text the whole file
-- @tparam table reading of streamed.reading
function streamed.is_plain(path, text, reading)
    if reading.encoding or reading.form or not path:find "%.[tT][xX][tT]$" then return false end
    -- Records, another file format, line ends of old: whatever may be special is looked at by the text's own reader.
    if text:find "^%s*[%[{<]" or text:find "^BZh" or text:find "[%z\r]" or text:find "^[\1-\8\14-\31\128-\255]" then
        return false
    end
    return native.invalid_utf8(text) == nil
end

--- What is special about a file, in words (see Source:special); nil if plain text can be read at any place of it.
function streamed.look(path, reading)
    local source = text_source.open(path, reading)
    local format = source.format
    -- A mark of three bytes is passed over there.
    local plain = source.plain or source.form == "text" and format.regular and not format.packing
        and format.encoding == "UTF-8" and format.line_ends ~= "cr"
    local special = source:special()
    source:close()
    return not plain and (special or "a pipe") or nil
end

--- Walk over a file's documents.
-- @tparam table piece path, border: see bertlua.corpus.plain; single = whether it is the only file
-- @tparam table reading of streamed.reading
-- @tparam number max_line bytes of the longest paragraph allowed
-- @tparam function on_paragraph called with each paragraph
-- @tparam function on_end called after each document that has any
-- @tparam function on_progress called with the bytes of the file taken in
-- @return number of bytes that were replaced
function streamed.walk(piece, reading, max_line, on_paragraph, on_end, on_progress)
    local source = text_source.open(piece.path, reading)
    local inside = false
    text_walk.walk(source, {
        border_of = prose.border_of(piece.border, piece.single),
        on_paragraph = function(paragraph)
            if #paragraph > max_line then
                fault.raisef("%s: a paragraph of %d bytes, expected at most %d: is this text?", piece.path, #paragraph,
                    max_line)
            end
            inside = true
            on_paragraph(paragraph)
        end,
        on_end = function()
            if inside then on_end() end
            inside = false
        end,
        on_progress = on_progress,
    })
    local replaced = source:replaced()
    source:close()
    return replaced
end

return streamed
