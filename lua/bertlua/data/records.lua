--- Records out of table files: CSV (RFC 4180: quotes, line breaks inside them), TSV (no quotes, as in GLUE's files),
-- and JSON lines. Columns are named by the header line; or all by their number from 1, where there is none. What they
-- mean does not belong here.
-- @module bertlua.data.records

local fault = require "bertlua.fault"
local json = require "bertlua.util.json"
local plural = require "bertlua.util.plural"
local text_source = require "bertlua.data.text_source"

local records = {}

--- What stands between the quotes of a CSV field that begins at a byte, and the byte behind the closing one.
local function quoted_field(row, at, where)
    local parts, from = {}, at + 1
    while true do
        local quote = row:find('"', from, true)
        if not quote then
            fault.raisef('%s: a " is not closed; inside a field that begins with ", write " as ""', where)
        end
        parts[#parts + 1] = row:sub(from, quote - 1)
        if row:byte(quote + 1) ~= 34 then return table.concat(parts), quote + 1 end
        parts[#parts + 1], from = '"', quote + 2
    end
end

--- The fields of a CSV record; a fault where a quote stands that has no meaning.
local function csv_fields(row, where)
    local fields, at = {}, 1
    repeat
        local field, stop
        if row:byte(at) == 34 then
            field, stop = quoted_field(row, at, where)
            if stop <= #row and row:byte(stop) ~= 44 then
                fault.raisef('%s: text follows a closing ": inside a field write " as ""', where)
            end
        else
            stop = row:find(",", at, true) or #row + 1
            field = row:sub(at, stop - 1)
        end
        fields[#fields + 1], at = field, stop + 1
    until stop > #row
    return fields
end

local function tsv_fields(row)
    local fields = {}
    for field in (row .. "\t"):gmatch "(.-)\t" do fields[#fields + 1] = field end
    return fields
end

local function quotes_in(line)
    return select(2, line:gsub('"', ""))
end

--- Iterator over (number of its first line, text) of the rows that are not blank.
-- @param next_line function() -> the next line without its end; nil at the end
-- @param quoted true: a row goes on over line breaks until its quotes are closed
local function rows_of(next_line, quoted, path)
    local number = 0
    return function()
        local row, first
        repeat
            row, first = next_line(), number + 1
            number = first
        until not row or row:find "%S"
        if not quoted or not row then return row and first, row end
        -- Each line is looked at once: a file may consist of one unclosed quote.
        local parts, quotes = { row }, quotes_in(row)
        while quotes % 2 == 1 do
            local more = next_line()
            if not more then fault.raisef('%s:%d: a " is not closed', path, first) end
            parts[#parts + 1], number, quotes = more, number + 1, quotes + quotes_in(more)
        end
        return first, table.concat(parts, "\n")
    end
end

--- One record as a table by column.
local function record_of(row, where, header, fields_of)
    local record = {}
    if not header then
        local value, reason = json.decode(row)
        if type(value) ~= "table" then
            fault.raisef("%s: not a JSON object: %s", where, reason or "it is a " .. type(value))
        end
        for i, item in ipairs(value) do value[tostring(i)] = item end
        return value
    end
    local fields = fields_of(row, where)
    if #fields ~= #header then
        fault.raisef("%s: %s, expected %d as in the %s", where, plural.count(#fields, "field"), #header,
            header.by_number and "first line" or "header")
    end
    for i, name in ipairs(header) do record[name] = fields[i] end
    return record
end

--- Whether the first line of a table names its columns. Where all that are wanted are numbers it does so only if it
-- consists of numbers, these among them: a label may be one too.
local function is_header(fields, columns)
    local all, named = #columns > 0, {}
    for _, name in ipairs(columns) do all = all and name:find "^[1-9]%d*$" ~= nil end
    if not all then return true end
    for _, name in ipairs(fields) do
        if not name:find "^%d+$" then return false end
        named[name] = true
    end
    for _, name in ipairs(columns) do
        if not named[name] then return false end
    end
    return true
end

--- The names of a table's columns; by_number where its first line is a record as the others are.
local function header_of(fields, columns)
    if is_header(fields, columns) then return fields end
    local header = { by_number = true }
    for i = 1, #fields do header[i] = tostring(i) end
    return header
end

--- The columns wanted of a record, as strings.
local function wanted_of(record, columns, header, where)
    local wanted = {}
    for _, name in ipairs(columns) do
        local value = record[name]
        if value == nil or value == json.null then
            fault.raisef("%s: no column %q%s", where, name, not header and "" or header.by_number
                and ("; the line has %s"):format(plural.count(#header, "field"))
                or "; the header has " .. table.concat(header, ", "))
        elseif type(value) == "table" then
            fault.raisef("%s: %s is a list or an object, expected a text or a number", where, name)
        end
        wanted[name] = type(value) == "number" and ("%.14g"):format(value) or tostring(value)
    end
    return wanted
end

--- Records out of lines, as they come.
-- @tparam function next_line returns the next line without its end; nil at the end
-- @tparam string path as messages call it
-- @tparam string kind "csv", "tsv" or "jsonl"
-- @tparam table columns as in read()
-- @treturn function iterator: {[column] = string}, the line where it starts, whether the columns of a table are taken by
--   number; nil at the end
function records.each(next_line, path, kind, columns)
    local fields_of = kind == "tsv" and tsv_fields or csv_fields
    local header
    local next_row = rows_of(next_line, kind == "csv", path)
    return function()
        while true do
            local line, row = next_row()
            if not row then return nil end
            local where = ("%s:%d"):format(path, line)
            local first = kind ~= "jsonl" and not header
            if first then header = header_of(fields_of(row, where), columns) end
            if not first or header.by_number then
                local record = record_of(row, where, header, fields_of)
                return wanted_of(record, columns, header, where), line, header ~= nil and header.by_number == true
            end
        end
    end
end

--- Read a file.
-- @tparam string path *.tsv, *.csv; *.json, *.jsonl or any other that starts with "{": JSON lines; else CSV; each of
--   them also compressed (.gz, .bz2, .xz, .zst)
-- @tparam table columns list of the columns wanted; one that the file lacks is a fault. Where all are numbers the
--   file has no header, unless its first line consists of numbers, these among them: they are places from 1. In JSON
--   lines that are lists they are places too
-- @tparam ?table reading encoding, invalid_utf8: see bertlua.data.text_source
-- @return list of {[column] = string}, numbers of JSON as strings; list of the lines where they start; whether the
--   columns of a table were taken by number
function records.read(path, columns, reading)
    local text = text_source.need(path, reading)
    local kind = text_source.ending(path)
    if kind == "json" or text:find "^%s*{" and kind ~= "csv" and kind ~= "tsv" then kind = "jsonl" end
    if kind ~= "jsonl" and kind ~= "tsv" then kind = "csv" end
    local next_line = (text:gsub("\r\n", "\n"):gsub("\n$", "") .. "\n"):gmatch "(.-)\n"
    local list, lines, by_number = {}, {}, false
    for record, line, numbered in records.each(next_line, path, kind, columns) do
        list[#list + 1], lines[#lines + 1], by_number = record, line, numbered
    end
    if #list == 0 then fault.raisef("%s: no record in it", path) end
    return list, lines, by_number
end

return records
