--- Documents out of JSON lines ({"text": ...}, one a line) and out of WikiExtractor's output (<doc id=... title=...>,
-- or JSON lines of its own). A record that is not as it should be is a fault that names file and line.
-- @module bertlua.data.text_records

local fault = require "bertlua.fault"
local json = require "bertlua.util.json"
local text_source = require "bertlua.data.text_source"

local text_records = {}

local ENTITIES = { ["&lt;"] = "<", ["&gt;"] = ">", ["&amp;"] = "&", ["&quot;"] = '"' }

--- WikiExtractor escapes these, as it was made for text inside of XML.
local function unescape(text)
    return (text:gsub("&%l+;", ENTITIES))
end

--- The text without a first line that is its title alone.
local function without_title(text, title)
    -- By plain searches: a pattern that may give back white space takes quadratic time where there is no line end.
    local begin = text:find "%S" or 1
    local stop = text:find("\n", begin, true)
    return stop and text:sub(begin, stop - 1) == title and text:sub(stop + 1) or text
end

--- The text of one JSON line.
local function text_of(line, where, field)
    local value, reason = json.decode(line, "")
    if type(value) ~= "table" then
        reason = reason and reason:gsub("^:%d+:(%d+): not valid JSON: ", "column %1: ")
            or "it is " .. (value == json.null and "null" or "a " .. type(value))
        fault.raisef('%s: not a JSON object: %s; expected {"%s": "..."}', where, reason, field)
    end
    local text = value[field]
    if type(text) ~= "string" then
        local got = text == nil and "is missing" or text == json.null and "is null" or "is a " .. type(text)
        fault.raisef("%s: field %q %s, expected a text; --text-field names another field", where, field, got)
    end
    if text:find("\0", 1, true) then fault.raisef("%s: field %q holds a NUL character: is this text?", where, field) end
    local title = value.title
    -- WikiExtractor --json
    if type(value.url) == "string" and value.id ~= nil and type(title) == "string" then
        return without_title(unescape(text), title)
    end
    return text
end

local function json_lines(source)
    local lines, field = source:lines(), source.text_field
    return function()
        for line, number in lines do
            if line:find "%S" then
                return text_of(line, ("%s:%d"):format(source.path, number), field), number
            end
        end
    end
end

--- The title in the tag that begins a document; nil if the line is none.
local function opening(line)
    if not line:find('^<doc id="', 1) then return nil end
    local behind = line:match '^<doc id="[^"]*"()'
    if not behind then return nil end
    local tag = line:match "^.*%S"
    local _, title = tag:find(' title="', behind, true)
    if title and tag:sub(-2) == '">' and #tag > title + 1 then return tag:sub(title + 1, -3) end
    return tag:match('^[^>]*>$', behind) and ""
end

local function extracted(source)
    local lines = source:lines()
    local function malformed(number, what)
        fault.raisef('%s:%d: not as WikiExtractor writes it: %s', source.path, number, what)
    end
    --- The text up to </doc>.
    local function rest_of(title, first)
        local parts, bytes = {}, 0
        for line, number in lines do
            if line:find "^</doc>%s*$" then return without_title(unescape(table.concat(parts, "\n")), title) end
            if opening(line) then
                malformed(number, ("a document begins, but that of line %d has no </doc>"):format(first))
            end
            parts[#parts + 1], bytes = line, bytes + #line
            if bytes > text_source.MAX_RECORD then malformed(first, "no </doc> within 24 MB") end
        end
        malformed(first, "the document that begins here has no </doc>: is the file complete?")
    end
    return function()
        for line, number in lines do
            local title = opening(line)
            if title then return rest_of(unescape(title), number), number end
            if line:find "%S" then malformed(number, "text outside of <doc ...> and </doc>") end
        end
    end
end

--- Iterator over the documents of a source that holds records: text, number of the line where it begins.
-- @param source of bertlua.data.text_source, of form "jsonl" or "wikiextractor"
function text_records.documents(source)
    if source.form == "jsonl" then return json_lines(source) end
    if source.form == "wikiextractor" then return extracted(source) end
    error(("text_records: form is %s, expected jsonl or wikiextractor"):format(tostring(source.form)), 2)
end

return text_records
