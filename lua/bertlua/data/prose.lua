--- Converts prose to the form that create_pretraining reads: one sentence per
-- line, a blank line between documents. Understands wikitext headings
-- (" = Title = " starts a document), paragraphs that are one line each, and
-- paragraphs that are wrapped over several lines.
-- @module bertlua.data.prose

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local native = require "bertlua.text"
local splitters = require "bertlua.text.sentences"

local prose = {}

-- Wrapped text: nearly all lines inside a block are short and of similar length. In columns, as editors count.
local WRAPPED_MAX, WRAPPED_MEAN, WRAPPED_SHARE = 100, 40, 0.9

local function is_blank(byte)
    return byte == 32 or (byte >= 9 and byte <= 13)
end

--- Level of a wikitext heading line: 1 for " = Title = ", 2 and more below it; nil for other lines.
-- In one pass: patterns that try every beginning and end of a run take quadratic time on long lines.
local function heading_level(line)
    local first = line:match "^%s*()="
    if not first then return nil end
    local title = line:match("^[= ]+()", first)
    if title > #line or is_blank(line:byte(title)) then return nil end
    local last = #line
    while is_blank(line:byte(last)) do last = last - 1 end
    local marks = last
    while line:byte(marks) == 61 do marks = marks - 1 end
    -- Two characters of title, or one and a space.
    if marks == last or marks <= title then return nil end
    local _, level = line:sub(first, title - 1):gsub("=", "")
    return level
end

--- Lines of a text, without line ends.
local function lines_of(text)
    return (text:gsub("\r\n?", "\n") .. "\n"):gmatch("(.-)\n")
end

--- Whether paragraphs are wrapped over several lines.
local function is_wrapped(text)
    local inner, short, columns, previous = 0, 0, 0, nil
    for line in lines_of(text) do
        local blank = not line:find "%S"
        if previous and not blank then
            -- `previous` is followed by another line of its block, so it is not the last one.
            local width = native.columns(previous)
            inner = inner + 1
            columns = columns + width
            if width <= WRAPPED_MAX then short = short + 1 end
        end
        previous = not blank and line or nil
    end
    return inner >= 3 and short >= WRAPPED_SHARE * inner and columns >= WRAPPED_MEAN * inner
end

--- Whether no space stands beside a character: it is of a script without spaces between words, or its punctuation.
local function is_unspaced(code_point)
    return native.is_unspaced(code_point) or code_point >= 0x3000 and code_point < 0x3040
        or code_point >= 0xff01 and code_point < 0xff65
end

--- The lines of a wrapped paragraph as one.
local function join(block)
    local parts = { block[1] }
    for i = 2, #block do
        local _, _, last = native.character_before(block[i - 1], #block[i - 1])
        local _, _, first = native.character(block[i], 0)
        if not (is_unspaced(last) and is_unspaced(first)) then parts[#parts + 1] = " " end
        parts[#parts + 1] = block[i]
    end
    return table.concat(parts)
end

--- Whether a text has wikitext headings of level one.
local function has_headings(text)
    for line in lines_of(text) do
        if heading_level(line) == 1 then return true end
    end
    return false
end

--- What separates the documents of a text: as set, or headings where it has them, else blank lines if it is the only
-- file, else nothing.
-- @tparam ?string wanted as in documents; nil or "auto": found out
-- @tparam boolean single whether it is the only file
-- @treturn function(text) -> border
function prose.border_of(wanted, single)
    return function(text)
        if wanted and wanted ~= "auto" then return wanted end
        return has_headings(text) and "heading" or single and "blank" or "none"
    end
end

--- Call visit(block) for each block of lines between blank lines; a heading is a block of its own, {level = number}.
local function each_block(text, visit)
    local block
    local function finish()
        if block then visit(block) end
        block = nil
    end
    for line in lines_of(text) do
        local level = heading_level(line)
        if level then
            finish()
            visit { level = level }
        elseif not line:find "%S" then
            finish()
        else
            block = block or {}
            block[#block + 1] = line:match "^%s*(.*%S)"
        end
    end
    finish()
end

--- Walk over the documents of a text without holding all of them in memory.
-- @tparam string text
-- @tparam ?string border see documents
-- @tparam function on_paragraph called with each paragraph
-- @tparam function on_end called after the last paragraph of each document
function prose.walk(text, border, on_paragraph, on_end)
    border = border or (has_headings(text) and "heading" or "none")
    if border ~= "heading" and border ~= "blank" and border ~= "line" and border ~= "none" then
        error("prose: border is " .. tostring(border) .. ", expected heading, blank, line or none", 2)
    end
    local wrapped = border ~= "line" and is_wrapped(text)
    local inside = false
    local function finish()
        if inside then on_end() end
        inside = false
    end
    each_block(text, function(block)
        if block.level then
            if border == "heading" and block.level == 1 then finish() end
            return
        end
        if border == "blank" then finish() end
        if wrapped then
            inside = true
            on_paragraph(join(block))
        else
            for _, line in ipairs(block) do
                if border == "line" then finish() end
                inside = true
                on_paragraph(line)
            end
        end
    end)
    finish()
end

--- Documents of a text, each a list of paragraphs.
-- @tparam string text
-- @tparam string border "heading" (a level-one heading starts a document), "blank" (blank lines separate
--   documents), "line" (each line is a document), "none" (one document); default: "heading" if the text has any, else
-- "none"
-- @return list of documents
function prose.documents(text, border)
    local documents, current = {}, {}
    -- No tail call, so that an error names the caller's line.
    prose.walk(text, border, function(paragraph) current[#current + 1] = paragraph end, function()
        documents[#documents + 1] = current
        current = {}
    end)
    return documents
end

--- Sentences of a paragraph.
-- @param splitter from bertlua.text.sentences
-- @tparam string paragraph
function prose.sentences(splitter, paragraph)
    -- A line end within a paragraph would end a sentence, and ICU treats a tab as one too.
    return splitter:split((paragraph:gsub("%s+", " ")))
end

--- Write documents, sentence by sentence.
-- @tparam string path file to write
-- @tparam table documents list of lists of paragraphs
-- @tparam table options locale = ICU locale of the sentence rules (default "en@ss=standard")
-- @return number of documents, number of sentences
function prose.write(path, documents, options)
    local locale = options and options.locale or "en@ss=standard"
    local splitter = splitters.splitter(locale)
    local parts, written, sentences = {}, 0, 0
    for _, document in ipairs(documents) do
        local before = sentences
        for _, paragraph in ipairs(document) do
            for _, sentence in ipairs(prose.sentences(splitter, paragraph)) do
                parts[#parts + 1] = sentence
                parts[#parts + 1] = "\n"
                sentences = sentences + 1
            end
        end
        if sentences > before then
            parts[#parts + 1] = "\n"
            written = written + 1
        end
    end
    fault.check(fs.write(path, table.concat(parts)))
    return written, sentences
end

return prose
