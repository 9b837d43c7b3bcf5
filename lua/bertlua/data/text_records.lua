--- Documents out of JSON lines ({"text": ...}, one a line), a JSON array of such objects, and WikiExtractor's output
-- (<doc id=... title=...>, or JSON lines of its own). A record that is not as it should be is a fault that names file
-- and line.
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
    local from = text:find "%S"
    local stop = from and text:find("\n", from, true)
    return stop and text:sub(from, stop - 1) == title and text:sub(stop + 1) or text
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
    local url, title = value.url, value.title
    -- WikiExtractor --json: other collections of articles have the same fields, but not its addresses.
    if type(url) == "string" and url:find("?curid=", 1, true) and type(title) == "string" then
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

--- Where the element of an array that begins at a byte of a text ends; nil if it does not end in it.
-- @tparam table state {at, depth, quoted}: how far an earlier call has come
local function element_end(text, state)
    while true do
        local at = text:find(state.quoted and '["\\]' or '["{}%[%]]', state.at)
        if not at then
            state.at = #text + 1
            return nil
        end
        local c = text:byte(at)
        state.at = at + 1
        if c == 92 then
            -- What is escaped may be in the next piece.
            if at == #text then
                state.at = at
                return nil
            end
            state.at = at + 2
        elseif c == 34 then
            state.quoted = not state.quoted
        elseif c == 123 or c == 91 then
            state.depth = state.depth + 1
        else
            state.depth = state.depth - 1
            if state.depth == 0 then return at end
        end
    end
end

--- Objects of one array, which may go over any number of lines.
local function json_array(source)
    -- What is read and not used yet: rest from byte `from` on, which is on line `number`.
    local rest, from, number, began = "", 1, 1, false
    local function malformed(what)
        fault.raisef("%s:%d: %s, expected a JSON array of objects", source.path, number, what)
    end
    local function more()
        local piece = source:chunk()
        if piece then rest, from = rest:sub(from) .. piece, 1 end
        return piece
    end
    --- Go on to a byte, counting lines.
    local function pass(to)
        number = number + select(2, rest:sub(from, to - 1):gsub("\n", ""))
        from = to
    end
    --- The next byte that is not white space; nil at the end.
    local function next_byte()
        while true do
            local at = rest:find("%S", from)
            pass(at or #rest + 1)
            if at then return rest:sub(at, at) end
            if not more() then return nil end
        end
    end
    --- The object that begins here.
    local function object()
        local state = { at = from, depth = 0, quoted = false }
        while true do
            local stop = element_end(rest, state)
            if stop then
                local line = number
                local text = text_of(rest:sub(from, stop), ("%s:%d"):format(source.path, line), source.text_field)
                pass(stop + 1)
                return text, line
            end
            if #rest - from > text_source.MAX_RECORD then malformed "an object of more than 24 MB" end
            local before = from
            if not more() then malformed "the object that begins here does not end" end
            state.at = state.at - before + 1
        end
    end
    return function()
        local byte = next_byte()
        if not began then
            pass(from + 1)
            byte, began = next_byte(), true
        elseif byte == "," then
            pass(from + 1)
            byte = next_byte()
        elseif byte and byte ~= "]" then
            malformed(("%q between objects"):format(byte))
        end
        if byte == "{" then
            local text, line = object()
            return text, line
        end
        if byte == "]" then
            pass(from + 1)
            if next_byte() then malformed "more behind the end" end
            return nil
        end
        malformed(byte and ("%q where an object should begin"):format(byte) or "the array does not end")
    end
end

--- The title in the tag that begins a document; nil if the line is none.
local function opening(line)
    if line:sub(1, 9) ~= '<doc id="' then return nil end
    local stop = #line
    while line:find("^%s", stop) do stop = stop - 1 end
    if line:sub(stop - 1, stop) ~= '">' then return nil end
    -- A title may hold quotes, as they are not escaped.
    local _, before = line:find(' title="', 1, true)
    return before and line:sub(before + 1, stop - 2) or ""
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
-- @param source of bertlua.data.text_source, of form "jsonl", "json" or "wikiextractor"
function text_records.documents(source)
    if source.form == "jsonl" then return json_lines(source) end
    if source.form == "json" then return json_array(source) end
    if source.form == "wikiextractor" then return extracted(source) end
    error(("text_records: form is %s, expected jsonl, json or wikiextractor"):format(tostring(source.form)), 2)
end

return text_records
