--- Records out of table files: CSV (RFC 4180: quotes, line breaks inside them), TSV (no quotes, as in GLUE's files),
-- both under a header line, and JSON lines. What the columns mean does not belong here.
-- @module bertlua.data.records

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local native = require "bertlua.text"
local plural = require "bertlua.util.plural"

local records = {}

--- The fields of a CSV record; a fault where a quote stands that has no meaning.
local function csv_fields(row, where)
    local fields, at = {}, 1
    repeat
        local field, stop
        if row:byte(at) == 34 then
            local quote = at
            repeat
                quote = row:find('"', quote + 1, true)
                -- Quotes in the middle of fields before it made the row look complete.
                if not quote then fault.raisef('%s: a " is not closed', where) end
                local again = row:byte(quote + 1) == 34
                if again then quote = quote + 1 else stop = quote + 1 end
            until not again
            field = row:sub(at + 1, quote - 1):gsub('""', '"')
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

--- Whether as many quotes close as open in a line.
local function is_closed(line)
    return select(2, line:gsub('"', "")) % 2 == 0
end

--- Iterator over (number of its first line, text) of the rows that are not blank.
-- @param quoted true: a row goes on over line breaks until its quotes are closed
local function rows_of(text, quoted, path)
    local next_line, number = (text:gsub("\r\n", "\n"):gsub("\n$", "") .. "\n"):gmatch "(.-)\n", 0
    return function()
        local row, first
        repeat
            row, first = next_line(), number + 1
            number = first
        until not row or row:find "%S"
        if not quoted or not row or is_closed(row) then return row and first, row end
        local lines, closed = { row }, false
        while not closed do
            local more = next_line()
            if not more then fault.raisef('%s:%d: a " is not closed', path, first) end
            lines[#lines + 1], number = more, number + 1
            closed = not is_closed(more)
        end
        return first, table.concat(lines, "\n")
    end
end

--- One record as a table by column.
local function record_of(row, where, header, fields_of)
    local record = {}
    if not header then
        local value, reason = json.decode(row)
        if type(value) == "table" then return value end
        fault.raisef("%s: not a JSON object: %s", where, reason or "it is a " .. type(value))
    end
    local fields = fields_of(row, where)
    if #fields ~= #header then
        fault.raisef("%s: %s, expected %d as in the header", where, plural.count(#fields, "field"), #header)
    end
    for i, name in ipairs(header) do record[name] = fields[i] end
    return record
end

--- Read a file.
-- @tparam string path *.tsv, *.csv; *.json, *.jsonl or any other that starts with "{": JSON lines; else CSV
-- @tparam table columns list of the columns wanted; one that the file lacks is a fault
-- @return list of {[column] = string}, numbers of JSON as strings; list of the lines where they start
function records.read(path, columns)
    local text = fault.check(fs.read(path)):gsub("^\239\187\191", "")
    local bad = native.invalid_utf8(text)
    if bad then fault.raisef("%s:%d: not UTF-8", path, 1 + select(2, text:sub(1, bad):gsub("\n", ""))) end
    local is_json = path:find "%.jsonl?$" or text:find "^%s*{" and not path:find "%.[ct]sv$"
    local fields_of = path:find "%.tsv$" and tsv_fields or csv_fields
    local header, list, lines = nil, {}, {}
    for line, row in rows_of(text, not is_json and fields_of == csv_fields, path) do
        local where = ("%s:%d"):format(path, line)
        if not is_json and not header then
            header = fields_of(row, where)
        else
            local record, wanted = record_of(row, where, header, fields_of), {}
            for _, name in ipairs(columns) do
                local value = record[name]
                if value == nil or value == json.null then
                    fault.raisef("%s: no column %q%s", where, name,
                        header and "; the header has " .. table.concat(header, ", ") or "")
                elseif type(value) == "table" then
                    fault.raisef("%s: %s is a list or an object, expected a text or a number", where, name)
                end
                wanted[name] = type(value) == "number" and ("%.14g"):format(value) or tostring(value)
            end
            list[#list + 1], lines[#lines + 1] = wanted, line
        end
    end
    if #list == 0 then fault.raisef("%s: no record in it", path) end
    return list, lines
end

return records
