--- Walks over the documents of a text of any form, paragraph by paragraph, without holding more than a piece of it.
-- @module bertlua.data.text_walk

local prose = require "bertlua.data.prose"
local text_records = require "bertlua.data.text_records"

local text_walk = {}

-- Plain text is held in pieces of about this size.
text_walk.PIECE = 8 * 1024 * 1024

local function nothing() end

local function walk_text(source, options)
    local inside = false
    for text, clean, border in source:pieces(text_walk.PIECE, options.border_of) do
        -- The document at the end of a piece may go on in the next one.
        local held = false
        prose.walk(text, border, function(paragraph)
            if held then
                options.on_end()
                held = false
            end
            inside = true
            options.on_paragraph(paragraph)
        end, function() held = true end)
        if inside and clean then
            options.on_end()
            inside = false
        end
        options.on_progress(source:position())
    end
end

--- Walk over a source's documents: records, or what lies between borders in plain text.
-- @param source of bertlua.data.text_source
-- @tparam table options border_of = function(text) that says what separates documents in plain text (see
--   bertlua.data.prose) from its beginning; on_paragraph = function(paragraph); on_end = function(), after each
--   document, also after a record without text; lines = true: each line of a record is a paragraph; on_progress =
--   function(bytes of the file taken in), or nil
function text_walk.walk(source, options)
    local steps = { border_of = options.border_of, on_paragraph = options.on_paragraph, on_end = options.on_end,
        on_progress = options.on_progress or nothing }
    if source.form == "text" then return walk_text(source, steps) end
    for text in text_records.documents(source) do
        if options.lines then
            for line in text:gmatch "[^\r\n]+" do
                if line:find "%S" then options.on_paragraph(line) end
            end
        else
            prose.walk(text, "none", steps.on_paragraph, nothing)
        end
        steps.on_end()
        steps.on_progress(source:position())
    end
end

return text_walk
