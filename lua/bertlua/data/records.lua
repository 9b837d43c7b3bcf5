--- Records out of table files: CSV (RFC 4180: quotes, line breaks inside them), TSV (no quotes, as GLUE's files) and
-- JSON lines, the first two with a header line. What the columns mean does not belong here.
-- @module bertlua.data.records

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local utf8 = require "bertlua.util.utf8"

local records = {}

--- Fields of CSV records: iterator over (line of the record's start, list of fields).
local function csv_rows(text, path)
    local at, line = 1, 1
    return function()
        if at > #text then return nil end
        local fields, first = {}, line
        while true do
            local field, stop
            if text:byte(at) == 34 then
                local parts, from = {}, at + 1
                repeat
                    local quote = text:find('"', from, true)
                    if not quote then fault.raisef('%s:%d: a " is not closed', path, first) end
                    parts[#parts + 1] = text:sub(from, quote - 1)
                    from = quote + 2
                until text:byte(quote + 1) ~= 34
                field, stop = table.concat(parts, '"'), from - 1
                line = line + select(2, field:gsub("\n", ""))
                if not text:find("^[,\r\n]", stop) and stop <= #text then
                    fault.raisef('%s:%d: text follows a closing ": write " inside a field as ""', path, line)
                end
            else
                stop = text:find("[,\n]", at) or #text + 1
                field = text:sub(at, stop - 1):gsub("\r$", "")
            end
            fields[#fields + 1] = field
            if text:sub(stop, stop) ~= "," then
                at = (text:find("\n", stop, true) or #text) + 1
                line = line + 1
                return first, fields
            end
            at = stop + 1
        end
    end
end

local function tsv_rows(text)
    local at, line = 1, 0
    return function()
        if at > #text then return nil end
        local stop = text:find("\n", at, true) or #text + 1
        local row, fields = text:sub(at, stop - 1):gsub("\r$", ""), {}
        for field in (row .. "\t"):gmatch "(.-)\t" do fields[#fields + 1] = field end
        at, line = stop + 1, line + 1
        return line, fields
    end
end

--- Rows under a header as records by column name.
local function by_header(rows, path)
    local _, header = rows()
    return header, function()
        local line, fields = rows()
        while fields and #fields == 1 and fields[1] == "" do line, fields = rows() end
        if not fields then return nil end
        if #fields ~= #header then
            fault.raisef("%s:%d: %d fields, expected %d as in the header", path, line, #fields, #header)
        end
        local record = {}
        for i, name in ipairs(header) do record[name] = fields[i] end
        return line, record
    end
end

local function json_rows(text, path)
    local lines = tsv_rows(text:gsub("\t", " "))
    return nil, function()
        local line, fields = lines()
        while fields and not fields[1]:find "%S" do line, fields = lines() end
        if not fields then return nil end
        local record, reason = json.decode(fields[1])
        if type(record) ~= "table" then
            fault.raisef("%s:%d: not a JSON object: %s", path, line, reason or "it is a " .. type(record))
        end
        return line, record
    end
end

--- Read a file.
-- @tparam string path *.tsv, *.csv; *.json, *.jsonl or any other that starts with "{": JSON lines
-- @tparam table columns list of the columns wanted; one that the file lacks is a fault
-- @return list of {line = number, [column] = string}; numbers of JSON become strings
function records.read(path, columns)
    local text = fault.check(fs.read(path)):gsub("^\239\187\191", "")
    local bad = utf8.invalid_byte(text)
    if bad then
        fault.raisef("%s:%d: not UTF-8", path, 1 + select(2, text:sub(1, bad):gsub("\n", "")))
    end
    local is_json = text:find "^%s*{" or path:find "%.jsonl?$"
    local header, rows
    if is_json then
        header, rows = json_rows(text, path)
    else
        header, rows = by_header((path:find "%.tsv$" and tsv_rows or csv_rows)(text, path), path)
        if not header then fault.raisef("%s: is empty, expected a header line and records", path) end
    end
    local list = {}
    for line, record in rows do
        local row = { line = line }
        for _, name in ipairs(columns) do
            local value = record[name]
            if value == nil then
                fault.raisef("%s:%d: no column %q%s", path, is_json and line or 1, name,
                    header and "; it has " .. table.concat(header, ", ") or "")
            end
            row[name] = type(value) == "number" and ("%.14g"):format(value) or tostring(value)
        end
        list[#list + 1] = row
    end
    if #list == 0 then fault.raisef("%s: no record in it", path) end
    return list
end

return records
