--- Records out of table files: CSV (RFC 4180: quotes, line breaks inside them), TSV (no quotes, as in GLUE's files),
-- and JSON lines. Columns are named by the header line; or all by their number from 1, where there is none. What they
-- mean does not belong here.
-- @module bertlua.data.records

local fault = require "bertlua.fault"
local json = require "bertlua.util.json"
local plural = require "bertlua.util.plural"
local printable = require "bertlua.printable"
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
-- @param kind "csv": a row goes on over line breaks until its quotes are closed; "tsv": a row of tabs is not blank, its
--   fields are empty
local function rows_of(next_line, kind, path)
    local mark, quoted, number = kind == "tsv" and "[^ ]" or "%S", kind == "csv", 0
    return function()
        local row, first
        repeat
            row, first = next_line(), number + 1
            number = first
        until not row or row:find(mark)
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

--- Whether the first line of a table names its columns, where the user does not say so. Where all that are wanted are
-- numbers it does so only if it consists of numbers, these among them: a label may be one too.
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
-- @param given whether there is a header, as the user says; nil: find out
local function header_of(fields, columns, given)
    if given == nil and is_header(fields, columns) or given then return fields end
    local header = { by_number = true }
    for i = 1, #fields do header[i] = tostring(i) end
    return header
end

-- What parts the columns, for messages.
local PARTED = { tsv = "tabs", csv = "commas" }

--- ": name the column with --label-column", where a setting of the user's can.
local function remedy(settings, name)
    return settings and settings[name] and ": name the column with " .. settings[name] or ""
end

--- "; a file without a header has its columns by number (--label-column 1)": the first line may be a record.
local function without_header(settings, name)
    return settings and settings[name] and ("; a file without a header has its columns by number (%s 1)"):format(
        settings[name]) or ""
end

--- Names between quotes, so that a blank at an end shows.
local function quoted(names, most)
    local list = {}
    for i = 1, math.min(#names, most) do list[i] = ('"%s"'):format(printable.text(names[i])) end
    return table.concat(list, ", ") .. (#names > most and ", ..." or "")
end

--- The place of a column; a fault if the header has none, or several of that name. A number that is no name is a place.
-- @param settings as in records.read(), or nil
local function place_of(header, name, where, kind, settings)
    local place
    for i, title in ipairs(header) do
        if title == name and place then
            fault.raisef("%s: the header has several columns %q: name the one that is meant by its number", where, name)
        end
        if title == name then place = i end
    end
    local number = not place and name:find "^[1-9]%d*$" and tonumber(name)
    if number and header[number] then place = number end
    if place then return place end
    if header.by_number then
        fault.raisef("%s: no column %q; %s%s", where, name, name:find "^%d+$"
            and "the line has " .. plural.count(#header, "field") or "without a header, columns are numbers from 1",
            remedy(settings, name))
    end
    local mixed = #header == 1 and header[1]:find(name, 1, true)
    fault.raisef("%s: no column %q; the header has %s%s", where, name, quoted(header, math.huge),
        mixed and ("; columns of a .%s are parted by %s"):format(kind, PARTED[kind])
        or remedy(settings, name) .. without_header(settings, name))
end

--- The place of each column; a fault where two of them are one under two names, the header's and its number.
local function places_of(header, columns, where, kind, settings)
    local places, named = {}, {}
    for _, name in ipairs(columns) do
        local place = place_of(header, name, where, kind, settings)
        if (named[place] or name) ~= name then
            fault.raisef("%s: columns %q and %q are the same one", where, named[place], name)
        end
        places[name], named[place] = place, name
    end
    return places
end

--- Why the fields of a line may be fewer or more than those of the first.
local function length_hint(kind, row, more)
    if kind == "csv" then return more and ": a comma within a field stands between quotes" or "" end
    return not more and row:find "%S +%S" and ": columns are parted by tabs, and here may be spaces in place of one"
        or more and ": a tab cannot stand within a field" or ""
end

--- A value of JSON as a string, and a list as a list of strings where one may stand; nil for any other.
local function value_of(value, may_be_list)
    if type(value) == "table" then
        if not may_be_list or value ~= json.null and next(value) ~= nil and value[1] == nil then return nil end
        local list = {}
        for i, item in ipairs(value) do
            if type(item) == "table" then return nil end
            list[i] = value_of(item)
        end
        return list
    end
    return type(value) == "number" and ("%.14g"):format(value) or tostring(value)
end

-- Names of an object that a message tells.
local MOST_NAMES = 8

--- "; the object has id, sentence", for what has names.
local function names_in(value)
    local names = {}
    for name in pairs(value) do names[#names + 1] = type(name) == "string" and name or nil end
    if #names == 0 then return "" end
    table.sort(names)
    return "; the object has " .. quoted(names, MOST_NAMES)
end

--- One record of JSON lines.
-- @param texts set of columns whose values are texts: a number there would be another text than the file has
-- @param settings as in records.read(), or nil
local function json_record(row, where, columns, lists, texts, settings)
    local value, reason = json.decode(row)
    if type(value) ~= "table" then
        fault.raisef("%s: not a JSON object: %s", where, reason or "it is a " .. type(value))
    end
    local record = {}
    for _, name in ipairs(columns) do
        local item = value[name]
        if item == nil then item = value[tonumber(name)] end
        if item == nil then
            fault.raisef("%s: no column %q%s%s", where, name, names_in(value), remedy(settings, name))
        end
        if item == json.null then
            fault.raisef("%s: %s is null, expected %s", where, name, texts[name] and "a text" or "a text or a number")
        end
        if texts[name] and type(item) ~= "string" then
            fault.raisef("%s: %s is %s, expected a text: write it between quotes", where, name,
                type(item) == "table" and "a list or an object" or "a " .. type(item))
        end
        record[name] = value_of(item, lists[name])
        if record[name] == nil then
            fault.raisef("%s: %s is a list or an object, expected a text or a number%s", where, name,
                lists[name] and ", or a list of these" or "")
        end
    end
    return record
end

--- One record of a table.
-- @param places of the columns, by name
local function table_record(fields, row, where, header, places, kind)
    if #fields ~= #header then
        fault.raisef("%s: %s, expected %d as in the %s%s", where, plural.count(#fields, "field"), #header,
            header.by_number and "first line" or "header", length_hint(kind, row, #fields > #header))
    end
    local record = {}
    for name, place in pairs(places) do record[name] = fields[place] end
    return record
end

--- Records out of lines, as they come.
-- @tparam function next_line returns the next line without its end; nil at the end
-- @tparam string path as messages call it
-- @tparam string kind "csv", "tsv" or "jsonl"
-- @tparam table columns as in read()
-- @tparam ?table reading as in read(), of which encoding and invalid_utf8 mean nothing here
-- @treturn function iterator: {[column] = string, or list of strings}, the line where it starts, whether the columns of
--   a table are taken by number; nil at the end
-- @treturn table {count, first: what was wrong} of what has been left out so far
function records.each(next_line, path, kind, columns, reading)
    reading = reading or {}
    local fields_of, lists = kind == "tsv" and tsv_fields or csv_fields, reading.lists or {}
    local texts = reading.texts or {}
    local header, places, skipped = nil, nil, { count = 0 }
    local next_row = rows_of(next_line, kind, path)

    local function record_at(row, where)
        local record
        if kind == "jsonl" then
            record = json_record(row, where, columns, lists, texts, reading.settings)
        else
            record = table_record(fields_of(row, where), row, where, header, places, kind)
        end
        local problem = reading.check and reading.check(record)
        if problem then fault.raisef("%s: %s", where, problem) end
        return record
    end

    --- The record of a row; nil for one that is left out.
    local function taken(row, where)
        if not reading.bad_rows then return record_at(row, where) end
        local good, record = pcall(record_at, row, where)
        if good then return record end
        if not fault.is(record) then error(record, 0) end
        if reading.bad_rows == "error" then
            fault.raisef("%s; --bad-rows skip leaves out such rows", fault.message(record))
        end
        skipped.count, skipped.first = skipped.count + 1, skipped.first or tostring(record)
        return nil
    end

    return function()
        while true do
            local line, row = next_row()
            if not row then return nil end
            local where = ("%s:%d"):format(path, line)
            local is_first = kind ~= "jsonl" and not header
            if is_first then
                header = header_of(fields_of(row, where), columns, reading.header)
                places = places_of(header, columns, where, kind, reading.settings)
            end
            if not is_first or header.by_number then
                local record = taken(row, where)
                if record then return record, line, header ~= nil and header.by_number == true end
            end
        end
    end, skipped
end

--- Read a file.
-- @tparam string path *.tsv, *.csv; *.json, *.jsonl or any other that starts with "{": JSON lines; else CSV; each of
--   them also compressed (.gz, .bz2, .xz, .zst)
-- @tparam table columns list of the columns wanted; one that the file lacks is a fault. A number is the place of a
--   column, from 1, unless the header has such a name. Where all are numbers the file has no header, unless its first
--   line consists of numbers, these among them. In JSON lines that are lists they are places too
-- @tparam ?table reading encoding, invalid_utf8: see bertlua.data.text_source; header: whether tables have one (nil:
--   found out as above); lists: set of columns that may hold lists in JSON lines; texts: set of columns that hold
--   nothing but strings there; settings: by column, the setting that names it ("--label-column"), for messages;
--   check(record): what is wrong with one, or nil; bad_rows: "skip" leaves out rows that are wrong in themselves;
--   "error", or nil for readers without this setting: the first of them is a fault
-- @return list of {[column] = string, or list of strings}, numbers of JSON as strings; list of the lines where they
--   start; whether the columns of a table were taken by number; {count, first: what was wrong} of what was left out
function records.read(path, columns, reading)
    local text = text_source.need(path, reading)
    local kind = text_source.ending(path)
    if kind == "json" or text:find "^%s*{" and kind ~= "csv" and kind ~= "tsv" then kind = "jsonl" end
    if kind ~= "jsonl" and kind ~= "tsv" then kind = "csv" end
    local next_line = (text:gsub("\r\n", "\n"):gsub("\n$", "") .. "\n"):gmatch "(.-)\n"
    local list, lines, by_number = {}, {}, false
    local each, skipped = records.each(next_line, path, kind, columns, reading)
    for record, line, numbered in each do
        list[#list + 1], lines[#lines + 1], by_number = record, line, numbered
    end
    if #list == 0 then
        fault.raisef("%s: no record in it%s", path, skipped.first and (", %d are bad, the first: %s"):format(
            skipped.count, skipped.first) or "")
    end
    return list, lines, by_number, skipped
end

return records
