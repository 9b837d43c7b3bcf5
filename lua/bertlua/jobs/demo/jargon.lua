--- The Jargon File as training text: one document per entry or section.
--
-- Debian's jargon-text package ships it as one text, wrapped at 75 columns,
-- with a table of contents (one title per line), 12 chapters, the lexicon
-- (entries that start with ":head: grammar.") and appendices. Here the wrapping
-- and the markup are undone: a paragraph becomes one line, {links} lose their
-- braces, an entry's title line becomes its headword.

local fault = require "bertlua.fault"

local M = {}

M.path = "/usr/share/doc/jargon-text/jargon.txt.gz"

--- The text of the package's file.
function M.read(path)
    path = path or M.path
    local probe = io.open(path, "rb")
    if not probe then
        fault.raisef("%s is missing: apt-get install jargon-text, or give a folder of text files with --corpus FOLDER "
            .. "(make demo CORPUS=FOLDER)", path)
    end
    probe:close()
    local pipe = assert(io.popen(("gzip -dc '%s'"):format((path:gsub("'", "'\\''"))), "r"))
    local text = pipe:read("*a")
    pipe:close()
    if #text == 0 then fault.raisef("%s cannot be unpacked", path) end
    return text
end

--- Paragraphs: runs of lines between blank lines, unwrapped; with the indentation of the first line.
local function paragraphs(text)
    local list, lines, indent = {}, {}, nil
    text = text:gsub("\194\160", " ") -- no-break spaces
    for line in (text .. "\n\n"):gmatch("(.-)\n") do
        if line:match("^%s*$") then
            if #lines > 0 then
                list[#list + 1] = { text = table.concat(lines, " "), indent = indent, lines = #lines }
            end
            lines = {}
        else
            if #lines == 0 then indent = #line:match("^ *") end
            lines[#lines + 1] = line:match "^%s*(.*%S)"
        end
    end
    return list
end

--- Remove the markup of a paragraph; nil if it is not prose (tables, drawings, ISBN lines).
local function clean(text)
    text = text:gsub("[{}]", ""):gsub("%s+", " "):gsub("^%d+%. ", ""):gsub("^[nvad][%a]?[%a]?%. ", "")
        :gsub("^%[[^%[%]]*%] ?", "")
    local letters = select(2, text:gsub("[%a ]", ""))
    if letters < 0.8 * #text or #text < 2 then return nil end
    return text
end

--- The headword of an entry's title paragraph (":goat file: n."), or nil.
local function head_word(paragraph)
    return paragraph.indent == 3 and paragraph.lines == 1 and paragraph.text:match("^:([^:]+):")
end

local function is_title(paragraph)
    return paragraph.lines == 1 and paragraph.indent == 0
        and (paragraph.text:match("^Chapter %d") or paragraph.text:match("^%u[%a ,'-]+$"))
end

--- Documents of the text: a list of lists of paragraphs.
function M.documents(text)
    local documents, current = {}, nil
    local begun = false
    for _, paragraph in ipairs(paragraphs(text)) do
        local head = head_word(paragraph)
        if head or is_title(paragraph) then
            begun = begun or paragraph.text:match("^Chapter %d") ~= nil
            current = {}
            if begun then documents[#documents + 1] = current end
            if head then current.head = head end
        elseif current and not (paragraph.lines == 1 and #paragraph.text < 40) then
            local line = clean(paragraph.text)
            if line and current.head then
                line = current.head:gsub("^%l", string.upper) .. ": " .. line
                current.head = nil
            end
            current[#current + 1] = line
        end
    end
    local kept = {}
    for _, document in ipairs(documents) do
        document.head = nil
        if #document > 0 then kept[#kept + 1] = document end
    end
    return kept
end

return M
